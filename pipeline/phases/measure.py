"""measure: clips in, one side table of scores per measure out, each under a key of its own.

So a new or changed measure is computed by itself, and never runs segment or transcribe again.
Measures that lack the same tasks share one pass over the audio.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from pipeline import commits, layout
from pipeline.commits import Content, Done, Tally
from pipeline.parts import Member, Part
from pipeline.phases.annotate import fetch_from
from pipeline.phases.pages import clip_of, holds_pages, read_pages
from pipeline.work import Job, RootWork, Work, crashed, task_of
from schemas.records import Clip, Scores
from schemas.store import Store
from transforms.spool import StoredAudio
from transforms.step import Measure, Scope

_ARROW = {float: pa.float64(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}


@functools.lru_cache(maxsize=8)
def clips_of(store: Store, name: str) -> dict[str, tuple[Clip, ...]]:
    """The clips of one annotate or synthesize commit by task, in the order of their index; the
    pages of an extract commit as clips of no length."""
    if holds_pages(name):
        return {page.id: (clip_of(page),) for page in read_pages(store, name).values()}
    found: dict[str, list[Clip]] = {}
    for clip in commits.records(store, name, "row", Clip):
        found.setdefault(clip.task, []).append(clip)
    return {task: tuple(sorted(clips, key=lambda c: c.index)) for task, clips in found.items()}


def score_schema(measure: Measure) -> pa.Schema:
    """The columns of a measure's side table."""
    return pa.schema(
        [pa.field("id", pa.string(), False)]
        + [pa.field(name, _ARROW[kind]) for name, kind in measure.columns.items()]
    )


def score_rows(measure: Measure, scores: list[Scores]) -> tuple[dict[str, object], ...]:
    """Scores as rows of the side table."""
    return tuple({"id": s.id, **dict(zip(measure.columns, s.values, strict=True))} for s in scores)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureJob(Job):
    phase: ClassVar[str] = "measure"
    record: ClassVar[type] = Scores

    hear_key: str
    keys: tuple[str, ...]  # one per step, in their order

    @property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(step for step in self.steps if isinstance(step, Measure))

    def open_root(self, member: Member, work: Work) -> RootWork:
        task = task_of(member)
        clips = self._clips(member)
        audio = None
        heard = [clip for clip in clips if clip.audio is not None]
        if heard and any(measure.needs_audio for measure in self.measures):
            audio = StoredAudio(
                heard, functools.partial(fetch_from, self.store, self.hear_key), work.scratch
            )
            work.stack.callback(audio.close)
        return RootWork(
            member=member,
            scope=Scope(root=task, seed=self.seed, audio=audio),
            records=clips,
            entrance_seconds=self.entrance_seconds(member),
        )

    def entrance_seconds(self, member: Member) -> float:
        return sum(clip.seconds for clip in self._clips(member))

    def _clips(self, member: Member) -> list[Clip]:
        return [
            clip
            for name in member.upstream
            for clip in clips_of(self.store, name).get(member.id, ())
        ]

    def _keyed(self, part: Part) -> list[tuple[Measure, str]]:
        """The measures that a part is about, each with its key."""
        pairs = zip(self.measures, self.keys, strict=True)
        return [(one, key) for one, key in pairs if part.step in (None, one.name())]

    def pieces(self, part: Part) -> list[Part]:
        """By measure too: one that ends its process takes no other's scores along."""
        names = [measure.name() for measure, _ in self._keyed(part)]
        return [part.alone(member, name) for member in part.members for name in names]

    def commit(self, work: Work) -> bool:
        won = False
        for measure, key in self._keyed(work.part):
            scores = [s for root in work.roots for s in root.scores.get(measure.name(), [])]
            tallies = (t for root in work.roots for t in root.tallies if t.step == measure.name())
            content = Content(
                done=tuple(Done(id=r.member.id, seconds=r.entrance_seconds) for r in work.roots),
                rows=score_rows(measure, scores),
                tallies=tuple(tallies),
            )
            schema = score_schema(measure)
            won |= commits.write(
                self.store, self.phase, key, work.part.id, content, schema, self.run
            )
        return won

    def give_up(self, part: Part) -> None:
        """Scores that are not known: the clips go on, and a filter judges them as unknown."""
        for measure, key in self._keyed(part):
            unknown = (None,) * len(measure.columns)
            clips = {member.id: self._clips(member) for member in part.members}
            scores = [Scores(id=c.id, values=unknown) for found in clips.values() for c in found]
            content = Content(
                done=tuple(
                    Done(id=m.id, seconds=self.entrance_seconds(m), dead=True) for m in part.members
                ),
                rows=score_rows(measure, scores),
                drops=tuple(crashed(name, measure.name(), 0.0) for name in clips),
                tallies=tuple(
                    unmeasured(name, measure.name(), found) for name, found in clips.items()
                ),
            )
            schema = score_schema(measure)
            commits.write(self.store, self.phase, key, part.id, content, schema, self.run)

    def is_committed(self, part: Part) -> bool:
        return all(
            self.store.size(layout.commit_name(self.phase, key, part.id)) is not None
            for _, key in self._keyed(part)
        )


def unmeasured(root: str, step: str, clips: Sequence[Clip]) -> Tally:
    """The tally of clips that passed a measure without an answer."""
    seconds = sum(clip.seconds for clip in clips)
    return Tally(
        root=root,
        step=step,
        items_in=len(clips),
        items_out=len(clips),
        seconds_in=seconds,
        seconds_out=seconds,
        compute_seconds=0.0,
    )
