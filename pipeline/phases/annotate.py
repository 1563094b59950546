"""annotate: tasks in, clip rows out. Reads the stored FLAC by reference, writes no audio."""

import dataclasses
import functools
from typing import ClassVar

from pipeline import commits, layout
from pipeline.commits import Content, Done
from pipeline.parts import Member
from pipeline.work import Job, RootWork, Work, task_of
from schemas.records import AudioRef, Clip, Drop, Segment, Task
from schemas.store import Store
from transforms.spool import StoredAudio
from transforms.step import Scope


@functools.lru_cache(maxsize=8)
def segments_of(store: Store, name: str) -> dict[str, tuple[Segment, ...]]:
    """The segments of one hear commit by recording, in the order of channel and time."""
    found: dict[str, list[Segment]] = {}
    for segment in commits.records(store, name, "row", Segment):
        found.setdefault(segment.recording, []).append(segment)
    return {
        recording: tuple(sorted(segments, key=lambda s: (s.channel, s.start)))
        for recording, segments in found.items()
    }


def fetch_from(store: Store, hear_key: str, ref: AudioRef) -> bytes:
    """The FLAC bytes behind a reference."""
    return store.get_range(layout.tar_name(hear_key, ref.tar), ref.offset, ref.size)


def _no_channel(task: Task, stored: list[Segment]) -> Drop:
    """The table names a channel that holds nothing: said aloud, or the row would just vanish."""
    channels = sorted({segment.channel for segment in stored})
    return Drop(
        id=task.id,
        root=task.id,
        step="annotate",
        reason="no_such_channel",
        seconds=0.0,
        detail=f"channel {task.channel} is given, speech is stored for {channels}; for channels "
        "kept apart set decode.channels: split",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotateJob(Job):
    phase: ClassVar[str] = "annotate"
    record: ClassVar[type] = Clip

    hear_key: str

    def open_root(self, member: Member, work: Work) -> RootWork:
        task = task_of(member)
        stored, segments = self._segments(member)
        audio = None
        if segments:
            audio = StoredAudio(
                segments, functools.partial(fetch_from, self.store, self.hear_key), work.scratch
            )
            work.stack.callback(audio.close)
        return RootWork(
            member=member,
            scope=Scope(root=task, seed=self.seed, audio=audio),
            records=list(segments),
            drops=[_no_channel(task, stored)] if stored and not segments else [],
            entrance_seconds=self.entrance_seconds(member),
        )

    def entrance_seconds(self, member: Member) -> float:
        return sum(segment.seconds for segment in self._segments(member)[1])

    def _segments(self, member: Member) -> tuple[list[Segment], list[Segment]]:
        """What is stored of a task's recording, and what of it is the task's."""
        task = task_of(member)
        stored = [
            segment
            for name in member.upstream
            for segment in segments_of(self.store, name).get(task.recording, ())
        ]
        return stored, [s for s in stored if task.channel in (None, s.channel)]

    def finish(self, work: Work) -> Content:
        return Content(
            done=tuple(Done(id=r.member.id, seconds=r.entrance_seconds) for r in work.roots),
            rows=tuple(clip for root in work.roots for clip in root.records),
            drops=tuple(drop for root in work.roots for drop in root.drops),
            tallies=tuple(tally for root in work.roots for tally in root.tallies),
        )
