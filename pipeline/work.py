"""A job: one phase of one run, as plain functions that know nothing of Beam.

`open_part` finds the input of a part, `run_step` puts one step over it, `commit_part` writes what
came out. `pipeline/weave.py` lifts these three into a Beam graph; the bundle-replay tests call
them directly, twice and in other orders.

The law of conservation is checked here, at every step and for every root: what a step gives and
what it drops must add up to what it took, to the frame.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import commits, layout
from pipeline.commits import Content, Done, Tally
from pipeline.parts import Member, Part
from schemas.pages import Utterance
from schemas.records import Clip, Drop, Recording, Scores, Segment, Task, Waveform, frames
from schemas.store import Store
from schemas.strict_yaml import SettingsError
from transforms.engines.generator_meter import Spent
from transforms.step import Measure, Scope, Step

ATTEMPTS = 2  # unfinished ones in this run, before a part is split and a record given up


class ConservationError(AssertionError):
    """A step lost or invented items or seconds: a bug, never bad data."""


class StepError(RuntimeError):
    """A step raised: carries the record's id, so that the bug can be found."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where in a recording something lay."""

    channel: int
    start: int  # frames
    end: int


@dataclasses.dataclass
class RootWork:
    """One recording or task on its way through the steps of a phase."""

    member: Member
    scope: Scope
    records: list[Any]
    drops: list[Drop] = dataclasses.field(default_factory=list)
    scores: dict[str, list[Scores]] = dataclasses.field(default_factory=dict)
    tallies: list[Tally] = dataclasses.field(default_factory=list)
    places: dict[str, Place] = dataclasses.field(default_factory=dict)  # of drops, by drop key
    spent: dict[str, Spent] = dataclasses.field(default_factory=dict)  # on generated text, by step
    entrance_seconds: float = 0.0


@dataclasses.dataclass
class Work:
    """A part in flight: never leaves the worker that opened it."""

    part: Part
    roots: list[RootWork]
    scratch: Path
    stack: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One phase under one key. Picklable; built by the driver, run by workers."""

    phase: ClassVar[str]
    record: ClassVar[type]  # of the committed rows

    key: str
    store: Store
    seed: int
    steps: tuple[Step, ...]
    run: str
    device: str
    scratch: str | None = None  # folder for worker scratch; None: the system's
    scratch_bytes: int = 8 << 30  # cap for one recording's samples
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)  # `Recipe.hints` of it

    @property
    def row_schema(self) -> pa.Schema:
        from schemas.tables import arrow_schema

        return arrow_schema(self.record)

    def open_root(self, member: Member, work: Work) -> RootWork:
        raise NotImplementedError

    def entrance_seconds(self, member: Member) -> float:
        """Seconds of audio that a member brings into this phase."""
        raise NotImplementedError

    def finish(self, work: Work) -> Content:
        """What a part's commit says; audio, if any, is stored before."""
        raise NotImplementedError

    def commit(self, work: Work) -> bool:
        return commits.write(
            self.store,
            self.phase,
            self.key,
            work.part.id,
            self.finish(work),
            self.row_schema,
            self.run,
        )

    def is_committed(self, part: Part) -> bool:
        return self.store.size(layout.commit_name(self.phase, self.key, part.id)) is not None

    def pieces(self, part: Part) -> list[Part]:
        """What a part that ended its workers is split into, so that only the culprit is lost."""
        return [part.alone(member) for member in part.members]

    def give_up(self, part: Part) -> None:
        """Commit the members of a part as dead letters: they end any process that tries them."""
        seconds = {member.id: self.entrance_seconds(member) for member in part.members}
        content = Content(
            done=tuple(
                Done(id=name, seconds=length, dead=True) for name, length in seconds.items()
            ),
            drops=tuple(crashed(name, self.phase, length) for name, length in seconds.items()),
        )
        commits.write(self.store, self.phase, self.key, part.id, content, self.row_schema, self.run)


def crashed(root: str, step: str, seconds: float) -> Drop:
    """The dead letter of a record that ends the process which works on it."""
    return Drop(
        id=root,
        root=root,
        step=step,
        reason="crash",
        seconds=seconds,
        detail=f"the worker died {ATTEMPTS} times on this record alone",
    )


def attempts(job: Job, part: Part) -> int:
    """Attempts at a part that this run has noted."""
    return next(n for n in itertools.count() if job.store.size(_note(job, part, n + 1)) is None)


def _note(job: Job, part: Part, number: int) -> str:
    return layout.attempt_name(job.phase, job.key, part.attempt, job.run, number)


