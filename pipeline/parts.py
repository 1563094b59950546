"""Parts: the unit of work, retry and commit. A range of record ids, bounded in seconds.

Borders come from the digests of the ids (`schemas.ranges`), so data that grow leave the parts of
the old data alone; a part's work is those of its members that no commit accounts for yet.
"""

import array
import dataclasses
import itertools
import os
import pickle
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa

from pipeline.accounts import AT_ONCE
from pipeline.simple import Item
from pipeline.spilling import nameless_file
from schemas.ids import digest_of
from schemas.ranges import Range, ranges
from schemas.records import Recording, Task

PART_SECONDS = 600.0  # at most
LEAST_PART_SECONDS = 60.0
PARTS_PER_WORKER = 8
UNKNOWN_SECONDS = 60.0  # planned for a recording whose container does not say how long it is
LEAST_SECONDS = 2.0  # planned for any: a part of tiny clips holds hundreds of open files, not more
PARTS_PER_BLOCK = 256  # of what is packed
FEW_PARTS = 16 * PARTS_PER_BLOCK


P = TypeVar("P", bound=Item)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One record of a part, with what a worker needs to find its input."""

    root: Recording | Task
    seconds: float  # planned
    path: str | None = None  # hear: the local file with the recording's bytes
    upstream: tuple[str, ...] = ()  # names of the commits that hold its input rows

    @property
    def id(self) -> str:
        return self.root.id


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Members that are worked on and committed together."""

    id: str
    members: tuple[Member, ...]
    step: str | None = None  # the one step to run, of steps that need not go together; None: all

    @property
    def seconds(self) -> float:
        return sum(member.seconds for member in self.members)

    @property
    def attempt(self) -> str:
        """What its attempts are noted by: commits of two steps may share an id, attempts not."""
        return self.id if self.step is None else f"{self.id}-{self.step}"

    def alone(self, member: Member, step: str | None = None) -> "Part":
        """The part of one of its members by itself: what a crashing part is split into."""
        return Part(id=part_id([member.id], "alone"), members=(member,), step=step)


def part_id(ids: Iterable[str], salt: str = "") -> str:
    """The id of a part: of its members, in the order of their ids."""
    return digest_of("part", sorted(ids), salt)


def plan_parts(
    members: Iterable[Member],
    done: Collection[str],
    target: float = PART_SECONDS,
    salt: str = "",
) -> list[Part]:
    """Cut members into parts of about `target` seconds and leave out what is done.

    Longest first: a long part that starts last would be waited for.
    """
    by_id = {member.id: member for member in members}
    ordered = (member for _, member in sorted(by_id.items()))
    parts = plan(ordered, lambda ids: (name for name in ids if name not in done), target, salt)
    return sorted(parts, key=lambda part: (-part.seconds, part.id))


def plan(
    members: Iterable[Member],
    lacking: Callable[[Iterable[str]], Iterable[str]],
    target: float = PART_SECONDS,
    salt: str = "",
) -> Iterator[Part]:
    """The same parts one after the other, of members that come sorted by id.

    `lacking` tells of some ids which are not done. Some ten thousand members are held.
    """
    waiting: dict[str, Member] = {}

    def sizes() -> Iterator[tuple[str, float]]:
        for member in members:
            waiting[member.id] = member
            yield member.id, max(member.seconds, LEAST_SECONDS)

    for some in _by_members(ranges(sizes(), target)):
        todo = set(lacking([name for found in some for name in found.members]))
        for found in some:
            mine = (waiting.pop(name) for name in found.members)
            if left := tuple(member for member in mine if member.id in todo):
                yield Part(id=part_id((member.id for member in left), salt), members=left)


def _by_members(found: Iterable[Range]) -> Iterator[list[Range]]:
    """Ranges, as many at a time as hold enough members to look them up together."""
    some: list[Range] = []
    count = 0
    for one in found:
        some.append(one)
        count += len(one.members)
        if count >= AT_ONCE:
            yield some
            some, count = [], 0
    yield some


class Parts(Collection[P]):
    """Parts in the order of planning, each with an `id` and `seconds`: in memory while they are
    few, else packed in a temporary file, some hundred in a block.

    Read again and again from the first; nothing of all of them is held but a number per block.
    """

    def __init__(self, parts: Iterable[P] = ()):
        self.seconds = 0.0
        self._count = 0
        self._few: list[P] = []
        self._file: BinaryIO | None = None
        self._blocks = array.array("Q")  # bytes of each
        for part in parts:
            self._few.append(part)
            self.seconds += part.seconds
            self._count += 1
            if len(self._few) == (FEW_PARTS if self._file is None else PARTS_PER_BLOCK):
                self._pack()

    def _pack(self) -> None:
        if self._file is None:
            self._file = nameless_file()
        for at in range(0, len(self._few), PARTS_PER_BLOCK):
            self._blocks.append(self._file.write(packed(self._few[at : at + PARTS_PER_BLOCK])))
        self._few = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[P]:
        return itertools.chain.from_iterable(self.some())

    def __contains__(self, part: object) -> bool:
        return any(one == part for one in self)

    def some(self) -> Iterator[list[P]]:
        """All of them, some hundred at a time."""
        yield from (unpacked(data) for data in self._packed())
        if self._few:
            yield list(self._few)

    def _packed(self) -> Iterator[bytes]:
        place = 0
        for size in self._blocks:
            assert self._file is not None
            self._file.flush()
            yield os.pread(self._file.fileno(), size, place)
            place += size

    def blocks(self) -> Iterator[tuple[bytes, int]]:
        """Parts as they are packed, and how many these are."""
        yield from ((data, PARTS_PER_BLOCK) for data in self._packed())
        for at in range(0, len(self._few), PARTS_PER_BLOCK):
            some = self._few[at : at + PARTS_PER_BLOCK]
            yield packed(some), len(some)


def packed(parts: Sequence[Any]) -> bytes:
    """Parts as bytes. Reading them back runs what they say: see `pipeline/runners/dealt.py`."""
    data = pickle.dumps(parts, protocol=5)
    return len(data).to_bytes(8, "big") + bytes(pa.compress(data, codec="zstd", asbytes=True))


def unpacked(data: bytes) -> list[Any]:
    size = int.from_bytes(data[:8], "big")
    found: list[Any] = pickle.loads(pa.decompress(data[8:], size, codec="zstd", asbytes=True))
    return found


def part_target(total: float, workers: int) -> float:
    """Seconds of audio in a part, where nobody asked for a size: some parts for every worker.

    With a few large ones workers would wait for the last; and a part is never larger than what one
    would like to do again.
    """
    return min(PART_SECONDS, max(LEAST_PART_SECONDS, total / (PARTS_PER_WORKER * workers)))
