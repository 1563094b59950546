"""hear: recordings in, segments out. Audio is stored here once: one FLAC tar per part."""

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pipeline import layout
from pipeline.commits import Content, Done
from pipeline.parts import Member
from pipeline.work import Job, RootWork, Work
from schemas import shard_tar
from schemas.records import AudioRef, Recording, Segment, frames
from transforms import flac
from transforms.hear.decode import Decode
from transforms.spool import FileSpool
from transforms.step import Scope


@dataclasses.dataclass(frozen=True, kw_only=True)
class HearJob(Job):
    phase: ClassVar[str] = "hear"
    record: ClassVar[type] = Segment

    @property
    def rate(self) -> int:
        """The sample rate that everything after decode works at."""
        return next(step.rate for step in self.steps if isinstance(step, Decode))

    def open_root(self, member: Member, work: Work) -> RootWork:
        if not isinstance(member.root, Recording):
            raise TypeError(f"{member.id} is not a recording")
        spool = FileSpool(work.scratch, self.rate, self.scratch_bytes)
        work.stack.callback(spool.close)
        scope = Scope(root=member.root, seed=self.seed, audio=spool, sink=spool, path=member.path)
        return RootWork(member=member, scope=scope, records=[member.root])

    def finish(self, work: Work) -> Content:
        rows, digest = self._store_audio(work)
        return Content(
            done=tuple(Done(id=r.member.id, seconds=r.entrance_seconds) for r in work.roots),
            rows=rows,
            drops=tuple(drop for root in work.roots for drop in root.drops),
            tallies=tuple(tally for root in work.roots for tally in root.tallies),
            tar=digest,
        )

    def _store_audio(self, work: Work) -> tuple[tuple[Segment, ...], str | None]:
        """Write the part's tar and store it under its digest; segments get their AudioRef."""
        path = work.scratch / "segments.tar"
        placed: list[tuple[Segment, int, int]] = []
        with path.open("wb") as file:
            for root in work.roots:
                for segment in root.records:
                    start = frames(segment.start, segment.rate)
                    end = frames(segment.end, segment.rate)
                    pcm = root.scope.samples().read(segment.channel, start, end)
                    data = flac.encode(pcm, segment.rate)
                    placed.append(
                        (segment, append_member(file, f"{segment.id}.flac", data), len(data))
                    )
            if placed:
                file.write(shard_tar.ending(file.tell()))
        if not placed:
            return (), None
        digest = _file_digest(path)
        self.store.put_if_absent(layout.tar_name(self.key, digest), path)
        return _with_refs(placed, digest), digest


def append_member(file: io.BufferedWriter, name: str, data: bytes) -> int:
    """Append a tar member with constant headers. Returns the byte offset of its data."""
    file.write(shard_tar.header(name, len(data)))
    offset = file.tell()
    file.write(data)
    file.write(shard_tar.padding(len(data)))
    return offset


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with_refs(placed: Sequence[tuple[Segment, int, int]], tar: str) -> tuple[Segment, ...]:
    return tuple(
        dataclasses.replace(
            segment,
            audio=AudioRef(
                tar=tar,
                offset=offset,
                size=size,
                start=0,
                end=frames(segment.end, segment.rate) - frames(segment.start, segment.rate),
                rate=segment.rate,
            ),
        )
        for segment, offset, size in placed
    )