def begin(job: Job, part: Part) -> int:
    """Note that an attempt at a part begins. Returns its number, from 1.

    Notes carry the run: an attempt that ended because the whole run was killed is no evidence
    against the part, one that ended while the run went on is. They are counted by asking for one
    after the other, there are few: a listing would hold those of all other parts as well.
    """
    said = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    note = json.dumps(said).encode()
    tries = itertools.count(1)
    return next(n for n in tries if job.store.put_if_absent(_note(job, part, n), note))


def admit(
    job: Job, part: Part, gave_up: Callable[[Part], None] | None = lambda part: None
) -> Iterator[Part]:
    """The parts to work on in place of `part`: itself, or its pieces after crashes.

    `gave_up` is told of each piece that becomes a dead letter. None: there are no dead letters
    here, such a piece is left out. Where an engine ends many parts for one that went wrong, only
    the driver can tell which (`pipeline/runners/submit.py`).
    """
    if job.is_committed(part):
        return
    if begin(job, part) <= ATTEMPTS:
        yield part
        return
    for single in job.pieces(part):
        if job.is_committed(single):
            continue
        if begin(job, single) <= ATTEMPTS:
            yield single
        elif gave_up is not None:
            job.give_up(single)
            gave_up(single)


def open_part(job: Job, part: Part) -> Work:
    """Find the input of a part; nothing is decoded yet."""
    scratch = Path(tempfile.mkdtemp(prefix="speechloom-", dir=job.scratch))
    work = Work(part=part, roots=[], scratch=scratch)
    try:
        work.roots = [job.open_root(member, work) for member in part.members]
    except BaseException:
        close_part(work)
        raise
    return work


def close_part(work: Work) -> None:
    """Give the scratch back, whatever happened."""
    work.stack.close()
    shutil.rmtree(work.scratch, ignore_errors=True)


def run_step(job: Job, step: Step, model: Any, work: Work) -> list[Tally]:
    """Put one step over every root of a part. Returns its tallies, one per root."""
    if work.part.step not in (None, step.name()):
        return []
    one = functools.partial(_run_root, job, step, model)
    threads = min(getattr(step, "concurrency", 1), len(work.roots))
    if threads <= 1:
        return [one(root) for root in work.roots]
    with ThreadPoolExecutor(threads, step.name()) as pool:  # what it waits for is not this machine
        return list(pool.map(one, work.roots))


def _run_root(job: Job, step: Step, model: Any, root: RootWork) -> Tally:
    started = time.perf_counter()
    try:
        if isinstance(step, Measure):
            _measure(step, model, root)
        else:
            _step(step, model, root)
    except (ConservationError, StepError):
        raise
    except (MemoryError, OSError, SettingsError):  # a disk, or an endpoint that is down: no bug
        raise
    except Exception as error:
        raise StepError(
            f"{job.phase}/{step.name()} failed on {root.member.id}"
            f"{' (' + root.member.path + ')' if root.member.path else ''}: "
            f"{type(error).__name__}: {error}. This is a bug in the step, not bad data: "
            "report it with this id"
        ) from error
    spent = time.perf_counter() - started
    root.tallies[-1] = dataclasses.replace(root.tallies[-1], compute_seconds=spent)
    if (meter := getattr(model, "meter", None)) is not None:
        root.spent[step.name()] = meter.take(root.member.id)
    return root.tallies[-1]


def _length(record: Any) -> int:
    """Frames of audio that a record stands for."""
    if isinstance(record, Waveform):
        return record.length
    if isinstance(record, Segment | Clip):
        return frames(record.end, record.rate) - frames(record.start, record.rate)
    return 0


def _rate(records: Sequence[Any]) -> int:
    """The rate of audio records; a recording's rate is a claim and does not count."""
    audio = (r for r in records if isinstance(r, Waveform | Segment | Clip))
    return next((record.rate for record in audio), 16000)


def _step(step: Step, model: Any, root: RootWork) -> None:
    taken = root.records
    given: list[Any] = []
    dropped: list[Drop] = []
    if taken:
        for item in step(taken, model, root.scope):  # type: ignore[operator]
            (dropped if isinstance(item, Drop) else given).append(item)
    spoken = bool(taken) and getattr(step, "makes_audio", False)
    entrance = spoken or (bool(taken) and isinstance(taken[0], Recording))
    if taken and not given and not dropped:
        raise ConservationError(
            f"{step.name()}: {len(taken)} records of {root.member.id} went in, none came out and "
            "none was dropped"
        )
    if spoken:
        _each_said(step, taken, given, dropped, root)
    if entrance:  # nobody knows how long a recording is before it is decoded, or a text spoken
        seconds_in = sum(_length(record) for record in given) / _rate(given)
        seconds_in += sum(drop.seconds for drop in dropped)
        if isinstance(taken[0], Recording | Utterance):
            root.entrance_seconds = seconds_in
    else:
        seconds_in = _conserved(step, taken, given, dropped, root)
    rate = _rate(given or taken)
    root.records = given
    dropped = [dataclasses.replace(drop, root=root.member.id) for drop in dropped]
    root.drops.extend(dropped)
    root.places |= _places(taken, dropped)
    root.tallies.append(
        Tally(
            root=root.member.id,
            step=step.name(),
            items_in=len(taken),
            items_out=len(given),
            seconds_in=seconds_in,
            seconds_out=sum(_length(r) for r in given) / rate,
            compute_seconds=0.0,
        )
    )


