"""What a fit is made of: one trained run each, as a row of a table.

Kept as CSV, so that points of another trainer, or of a paper, are fitted like ours.
"""

import csv
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from trainer.failures import SetupError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A run at its end."""

    budget: float  # FLOPs that it was given: the group of an IsoFLOP curve
    flops: float  # that it spent
    parameters: float
    positions: float  # read, repeats and padding included
    loss: float  # held out, nats per target
    passes: float = 1.0  # over what it read; at most 1: nothing was read twice
    size: str = ""
    seed: int = 0

    @property
    def unique(self) -> float:
        """Positions that differ."""
        return self.positions / max(self.passes, 1.0)

    @property
    def cost(self) -> float:
        """FLOPs of a position."""
        return self.flops / self.positions


NAMES = tuple(field.name for field in dataclasses.fields(Point))
NEEDED = NAMES[:5]


def checked(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points, all of whose numbers make sense. Raises `SetupError`."""
    for place, one in enumerate(points, 1):
        for name in (*NEEDED, "passes"):
            value = getattr(one, name)
            if not (math.isfinite(value) and value > 0):
                raise SetupError(f"point {place}: {name} is {value}; it must be above 0")
    return tuple(points)


def write_points(points: Sequence[Point], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, NAMES, lineterminator="\n")
        rows.writeheader()
        rows.writerows(dataclasses.asdict(one) for one in points)


def read_points(path: Path) -> tuple[Point, ...]:
    """Rows with at least budget, flops, parameters, positions and loss. Raises `SetupError`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}") from error
    found = []
    for number, row in enumerate(rows, 2):
        missing = [name for name in NEEDED if not row.get(name)]
        if missing:
            raise SetupError(f"{path}:{number}: no {missing[0]}; needed: {', '.join(NEEDED)}")
        try:
            numbers = {n: float(row[n]) for n in (*NEEDED, "passes") if row.get(n)}
            seed = int(row.get("seed") or 0)
        except ValueError as error:
            raise SetupError(f"{path}:{number}: {error}") from error
        found.append(Point(**numbers, size=row.get("size") or "", seed=seed))
    if not found:
        raise SetupError(f"{path}: holds no points")
    return checked(found)
