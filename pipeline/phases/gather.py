"""gather: files in, recordings out: each file is digested and probed once, and remembered.

The memory is the phase's commits: a file is the same as before when its path, size, modification
time and inode are, and the id of a *look* at a file is a digest of these four. So a resumed or a
second run digests only what it has not seen, `--rehash` starts a new generation of looks, and two
runs at once cannot harm each other's memory. A file that was modified moments before it was
digested is looked at again next time (`transforms/gather/digests.py`).
"""

import dataclasses
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pipeline import bodies, commits, layout
from pipeline.commits import Content, Done
from pipeline.failures import UNREADABLE, Failure, Outcome
from pipeline.parts import part_id
from pipeline.simple import SimpleJob
from schemas.ids import digest_of
from schemas.ranges import cut
from schemas.records import Drop, Recording, Source, Task, task_id
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.door import Door
from transforms.gather.crawl import Crawl
from transforms.gather.digests import RACY_NS, DigestMemory
from transforms.gather.found import Fetched, Found

BYTES_PER_SECOND = 32_000.0  # 16 kHz PCM16: how long a file might be, before it is probed
PART_BYTES = 2 << 30
FETCHED_BYTES = 10e6  # taken for a body in a remote OUT: to ask for its size costs a request


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a look at a file found."""

    id: str  # digest of path, size, mtime, inode and generation
    recording: Recording


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GatherPart:
    """Files that one worker looks at."""

    id: str
    items: tuple[tuple[str, Found], ...]  # look id, found
    seconds: float


def generation(store: Store, key: str) -> int:
    """How often `--rehash` has been asked for."""
    return len(store.list(f"{layout.phase_folder('gather', key)}/generations"))


def forget(store: Store, key: str) -> None:
    """Start a new generation of looks: every file is digested again."""
    number = generation(store, key)
    while not store.put_if_absent(
        f"{layout.phase_folder('gather', key)}/generations/{number:06d}", b""
    ):
        number += 1


def look_id(path: str, generation: int) -> str | None:
    """The id of a look at a file as it is now; None where it cannot be seen at all."""
    if bodies.in_out(path):  # named by its bytes, which are never others
        return digest_of("look", path, generation)
    try:
        state = os.stat(path)
    except OSError:
        return None
    name = os.fsencode(path).hex()
    return digest_of("look", name, state.st_size, state.st_mtime_ns, str(state.st_ino), generation)


def size_of(path: str) -> float:
    """Bytes of a file; 0 where it went away since it was found, which crawl will tell."""
    if bodies.in_out(path):
        return FETCHED_BYTES
    try:
        return float(os.stat(path).st_size)
    except OSError:
        return 0.0


def _modified_ns(path: str) -> int | None:
    if bodies.in_out(path):
        return 0
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def plan_gather(items: Sequence[tuple[str, Found]], run: str) -> list[GatherPart]:
    """Parts of files, by bytes. The run is part of their ids: an unsettled look is taken anew."""
    by_id = dict(items)
    sizes = {name: size_of(found.path) for name, found in by_id.items()}
    return [
        GatherPart(
            id=part_id(found.members, run),
            items=tuple((name, by_id[name]) for name in found.members),
            seconds=found.size / BYTES_PER_SECOND,
        )
        for found in cut(((n, max(s, 1e6)) for n, s in sizes.items()), PART_BYTES)
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatherJob(SimpleJob):
    phase: ClassVar[str] = "gather"

    crawl: Crawl

    def run_part(self, part: GatherPart) -> list[Outcome]:
        rows: list[Look] = []
        done: list[Done] = []
        drops: list[Drop] = []
        outcomes: list[Outcome] = []
        scratch = tempfile.TemporaryDirectory(prefix="speechloom-", dir=self.scratch)
        with Door() as door, scratch as folder:
            for name, found in part.items:
                started = time.time_ns()
                path = bodies.bring(self.store, found.path, Path(folder))
                looked = dataclasses.replace(found, path=path)
                answer = next(iter(self.crawl([looked], door.probe, DigestMemory())))
                if path != found.path:
                    os.unlink(path)
                failed = isinstance(answer, Drop) and answer.reason in UNREADABLE
                outcomes.append(
                    Failure(name, "crawl", answer.reason, found.path)
                    if failed and isinstance(answer, Drop)
                    else None
                )
                if isinstance(answer, Fetched):
                    rows.append(Look(id=name, recording=answer.recording))
                    modified = _modified_ns(found.path)
                    if modified is not None and started - modified >= RACY_NS:
                        done.append(Done(id=name, seconds=answer.recording.seconds))
                else:
                    drops.append(answer)
        commits.write(
            self.store,
            self.phase,
            self.key,
            part.id,
            Content(done=tuple(done), rows=tuple(rows), drops=tuple(drops)),
            arrow_schema(Look),
            self.run,
        )
        return outcomes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Census:
    """What DATA holds, as this run sees it: every source is a recording or a drop."""

    sources: tuple[Source, ...]  # that hold a recording
    holds: Mapping[str, str]  # source id -> recording id
    recordings: Mapping[str, Recording]
    paths: Mapping[str, str]  # recording id -> a local file with its bytes
    tasks: Mapping[str, Task]
    sources_of: Mapping[str, tuple[Source, ...]]  # task id -> its sources, by uri
    drops: tuple[Drop, ...]
    dropped: tuple[Source, ...] = ()  # the sources of `drops`, in the same order
    pages: frozenset[str] = frozenset()  # the recordings that are files of pages


def census(pairs: Sequence[tuple[Found, Recording | Drop]]) -> Census:
    """Join sources, recordings and tasks. Of files with equal bytes the smallest uri stands."""
    sources: list[Source] = []
    holds: dict[str, str] = {}
    recordings: dict[str, Recording] = {}
    paths: dict[str, str] = {}
    tasks: dict[str, Task] = {}
    sources_of: dict[str, list[Source]] = {}
    drops: list[Drop] = []
    dropped: list[Source] = []
    for found, answer in sorted(pairs, key=lambda pair: (pair[0].source.uri, pair[0].source.id)):
        if isinstance(answer, Drop):
            drops.append(answer)
            dropped.append(found.source)
            continue
        source = found.source
        sources.append(source)
        holds[source.id] = answer.id
        if answer.id not in recordings:
            recordings[answer.id] = dataclasses.replace(answer, uri=source.uri)
            paths[answer.id] = found.path
        given = (source.channel, source.text, source.speaker, source.language, source.cues)
        name = task_id(answer.id, *given)
        tasks[name] = Task(
            id=name,
            recording=answer.id,
            channel=source.channel,
            text=source.text,
            speaker=source.speaker,
            language=source.language,
            seconds=answer.seconds,
            cues=source.cues,
        )
        sources_of.setdefault(name, []).append(source)
    return Census(
        sources=tuple(sources),
        holds=holds,
        recordings=recordings,
        paths=paths,
        tasks=tasks,
        sources_of={name: tuple(found) for name, found in sources_of.items()},
        drops=tuple(drops),
        dropped=tuple(dropped),
        pages=frozenset(holds[source.id] for source in sources if source.kind == "page"),
    )