def _each_said(
    step: Step, taken: list[Any], given: list[Any], dropped: list[Drop], root: RootWork
) -> None:
    """Each record became one clip, or left by its own name."""
    left = {drop.id for drop in dropped} & {record.id for record in taken}
    if len(given) + len(left) != len(taken):
        raise ConservationError(
            f"{step.name()}: {len(taken)} records of {root.member.id} went in, {len(given)} "
            f"came out as clips and {len(left)} were dropped by their ids"
        )


def _places(taken: Sequence[Any], dropped: Sequence[Drop]) -> dict[str, Place]:
    """Where the drops of a step lay, as far as its input says."""
    spans: dict[str, Place] = {}
    for record in taken:
        if isinstance(record, Segment | Clip):
            start, end = frames(record.start, record.rate), frames(record.end, record.rate)
            spans[record.id] = Place(record.channel, start, end)
    channels = [record for record in taken if isinstance(record, Waveform)]
    if len(channels) == 1:  # of several, a stretch does not say which
        spans[channels[0].recording] = Place(channels[0].channel, 0, channels[0].length)
    rate = _rate(taken)
    found = {}
    for drop in dropped:
        place = spans.get(drop.id)
        if place is not None and drop.start is not None and drop.end is not None:
            place = Place(place.channel, frames(drop.start, rate), frames(drop.end, rate))
        if place is not None:
            found[commits.drop_key(drop)] = place
    return found


def _conserved(
    step: Step, taken: list[Any], given: list[Any], dropped: list[Drop], root: RootWork
) -> float:
    """Check frames in = frames out + frames dropped; returns the seconds in."""
    rate = _rate(taken)
    before = sum(_length(record) for record in taken)
    after = sum(_length(record) for record in given)
    left = sum(frames(drop.seconds, rate) for drop in dropped)
    if before != after + left:
        raise ConservationError(
            f"{step.name()}: {root.member.id} brought {before} frames, {after} came out and {left} "
            f"were dropped: {before - after - left} are unaccounted for"
        )
    if taken and isinstance(taken[0], Clip):
        seen = {clip.id for clip in given} | {drop.id for drop in dropped}
        if lost := _lost([clip for clip in taken if clip.id not in seen], given):
            raise ConservationError(f"{step.name()}: clips {sorted(lost)[:3]} vanished")
    return before / rate


def _lost(gone: Sequence[Clip], given: Sequence[Clip]) -> set[str]:
    """The clips that were not cut into others: no given clips lie end to end where they were."""
    begins = {(c.channel, frames(c.start, c.rate)): frames(c.end, c.rate) for c in given}
    lost = set()
    for clip in gone:
        at, end = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
        while at < end and (clip.channel, at) in begins and begins[clip.channel, at] > at:
            at = begins[clip.channel, at]
        if at != end or not clip.seconds:
            lost.add(clip.id)
    return lost


def _measure(step: Measure, model: Any, root: RootWork) -> None:
    """Scores of every clip; text between speech has no sound that could be measured."""
    heard = [clip for clip in root.records if clip.audio is not None or not step.needs_audio]
    scores = list(step(heard, model, root.scope)) if heard else []
    if [s.id for s in scores] != [clip.id for clip in heard]:
        raise ConservationError(
            f"{step.name()}: one score per clip, in order, is the contract; {root.member.id} has "
            f"{len(heard)} clips and {len(scores)} scores"
        )
    if len(heard) < len(root.records):
        known = {one.id: one for one in scores}
        unknown = (None,) * len(step.columns)
        scores = [known.get(clip.id) or Scores(id=clip.id, values=unknown) for clip in root.records]
    root.scores[step.name()] = scores
    seconds = sum(_length(clip) for clip in root.records) / _rate(root.records)
    root.tallies.append(
        Tally(
            root=root.member.id,
            step=step.name(),
            items_in=len(scores),
            items_out=len(scores),
            seconds_in=seconds,
            seconds_out=seconds,
            compute_seconds=0.0,
        )
    )


def task_of(member: Member) -> Task:
    if not isinstance(member.root, Task):
        raise TypeError(f"{member.id} is not a task")
    return member.root


Notify = Callable[[str, Any], None]
