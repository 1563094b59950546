"""Content-defined ranges: how sorted ids are cut into parts of work and into shards.

A border stands where a digest of the id before it says so, never at "every n-th": a member that
joins or leaves moves only the borders near it, so parts that are done and shards that are written
stay valid when the data grow. The price is uneven ranges: a quarter to twice the target.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator

from schemas.ids import digest_of, set_digest

LOWEST = 0.25  # of the target: a range below it is not cut, except at the end
HIGHEST = 2.0  # of the target: a range above it does not exist, except a member by itself
LONE = HIGHEST - LOWEST  # of the target: a larger member is a range by itself


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Members in the order of their ids, and the sum of their sizes."""

    members: tuple[str, ...]
    size: float

    @property
    def digest(self) -> str:
        """An id of the range: of its members, whatever their sizes."""
        return set_digest(self.members)


def cut(members: Iterable[tuple[str, float]], target: float) -> list[Range]:
    """Cut (id, size) pairs into ranges of about `target`, in the order of their first ids.

    A pure function of the set of pairs. Every member is in exactly one range, and

    - a member above 1.75 times the target is a range by itself: it comes and goes without moving
      any border, and is what makes the next two bounds hold without exception;
    - no other range is above twice the target;
    - no other range is below a quarter of it, except the last.

    Members of size 0 never end a range, so give members of unknown size a guess above 0.
    Sizes share the unit of `target` (seconds, bytes). Raises ValueError for a size that is
    negative or not finite, for an id given twice and for a target that is not above 0.
    """
    return sorted(ranges(sorted(members), target), key=lambda found: found.members[0])


def ranges(ordered: Iterable[tuple[str, float]], target: float) -> Iterator[Range]:
    """`cut` for pairs that come sorted by id, holding no more of them than a range does.

    Ranges come as they are complete: one of a single large member before the range around it.
    Raises ValueError as `cut` does, and where an id comes after a later one.
    """
    if not (math.isfinite(target) and target > 0):
        raise ValueError(f"the target size of a range must be above 0, it is {target}")
    held: list[tuple[str, float, float]] = []  # id, size, pull of the border after it
    total = 0.0
    for member, size in _checked(ordered):
        if size > LONE * target:
            yield Range(members=(member,), size=size)
            continue
        while total + size > HIGHEST * target:
            split = _strongest(held, target)
            yield _range(held[:split])
            held = held[split:]
            total = _sum(held)
        pull = _pull(member, size, target)
        held.append((member, size, pull))
        total += size
        if total >= LOWEST * target and pull < 1.0:
            yield _range(held)
            held, total = [], 0.0
    if held:
        yield _range(held)


def _checked(ordered: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    last = None
    for member, size in ordered:
        if not (math.isfinite(size) and size >= 0):
            raise ValueError(f"the size of {member!r} is {size}; sizes are finite and not negative")
        if member == last:
            raise ValueError(f"{member!r} is given twice; a member belongs to one range")
        if last is not None and member < last:
            raise ValueError(f"{member!r} comes after {last!r}: members must be sorted by id")
        last = member
        yield member, size


def _sum(held: list[tuple[str, float, float]]) -> float:
    return sum((size for _, size, _ in held), 0.0)


def _range(held: list[tuple[str, float, float]]) -> Range:
    return Range(members=tuple(member for member, _, _ in held), size=_sum(held))


def _pull(member: str, size: float, target: float) -> float:
    """How far the digest of `member` is from asking for a border after it: below 1 it asks.

    The chance of asking is size / (rest + size), with `rest` the target less the least size, so
    that ranges of small members come out at the target on average whatever the members' sizes.
    Plain arithmetic only: an exponential could differ in its last bit between machines.
    """
    if size == 0:
        return math.inf
    rest = (1.0 - LOWEST) * target
    draw = int(digest_of("border", member)[:13], 16) / 16**13
    return draw * (rest + size) / size


def _strongest(held: list[tuple[str, float, float]], target: float) -> int:
    """Where to cut a range that would grow too large: its strongest border, not its last.

    Every border that leaves at least the least size before it stands for election; the last one
    always does, because no member here is larger than the difference of the two bounds.
    """
    best, best_pull, total = len(held), math.inf, 0.0
    for place, (_, size, pull) in enumerate(held, start=1):
        total += size
        if total >= LOWEST * target and pull < best_pull:
            best, best_pull = place, pull
    return best
