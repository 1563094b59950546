"""What steps took, gave and dropped, added up exactly.

Seconds are summed as whole numbers of a very small unit, so that a sum does not depend on where
commits were cut, in which order they were read, or what was added up before: any batching gives
the same bits, and a sum that was stored can be added to. Rounded once, at the end, it is what
`math.fsum` gives for all of the numbers.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

TALLY = ("root", "step", "items_in", "items_out", "seconds_in", "seconds_out")
DROP = ("root", "step", "reason", "seconds")
UNIT = 1126  # seconds are counted in 2 ** -UNIT: below the least float's last bit

Exact: TypeAlias = int  # a sum of floats, in that unit


def exact(values: npt.NDArray[np.float64]) -> Exact:
    """The sum of floats, without rounding. Raises ValueError where one is not finite."""
    if not np.isfinite(values).all():
        raise ValueError("a sum over infinite seconds, or over none at all, has no meaning")
    fraction, exponent = np.frexp(values)
    whole = np.ldexp(fraction, 53).astype(np.int64)
    total = 0
    for power in np.unique(exponent):
        mine = whole[exponent == power]
        high, low = int((mine >> 32).sum()), int((mine & 0xFFFFFFFF).sum())
        total += ((high << 32) + low) << (int(power) - 53 + UNIT)
    return total


def rounded(total: Exact) -> float:
    """The float that is nearest to a sum."""
    return total / (1 << UNIT)


@dataclasses.dataclass
class Taken:
    """What one step took and gave."""

    items_in: int = 0
    items_out: int = 0
    seconds_in: Exact = 0
    seconds_out: Exact = 0


@dataclasses.dataclass
class Dropped:
    """What left at one step for one reason."""

    items: int = 0
    seconds: Exact = 0


@dataclasses.dataclass
class Sums:
    """Over any set of commits: by step, and by step, reason and whether the step had taken the
    record that left. One that ends its process is dropped in the name of a step that did not."""

    taken: dict[str, Taken] = dataclasses.field(default_factory=dict)
    dropped: dict[tuple[str, str, bool], Dropped] = dataclasses.field(default_factory=dict)

    def fold(self, tallies: pa.Table, drops: pa.Table) -> None:
        """Add rows (`TALLY` and `DROP`), those of a record all at once."""
        for step, rows in _grouped(tallies, "step"):
            into = self.taken.setdefault(step, Taken())
            into.items_in += pc.sum(rows["items_in"]).as_py()
            into.items_out += pc.sum(rows["items_out"]).as_py()
            into.seconds_in += exact(rows["seconds_in"].to_numpy())
            into.seconds_out += exact(rows["seconds_out"].to_numpy())
        for step, rows in _grouped(drops, "step"):
            took = tallies.filter(pc.equal(tallies["step"], step))["root"].combine_chunks()
            for seen, mine in _grouped(rows.append_column("seen", _among(rows, took)), "seen"):
                for reason, left in _grouped(mine, "reason"):
                    lost = self.dropped.setdefault((step, reason, seen), Dropped())
                    lost.items += left.num_rows
                    lost.seconds += exact(left["seconds"].to_numpy())

    def add(self, other: "Sums") -> None:
        """Add what was summed over other commits."""
        for step, more in other.taken.items():
            _add(self.taken.setdefault(step, Taken()), more)
        for reason, lost in other.dropped.items():
            _add(self.dropped.setdefault(reason, Dropped()), lost)

    def told(self) -> dict[str, Any]:
        """As JSON; seconds in hex, for no other reader takes them for a number."""
        return {
            "taken": {
                step: [one.items_in, one.items_out, hex(one.seconds_in), hex(one.seconds_out)]
                for step, one in sorted(self.taken.items())
            },
            "dropped": [
                [*reason, one.items, hex(one.seconds)]
                for reason, one in sorted(self.dropped.items())
            ],
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Sums":
        """From `told`."""
        return cls(
            taken={
                step: Taken(items_in, items_out, int(seconds_in, 16), int(seconds_out, 16))
                for step, (items_in, items_out, seconds_in, seconds_out) in told["taken"].items()
            },
            dropped={
                (step, reason, seen): Dropped(items, int(seconds, 16))
                for step, reason, seen, items, seconds in told["dropped"]
            },
        )


def _among(rows: pa.Table, roots: pa.Array) -> pa.ChunkedArray:
    return pc.is_in(rows["root"], value_set=roots)


def _grouped(rows: pa.Table, name: str) -> Iterator[tuple[Any, pa.Table]]:
    for value in rows[name].unique().to_pylist():
        yield value, rows.filter(pc.equal(rows[name], value))


def _add(into: Taken | Dropped, more: Taken | Dropped) -> None:
    for field in dataclasses.fields(into):
        setattr(into, field.name, getattr(into, field.name) + getattr(more, field.name))
