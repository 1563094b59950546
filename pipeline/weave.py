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
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker.statesampler import StateSampler

from pipeline import device, layout
from pipeline.failures import Failure, of_root
from pipeline.keys import settings_digest
from pipeline.near import remove_folder
from pipeline.parts import Part
from pipeline.phases import select
from pipeline.phases.select import SelectJob
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
def _noted() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _failures.append(error)
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


class _Dealt(beam.DoFn):
    """Parts as they are dealt: the fused transforms work on one before the next is asked for."""

    def process(self, phase: str) -> Iterator[Any]:
        yield from _dealt


class _Open(beam.DoFn):
    def __init__(self, job: Job):
        self.job = job

    def process(self, part: Part) -> Iterator[str]:
        for admitted in admit(self.job, part, self._gave_up):
            _tell("begin", admitted.id)
            with _noted():
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
    def __init__(self, job: Job, step: Step):
        self.job, self.step = job, step

    def setup(self) -> None:
        with _noted():
            self.model = model_of(self.step)

    def process(self, part: str) -> Iterator[str]:
        work = in_flight(part)
        name = f"{self.job.phase}/{self.step.name()}"
        before = [len(root.drops) for root in work.roots]
        with _noted():
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


class _Commit(beam.DoFn):
    def __init__(self, job: Job):
        self.job = job

    def process(self, part: str) -> Iterator[tuple[str, bool]]:
        work = in_flight(part)
        with _noted():
            won = self.job.commit(work)
        _tell("outcomes", [of_root(r.member.id, r.drops, r.member.path or "") for r in work.roots])
        Metrics.counter(NAMESPACE, f"{self.job.phase}/commits").inc(int(won))
        _tell("committed", (work.part.id, work.part.seconds))
        yield work.part.id, won


class _Whole(beam.DoFn):
    def __init__(self, job: SimpleJob):
        self.job = job

    def process(self, part: Any) -> Iterator[str]:
        _tell("begin", part.id)
        with _noted():
            outcomes = self.job.run_part(part)
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
    flowing = started | f"{job.phase}/open" >> hinted(_Open(job))
    for number, step in enumerate(job.steps):
        label = f"{job.phase}/{number}-{step.name()}"
        flowing = flowing | label >> hinted(_Run(job, step))
    return flowing | f"{job.phase}/commit" >> hinted(_Commit(job))


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
