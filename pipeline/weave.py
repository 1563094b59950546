"""The one place where work becomes a Beam graph.

A phase is Create(parts) | open | one named transform per step | commit, fused into one stage, so
that audio never crosses a shuffle: what travels between transforms is the id of a part, whose
samples stay in this process. Every transform counts kept, dropped.<reason>, audio and compute
time; the counts that are kept for good stand in the commits (Beam counts attempts, commits count
results).

`direct` is FnApiRunner by name: the stock DirectRunner would try another engine when it is online.
It runs everything in this process, as one of several workers that are dealt part after part
(`pipeline/supervise.py`); a distributed runner gets all parts and deals them itself.
"""

import contextlib
import functools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker.statesampler import StateSampler

from pipeline import device, layout, notes
from pipeline.failures import Failure, of_root
from pipeline.keys import settings_digest
from pipeline.near import remove_folder
from pipeline.parts import Part
from pipeline.phases import select
from pipeline.phases.select import SelectJob
from pipeline.runners import dealt, reported
from pipeline.simple import SimpleJob
from pipeline.work import Job, Notify, Work, admit, close_part, open_part, run_step
from transforms.step import Grouping, Step

NAMESPACE = "speechloom"
SAMPLING_MS = 5
# Beam looks now and then which step a bundle is in, and a bundle's end waits for the next look: a
# tenth of a second for each phase and worker at Beam's 200 ms, which no option changes.
StateSampler.__init__.__defaults__ = (SAMPLING_MS,)

_notify: Notify | None = None  # how this worker process tells its supervisor; None elsewhere
_dealt: Iterator[Any] = iter(())  # the parts of the run under way that come one by one
_flying: dict[str, Work] = {}  # parts in flight in this process, by part id
_models: dict[str, Any] = {}  # one model per step and process, kept between phases
_loading = threading.Lock()
_failures: list[BaseException] = []  # what a step raised, before Beam wraps it in its own error


def _tell(kind: str, value: Any) -> None:
    if _notify is not None:
        _notify(kind, value)


def first_failure() -> BaseException | None:
    """The error that ended the last run, as it was raised."""
    return _failures[0] if _failures else None


@contextlib.contextmanager
def _noted(job: Job | SimpleJob | None = None) -> Iterator[None]:
    """Remember what is raised; with a job, in OUT, where the driver is another process."""
    try:
        yield
    except Exception as error:  # whatever a step raises is a bug: noted here, and raised again
        if job is None:
            _failures.append(error)
            raise
        try:
            reported.report(job, error)
        finally:
            _turn.give()
        raise


def in_flight(part: str) -> Work:
    """The work on a part. What travels between transforms is its id alone."""
    try:
        return _flying[part]
    except KeyError:
        raise RuntimeError(
            f"part {part} is not in flight in this process: the steps of a phase must stay fused "
            "(no reshuffle and no differing resource hints between them)"
        ) from None


def model_of(step: Step) -> Any:
    """A step's model, loaded once per process."""
    key = settings_digest(step)
    with _loading:  # a runner may set transforms up in several threads
        if key not in _models:
            _models[key] = step.load()
        return _models[key]


def close_models() -> None:
    """Close what holds a child process or a file."""
    for model in _models.values():
        close = getattr(model, "close", None)
        if callable(close):
            close()
    _models.clear()


class _Turn:
    """One part at a time in a process: an engine may give it several, in threads, and models and
    memory are made for one.

    Not a lock around the generator that works on a part: an engine that is told of an error keeps
    the generator with its trace, and the lock with it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._thread: int | None = None

    def take(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None)
            self._thread = threading.get_ident()

    def give(self) -> None:
        """Let the next one; nothing happens where it is not this thread's."""
        with self._changed:
            if self._thread == threading.get_ident():
                self._thread = None
                self._changed.notify()


_turn = _Turn()


def _to_begin(job: Job | SimpleJob, element: Any, remote: bool) -> Any:
    """The part that an element is, or stands for where the engine is another. Refuses a worker
    that is of another device class, and work for a run that must stop."""
    if not remote:
        return element
    if job.scratch is not None:
        os.makedirs(job.scratch, exist_ok=True)  # every machine has its own
    device.require(job.device)
    device.require_pinned()
    reported.stop_if_reported(job)
    return dealt.part_of(job, element)


class _Dealt(beam.DoFn):
    """Parts as they are dealt: the fused transforms work on one before the next is asked for."""

    def process(self, phase: str) -> Iterator[Any]:
        yield from _dealt


