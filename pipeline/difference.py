"""What two runs keep differently, from their ledgers alone: in items, in hours, by reason.

Clips are told apart by their ids. One that only one run keeps is charged to the step and reason by
which the other let it go, wherever that was; one that the other never had (other data, other
segments) is `not there`. So what one threshold costs is one row. A few columns are read and every
sum is taken over arrays: a million clips take seconds, and no audio is opened.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.verdicts import CLIP, PAGE, Verdicts

NOT_THERE = "not there"
COLUMNS = (
    *("id", "item", "stream", "kept", "seconds", "phase", "step", "reason", "threshold"),
    *("source", "language", "topic"),
)
GROUPS = ("source", "language", "topic")

Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amount:
    """Clips, or other items, and their seconds."""

    items: int
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What one step and reason of the other run took."""

    phase: str
    step: str
    reason: str
    threshold: float | None  # where it is one for all of them
    items: int
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reason:
    """What a step dropped for one reason in each run."""

    phase: str
    step: str
    reason: str
    a: Amount
    b: Amount


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """What of one source, language or topic each run keeps, and what it keeps alone."""

    name: str | None
    a: Amount
    b: Amount
    only_a: Amount
    only_b: Amount


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting that differs; null: not there."""

    key: str
    a: Any
    b: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """All of it; the largest first in every list."""

    a: Amount  # kept
    b: Amount
    both: Amount
    only_a: Amount
    only_b: Amount
    settings: tuple[Setting, ...]
    lost_in_b: tuple[Cost, ...]  # of what only A keeps
    lost_in_a: tuple[Cost, ...]
    reasons: tuple[Reason, ...]
    by: Mapping[str, tuple[Part, ...]]  # source, language, topic: those that any clip has


@dataclasses.dataclass(frozen=True)
class _Side:
    rows: pa.Table
    clips: pa.Table
    keys: pa.Array  # of the clips
    left: pa.Table  # rows that are no clips
    left_keys: pa.Array
    kept: Flags
    seconds: npt.NDArray[np.float64]


def compare(a: Verdicts, b: Verdicts) -> Difference:
    """What two runs keep differently."""
    tables = [one.read(COLUMNS) for one in (a, b)]
    streams = [set(table["stream"].cast(pa.string()).unique().to_pylist()) for table in tables]
    alone = all(len(one) <= 1 for one in streams)  # one stream each: whatever they are called
    one, other = (_side(table, alone) for table in tables)
    at, back = pc.index_in(one.keys, other.keys), pc.index_in(other.keys, one.keys)
    only_a = one.kept & ~_kept_there(at, other)
    only_b = other.kept & ~_kept_there(back, one)
    return Difference(
        a=_amount(one.kept, one),
        b=_amount(other.kept, other),
        both=_amount(one.kept & ~only_a, one),
        only_a=_amount(only_a, one),
        only_b=_amount(only_b, other),
        settings=tuple(settings_that_differ(a.recipe, b.recipe)),
        lost_in_b=_costs(only_a, one, at, other),
        lost_in_a=_costs(only_b, other, back, one),
        reasons=_reasons(one, other),
        by={
            name: found
            for name in GROUPS
            if (found := _parts(name, (one, only_a), (other, only_b)))
        },
    )


def _side(rows: pa.Table, alone: bool) -> _Side:
    is_clip = pc.is_in(rows["item"].cast(pa.string()), pa.array([CLIP, PAGE]))
    clips, left = rows.filter(is_clip), rows.filter(pc.invert(is_clip))

    def keys(table: pa.Table) -> pa.Array:
        if alone:
            return table["id"].combine_chunks()
        streams = table["stream"].cast(pa.string())
        return pc.binary_join_element_wise(streams, table["id"], "\n").combine_chunks()

    return _Side(
        rows,
        clips,
        keys(clips),
        left,
        keys(left),
        clips["kept"].to_numpy(),
        clips["seconds"].to_numpy(),
    )


def _kept_there(at: pa.Array, there: _Side) -> Flags:
    """Whether each clip is kept by the other run; `at`: its place there, null where it has none."""
    if not len(there.kept):
        return np.zeros(len(at), np.bool_)
    known = at.is_valid().to_numpy(zero_copy_only=False)
    kept: Flags = known & there.kept[at.fill_null(0).to_numpy()]
    return kept


def _amount(flags: Flags, side: _Side) -> Amount:
    return Amount(items=int(flags.sum()), seconds=round(float(side.seconds[flags].sum()), 6))


def _costs(only: Flags, here: _Side, at: pa.Array, there: _Side) -> tuple[Cost, ...]:
    """By which reasons the other run let go of what only this one keeps."""
    chosen = pa.array(np.flatnonzero(only))
    place = at.take(chosen)
    before = pc.index_in(here.keys.take(chosen), there.left_keys)
    columns: dict[str, Any] = {"seconds": pa.array(here.seconds[only])}
    for name in ("phase", "step", "reason", "threshold"):
        kind = pa.float64() if name == "threshold" else pa.string()
        judged = there.clips[name].cast(kind).take(place)
        columns[name] = pc.coalesce(judged, there.left[name].cast(kind).take(before))
    table = pa.table(columns)
    keys = ["phase", "step", "reason"]
    summed = table.group_by(keys, use_threads=False).aggregate(
        [("seconds", "count"), ("seconds", "sum"), ("threshold", "min"), ("threshold", "max")]
    )
    found = [
        Cost(
            phase=row["phase"] or "",
            step=row["step"] or "",
            reason=row["reason"] or NOT_THERE,
            threshold=row["threshold_min"]
            if row["threshold_min"] == row["threshold_max"]
            else None,
            items=row["seconds_count"],
            seconds=round(row["seconds_sum"], 6),
        )
        for row in summed.to_pylist()
    ]
    return tuple(sorted(found, key=lambda cost: (-cost.seconds, cost.step, cost.reason)))


def _reasons(a: _Side, b: _Side) -> tuple[Reason, ...]:
    """Every drop of both runs by phase, step and reason."""
    keys = ["phase", "step", "reason"]
    found: dict[tuple[str, str, str], list[Amount]] = {}
    for place, side in enumerate((a, b)):
        left = side.rows.filter(pc.invert(side.rows["kept"]))
        table = pa.table({**{k: left[k].cast(pa.string()) for k in keys}, "s": left["seconds"]})
        summed = table.group_by(keys, use_threads=False).aggregate([("s", "count"), ("s", "sum")])
        for row in summed.to_pylist():
            name = (row["phase"], row["step"], row["reason"])
            both = found.setdefault(name, [Amount(items=0, seconds=0.0)] * 2)
            both[place] = Amount(items=row["s_count"], seconds=round(row["s_sum"], 6))
    reasons = [
        Reason(phase=phase, step=step, reason=reason, a=one, b=other)
        for (phase, step, reason), (one, other) in found.items()
    ]
    return tuple(
        sorted(reasons, key=lambda r: (-abs(r.b.seconds - r.a.seconds), r.phase, r.step, r.reason))
    )


def _parts(name: str, a: tuple[_Side, Flags], b: tuple[_Side, Flags]) -> tuple[Part, ...]:
    """Kept clips by one column; nothing where no clip has a value."""
    columns = [side.clips[name].cast(pa.string()) for side, _ in (a, b)]
    names = pa.chunked_array([*columns[0].chunks, *columns[1].chunks], pa.string())
    if names.null_count == len(names):
        return ()
    encoded = names.combine_chunks().dictionary_encode(null_encoding="encode")
    values = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy()
    own = (codes[: len(columns[0])], codes[len(columns[0]) :])

    def sums(place: int, flags: Flags, side: _Side) -> list[Amount]:
        chosen = own[place][flags]
        items = np.bincount(chosen, minlength=len(values))
        seconds = np.bincount(chosen, side.seconds[flags], len(values))
        return [
            Amount(items=int(n), seconds=round(float(s), 6))
            for n, s in zip(items, seconds, strict=True)
        ]

    kept = [sums(place, side.kept, side) for place, (side, _) in enumerate((a, b))]
    only = [sums(place, flags, side) for place, (side, flags) in enumerate((a, b))]
    parts = [
        Part(name=value, a=kept[0][n], b=kept[1][n], only_a=only[0][n], only_b=only[1][n])
        for n, value in enumerate(values)
        if kept[0][n].items or kept[1][n].items
    ]
    return tuple(
        sorted(parts, key=lambda p: (-(p.only_a.seconds + p.only_b.seconds), p.name or ""))
    )


def settings_that_differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Setting]:
    """The settings of two recipes, as `Recipe.canonical` gives them, that are not equal."""
    one, other = dict(_flat("", a)), dict(_flat("", b))
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key) and key != "name":
            yield Setting(key=key, a=one.get(key), b=other.get(key))


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}" if path else str(name), inner)
    elif isinstance(value, Sequence) and not isinstance(value, str) and _steps(value):
        seen: dict[str, int] = {}
        for step in value:
            ((name, settings),) = step.items()
            seen[name] = seen.get(name, 0) + 1
            label = name if seen[name] == 1 else f"{name}#{seen[name]}"
            yield f"{path}.{label}", "used"
            if settings:
                yield from _flat(f"{path}.{label}", settings)
    else:
        yield path, value


def _steps(value: Sequence[Any]) -> bool:
    """Whether a list is that of a stream's steps."""
    return bool(value) and all(isinstance(one, Mapping) and len(one) == 1 for one in value)
