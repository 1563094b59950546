"""Parts: the unit of work, retry and commit. A range of record ids, bounded in seconds.

Borders come from the digests of the ids (`schemas.ranges`), so data that grow leave the parts of
the old data alone; a part's work is those of its members that no commit accounts for yet.
"""

import dataclasses
from collections.abc import Collection, Iterable

from schemas.ids import digest_of
from schemas.ranges import cut
from schemas.records import Recording, Task

PART_SECONDS = 600.0  # at most
LEAST_PART_SECONDS = 60.0
PARTS_PER_WORKER = 8
UNKNOWN_SECONDS = 60.0  # planned for a recording whose container does not say how long it is
LEAST_SECONDS = 2.0  # planned for any: a part of tiny clips holds hundreds of open files, not more


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
    ranges = cut(((m.id, max(m.seconds, LEAST_SECONDS)) for m in by_id.values()), target)
    parts = []
    for found in ranges:
        todo = tuple(by_id[name] for name in found.members if name not in done)
        if todo:
            parts.append(Part(id=part_id((m.id for m in todo), salt), members=todo))
    return sorted(parts, key=lambda part: (-part.seconds, part.id))


def part_target(total: float, workers: int) -> float:
    """Seconds of audio in a part, where nobody asked for a size: some parts for every worker.

    With a few large ones workers would wait for the last; and a part is never larger than what one
    would like to do again.
    """
    return min(PART_SECONDS, max(LEAST_PART_SECONDS, total / (PARTS_PER_WORKER * workers)))