class _Open(beam.DoFn):
    """`remote`: the engine is another; `alone`: this part has a job of its own, and no attempt
    counts against it but by the driver (`pipeline/runners/submit.py`)."""

    def __init__(self, job: Job, remote: bool = False, alone: bool = False):
        self.job, self.remote, self.alone = job, remote, alone

    def process(self, element: Any) -> Iterator[str]:
        part: Part = _to_begin(self.job, element, self.remote)
        if not self.remote:
            yield from self._parts(part)
            return
        _turn.take()
        try:
            yield from self._parts(part)
        finally:
            _turn.give()

    def _parts(self, part: Part) -> Iterator[str]:
        gave_up = None if self.remote else self._gave_up
        admitted_parts = [part] if self.alone else admit(self.job, part, gave_up)
        for admitted in admitted_parts:
            _tell("begin", admitted.id)
            with _noted(self.job if self.remote else None):
                work = open_part(self.job, admitted)
            _flying[admitted.id] = work
            try:
                yield admitted.id  # the fused steps and the commit run inside this yield
            finally:
                del _flying[admitted.id]
                close_part(work)

    def _gave_up(self, part: Part) -> None:
        step = part.step or self.job.phase
        _tell("outcomes", [Failure(m.id, step, "crash", m.path or "") for m in part.members])


class _Run(beam.DoFn):
    def __init__(self, job: Job, step: Step, remote: bool = False):
        self.job, self.step, self.remote = job, step, remote

    def setup(self) -> None:
        with _noted(self.job if self.remote else None):
            self.model = model_of(self.step)

    def process(self, part: str) -> Iterator[str]:
        work = in_flight(part)
        name = f"{self.job.phase}/{self.step.name()}"
        before = [len(root.drops) for root in work.roots]
        with _noted(self.job if self.remote else None):
            tallies = run_step(self.job, self.step, self.model, work)
        count = functools.partial(Metrics.counter, NAMESPACE)
        count(f"{name}/kept").inc(sum(t.items_out for t in tallies))
        count(f"{name}/audio_ms").inc(round(1000 * sum(t.seconds_in for t in tallies)))
        count(f"{name}/compute_ms").inc(round(1000 * sum(t.compute_seconds for t in tallies)))
        reasons = Counter(
            drop.reason
            for root, seen in zip(work.roots, before, strict=True)
            for drop in root.drops[seen:]
        )
        for reason, items in sorted(reasons.items()):
            count(f"{name}/dropped.{reason}").inc(items)
        _tell("step", (self.step.name(), sum(t.compute_seconds for t in tallies)))
        yield part


class _Telling(beam.DoFn):
    """Commits. On another engine its process tells of them in manifests: the driver would have to
    open each of them."""

    remote: bool

    def setup(self) -> None:
        if self.remote:
            notes.begin()

    def finish_bundle(self) -> None:
        notes.flush(notes.LEAST)

    def teardown(self) -> None:
        notes.flush()


class _Commit(_Telling):
    def __init__(self, job: Job, remote: bool = False):
        self.job, self.remote = job, remote

    def process(self, part: str) -> Iterator[tuple[str, bool]]:
        work = in_flight(part)
        with _noted(self.job if self.remote else None):
            won = self.job.commit(work)
        _tell("outcomes", [of_root(r.member.id, r.drops, r.member.path or "") for r in work.roots])
        Metrics.counter(NAMESPACE, f"{self.job.phase}/commits").inc(int(won))
        _tell("committed", (work.part.id, work.part.seconds))
        yield work.part.id, won


class _Whole(_Telling):
    def __init__(self, job: SimpleJob, remote: bool = False):
        self.job, self.remote = job, remote

    def process(self, element: Any) -> Iterator[str]:
        part = _to_begin(self.job, element, self.remote)
        _tell("begin", part.id)
        if self.remote:
            _turn.take()
        try:
            with _noted(self.job if self.remote else None):
                outcomes = self.job.run_part(part)
        finally:
            _turn.give()
        if outcomes:
            _tell("outcomes", outcomes)
        Metrics.counter(NAMESPACE, f"{self.job.phase}/commits").inc()
        _tell("committed", (part.id, part.seconds))
        yield part.id


def _hinted(job: Job | SimpleJob, transform: Any) -> Any:
    return transform.with_resource_hints(**job.hints) if job.hints else transform


def graph(
    pipeline: beam.Pipeline,
    job: Job | SimpleJob,
    parts: Sequence[Any] | None,
    deal: bool,
) -> Any:
    """The transforms of a phase. `deal` lets a distributed runner spread the parts; None: they are
    dealt to this process one by one.

    The job's resource hints are on every transform alike: with differing ones they could not be
    fused. A runner that has no use for them ignores them.
    """

    def hinted(do: beam.DoFn) -> Any:
        return _hinted(job, beam.ParDo(do))

    elements = [job.phase] if parts is None else list(parts)
    started = pipeline | f"{job.phase}/parts" >> _hinted(job, beam.Create(elements, reshuffle=deal))
    if parts is None:
        started = started | f"{job.phase}/dealt" >> hinted(_Dealt())
    if isinstance(job, SimpleJob):
        return started | f"{job.phase}/run" >> hinted(_Whole(job))
    return _chained(started, job, hinted)


def _chained(
    started: Any,
    job: Job,
    hinted: Callable[[beam.DoFn], Any],
    remote: bool = False,
    alone: bool = False,
) -> Any:
    flowing = started | f"{job.phase}/open" >> hinted(_Open(job, remote, alone))
    for number, step in enumerate(job.steps):
        label = f"{job.phase}/{number}-{step.name()}"
        flowing = flowing | label >> hinted(_Run(job, step, remote))
    return flowing | f"{job.phase}/commit" >> hinted(_Commit(job, remote))


