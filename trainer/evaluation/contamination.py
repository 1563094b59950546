"""Are the flagged items easier than chance would have it? The random-removal test.

Items that share an n-gram with training text are flagged (SpeLangy, arXiv 2510.20860: any overlap
of 6 to 13 words). Were the score inflated by them, removing them would lower it more than removing
as many items at random. Flags come from a file: this module finds no overlaps.

The test is one-sided, and with accuracies of 0 and 1 it is conservative: random removals that tie
with the flagged one count as at least as extreme.
"""

import dataclasses
import json
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.evaluation.errors import EvaluationError

BLOCK = 1 << 22  # random numbers that are held at once
NEAR = 1e-9  # sums of the same credits in another order


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """The score of all items, of those that are not flagged, and of random ones as many."""

    items: int
    flagged: int
    all: float
    clean: float | None  # None: nothing is left, or nothing was flagged
    flagged_only: float | None
    random_mean: float | None
    random_low: float | None  # 2.5 % of removals lie below
    random_high: float | None
    removals: int
    p: float | None  # share of random removals that lower the score at least as much
    alpha: float
    significant: bool | None


def removal_test(
    values: Sequence[float] | npt.NDArray[np.float64],
    flagged: Sequence[bool] | npt.NDArray[np.bool_],
    *,
    removals: int = 10_000,
    alpha: float = 0.01,
    seed: int = 0,
) -> Removal:
    """Compare removing the flagged items with removing as many at random.

    `values` [items]: credit of each. p = (1 + removals whose rest scores at most as high as the
    unflagged rest) / (1 + removals). Raises `ValueError` where the lengths differ.
    """
    credit, marked = np.asarray(values, np.float64), np.asarray(flagged, np.bool_)
    if credit.shape != marked.shape or credit.ndim != 1 or not len(credit):
        raise ValueError(f"{credit.shape} values and {marked.shape} flags")
    count, drop = len(credit), int(marked.sum())
    whole = float(credit.mean())
    if drop in (0, count):
        return Removal(
            items=count, flagged=drop, all=whole, clean=None,
            flagged_only=whole if drop else None, random_mean=None, random_low=None,
            random_high=None, removals=0, p=None, alpha=alpha, significant=None,
        )  # fmt: skip
    left = count - drop
    clean = float(credit[~marked].sum()) / left
    rest = (credit.sum() - _removed(credit, drop, removals, seed)) / left
    p = (1 + int((rest <= clean + NEAR).sum())) / (1 + removals)
    low, high = (float(one) for one in np.quantile(rest, [0.025, 0.975]))
    return Removal(
        items=count,
        flagged=drop,
        all=whole,
        clean=clean,
        flagged_only=float(credit[marked].mean()),
        random_mean=float(rest.mean()),
        random_low=low,
        random_high=high,
        removals=removals,
        p=p,
        alpha=alpha,
        significant=p < alpha,
    )


def _removed(
    credit: npt.NDArray[np.float64], drop: int, removals: int, seed: int
) -> npt.NDArray[np.float64]:
    """Sums of the credits of `drop` items drawn without replacement, [removals]."""
    chance = np.random.default_rng(seed)
    found = np.empty(removals, np.float64)
    block = max(BLOCK // len(credit), 1)
    for first in range(0, removals, block):
        size = min(block, removals - first)
        order = chance.random((size, len(credit))).argpartition(drop - 1, axis=1)[:, :drop]
        found[first : first + size] = credit[order].sum(axis=1)
    return found


def read_flags(path: Path, sets: dict[str, Collection[str]]) -> dict[str, set[str]]:
    """Flagged ids by set. A line is an id (of any set that has it) or `{"set": ..., "id": ...}`.

    Lines of sets that are not evaluated are left alone. Raises `EvaluationError` for a line that is
    neither, and for an id that its set does not have: it was flagged in another version of the set.
    """
    found: dict[str, set[str]] = {name: set() for name in sets}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: flagged ids cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, item = _flag(line.strip(), f"{path}:{number}")
        if name is not None and name not in sets:
            continue
        named = [one for one in sets if name in (None, one) and item in sets[one]]
        if not named:
            raise EvaluationError(
                f"{path}:{number}: {item!r} is no item of {name or ', '.join(sorted(sets))}; were "
                "the flags made of another version of the set?"
            )
        for one in named:
            found[one].add(item)
    return found


def _flag(line: str, where: str) -> tuple[str | None, str]:
    if not line.startswith("{"):
        return None, line
    try:
        row = json.loads(line)
        name, item = row["set"], row["id"]
    except (ValueError, KeyError) as error:
        raise EvaluationError(
            f'{where}: needs {{"set": ..., "id": ...}} or an id alone ({error!r})'
        ) from error
    if not isinstance(name, str) or not isinstance(item, str):
        raise EvaluationError(f"{where}: set and id are texts")
    return name, item
