"""hear: recordings in, segments out. Audio is stored here once: one FLAC tar per part."""

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pipeline import bodies, layout
from pipeline.commits import Content, Done, Preview, drop_key
from pipeline.parts import Member
from pipeline.report import preview
from pipeline.work import Job, Place, RootWork, Work
from schemas import shard_tar
from schemas.ids import digest_of
from schemas.records import AudioRef, Recording, Segment, frames
from transforms import flac
from transforms.hear.decode import Decode
from transforms.spool import FileSpool
from transforms.step import Scope

PREVIEWS_PER_REASON = 4  # in a part
PREVIEW_SECONDS = 6.0


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
        path = member.path and bodies.bring(self.store, member.path, work.scratch)
        scope = Scope(root=member.root, seed=self.seed, audio=spool, sink=spool, path=path)
        return RootWork(member=member, scope=scope, records=[member.root])

    def entrance_seconds(self, member: Member) -> float:
        """What the container claims: nobody knows more before it is decoded."""
        return member.root.seconds

    def finish(self, work: Work) -> Content:
        rows, previews, digest = self._store_audio(work)
        return Content(
            done=tuple(
                Done(id=r.member.id, seconds=r.entrance_seconds, dead=_undecoded(r))
                for r in work.roots
            ),
            rows=rows,
            drops=tuple(drop for root in work.roots for drop in root.drops),
            tallies=tuple(tally for root in work.roots for tally in root.tallies),
            previews=previews,
            tar=digest,
        )

    def _store_audio(
        self, work: Work
    ) -> tuple[tuple[Segment, ...], tuple[Preview, ...], str | None]:
        """Write the part's tar and store it under its digest; segments get their AudioRef.

        Some of what was dropped goes in too, its first seconds, so that the report can play it:
        nothing else of it is stored anywhere.
        """
        path = work.scratch / "segments.tar"
        placed: list[tuple[Segment, int, int]] = []
        heard: list[tuple[str, int, int, int]] = []
        with path.open("wb") as file:
            for root in work.roots:
                for segment in root.records:
                    start = frames(segment.start, segment.rate)
                    end = frames(segment.end, segment.rate)
                    pcm = root.scope.samples().read(segment.channel, start, end)
                    data = flac.encode(pcm, segment.rate)
                    offset = append_member(file, f"{segment.id}.flac", data)
                    placed.append((segment, offset, len(data)))
            for key, place, root in _picked(self.seed, work):
                end = min(place.end, place.start + int(PREVIEW_SECONDS * self.rate))
                pcm = root.scope.samples().read(place.channel, place.start, end)
                data = flac.encode(pcm, self.rate)
                offset = append_member(file, f"{digest_of('preview', key)}.flac", data)
                heard.append((key, offset, len(data), len(pcm)))
            file.write(shard_tar.ending(file.tell()))
        if not placed and not heard:
            return (), (), None
        digest = _file_digest(path)
        self.store.take(layout.tar_name(self.key, digest), path)
        return _with_refs(placed, digest), _previews(heard, digest, self.rate), digest


def _undecoded(root: RootWork) -> bool:
    """Whether decode let go of the whole recording: it has nothing to annotate."""
    return any(drop.step == Decode.name() for drop in root.drops)


def _picked(seed: int, work: Work) -> Iterator[tuple[str, Place, RootWork]]:
    """A few drops of each reason, drawn by their ids, of which there are samples."""
    found: dict[str, dict[str, tuple[Place, RootWork]]] = {}
    for root in work.roots:
        for drop in root.drops:
            place = root.places.get(drop_key(drop))
            if place is not None and place.end > place.start:
                found.setdefault(drop.reason, {})[drop_key(drop)] = (place, root)
    for reason, places in sorted(found.items()):
        for key in sorted(preview.pick(seed, f"hear:{reason}", places, PREVIEWS_PER_REASON)):
            yield key, *places[key]


def _previews(
    heard: Sequence[tuple[str, int, int, int]], tar: str, rate: int
) -> tuple[Preview, ...]:
    return tuple(
        Preview(
            drop=key,
            audio=AudioRef(tar=tar, offset=offset, size=size, start=0, end=length, rate=rate),
        )
        for key, offset, size, length in heard
    )


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