def spread(
    pipeline: beam.Pipeline, job: Job | SimpleJob, lists: Sequence[str], alone: bool = False
) -> Any:
    """The same phase for an engine that deals the parts itself: its elements are names.

    `lists` are those of `pipeline.runners.dealt.write`. The one shuffle, between the names of
    parts and the work, lets an engine spread and rebalance them.
    """

    def hinted(do: beam.DoFn) -> Any:
        return _hinted(job, beam.ParDo(do))

    created = _hinted(job, beam.Create(list(lists), reshuffle=False))
    expanded = _hinted(job, beam.FlatMap(functools.partial(dealt.elements, job)))
    expanded = expanded.with_output_types(str)
    named = pipeline | f"{job.phase}/lists" >> created | f"{job.phase}/parts" >> expanded
    spread_out = named | f"{job.phase}/spread" >> _hinted(job, beam.Reshuffle())
    if isinstance(job, SimpleJob):
        return spread_out | f"{job.phase}/run" >> hinted(_Whole(job, True))
    return _chained(spread_out, job, hinted, True, alone)


def select_over(job: SelectJob, part: Any, options: Sequence[str]) -> None:
    """select, its group-bys and partitions dealt by an engine with these options."""
    each = _each_with(options, False)
    select.run_select(job, part.blocks, _group_with(options, job), each)


def _group_with(options: Sequence[str], job: SelectJob) -> Any:
    """The group-by of select as a pipeline: packed keys by prefix in, losers out through OUT.

    What crosses the group-by are the names of blocks that wait in OUT: the local runner keeps all
    bytes of a group-by in memory, four times over.
    """

    def group(step: Grouping, place: str, keyed: Iterable[tuple[str, bytes]]) -> list[Any]:
        root = layout.phase_folder("select", job.key)
        folder = f"{root}/losers/{place}"
        names = []
        for number, (prefix, block) in enumerate(keyed):
            names.append((prefix, f"{root}/keys/{place}/{number:07d}.arrow"))
            job.store.put_if_absent(names[-1][1], block)

        def settle(prefix: str, blocks: Iterable[str]) -> str:
            lost = select.gathered(step, (job.store.get(block) for block in blocks))
            if lost.num_rows:
                name = f"{folder}/{prefix}.arrow"
                job.store.put_if_absent(name, select.to_ipc(lost))
            return prefix

        pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
        label = f"select/{step.name()}-{place}"
        _ = (
            pipeline
            | f"{label}/keys" >> beam.Create(names, reshuffle=False)
            | f"{label}/gather" >> beam.GroupByKey()
            | f"{label}/settle" >> beam.MapTuple(settle)
        )
        pipeline.run().wait_until_finish()
        remove_folder(job.store, f"{root}/keys")
        return [select.from_ipc(job.store.get(entry.name)) for entry in job.store.list(folder)]

    return group


def _each_with(options: Sequence[str], local: bool) -> Any:
    """`pipeline.near.Each` as a pipeline: every partition's name, and its work."""

    def each(label: str, items: Sequence[str], work: Callable[[str], None]) -> None:
        def done(item: str) -> str:
            with _noted():
                work(item)
            return item

        pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
        _ = (
            pipeline
            | f"{label}/parts" >> beam.Create(list(items), reshuffle=not local)
            | f"{label}/work" >> beam.Map(done)
        )
        pipeline.run().wait_until_finish()

    return each


def counters(result: Any) -> dict[str, int]:
    """The counters of a finished run."""
    found = result.metrics().query()["counters"]
    totals: Counter[str] = Counter()
    for item in found:
        if item.key.metric.namespace == NAMESPACE:
            totals[item.key.metric.name] += item.committed or 0
    return dict(sorted(totals.items()))


def run(
    job: Job | SimpleJob,
    parts: Sequence[Any] | Iterator[Any],
    notify: Notify | None = None,
    options: Sequence[str] = ("--runner=FnApiRunner",),
) -> dict[str, int]:
    """Run a phase over parts, with the job's resource hints. Returns Beam's counters.

    From an iterator each part is taken when the one before is done. Raises what a step raised: a
    bug stops the run, with the record's id.
    """
    global _notify, _dealt
    device.require(job.device)
    _notify = notify
    _failures.clear()
    local = any("FnApiRunner" in option for option in options)
    try:
        if isinstance(job, SelectJob):
            for part in parts:
                _tell("begin", part.id)
                with _noted():
                    each = _each_with(options, local)
                    select.run_select(job, part.blocks, _group_with(options, job), each)
                _tell("committed", (part.id, part.seconds))
            return {"select/commits": 1}
        pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
        listed = parts if isinstance(parts, Sequence) else None
        _dealt = iter(()) if listed is not None else iter(parts)
        graph(pipeline, job, listed, deal=not local)
        result = pipeline.run()
        result.wait_until_finish()
        return counters(result)
    finally:
        _notify, _dealt = None, iter(())
