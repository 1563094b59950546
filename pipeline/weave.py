"""The one place where work becomes a Beam graph.

A phase is Create(parts) | open | one named transform per step | commit, fused into one stage, so
that audio never crosses a shuffle: what travels between transforms is a part in flight, which
refuses to be pickled. Every transform counts kept, dropped.<reason>, audio and compute time; the
counts that are kept for good stand in the commits (Beam counts attempts, commits count results).

`direct` is FnApiRunner by name: the stock DirectRunner would try another engine when it is online.
It runs everything in this process, as one of several workers with a queue of parts each
(`pipeline/supervise.py`); a distributed runner gets all parts and deals them itself.
"""

import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import device
from pipeline.parts import Part
from pipeline.simple import SimpleJob
from pipeline.work import Job, Notify, Work, admit, close_part, open_part, run_step
from transforms.step import Step

NAMESPACE = "speechloom"

_notify: Notify | None = None  # how this worker process tells its supervisor; None elsewhere
_models: dict[Step, Any] = {}  # one model per step and process, kept between phases
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


def model_of(step: Step) -> Any:
    """A step's model, loaded once per process."""
    if step not in _models:
        _models[step] = step.load()
    return _models[step]


def close_models() -> None:
    """Close what holds a child process or a file."""
    for model in _models.values():
        close = getattr(model, "close", None)
        if callable(close):
            close()
    _models.clear()


class _Open(beam.DoFn):
    def __init__(self, job: Job):
        self.job = job

    def process(self, part: Part) -> Iterator[Work]:
        for admitted in admit(self.job, part):
            _tell("begin", admitted.id)
            with _noted():
                work = open_part(self.job, admitted)
            try:
                yield work  # the fused steps and the commit run inside this yield
            finally:
                close_part(work)


class _Run(beam.DoFn):
    def __init__(self, job: Job, step: Step):
        self.job, self.step = job, step

    def setup(self) -> None:
        with _noted():
            self.model = model_of(self.step)

    def process(self, work: Work) -> Iterator[Work]:
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
        yield work


class _Commit(beam.DoFn):
    def __init__(self, job: Job):
        self.job = job

    def process(self, work: Work) -> Iterator[tuple[str, bool]]:
        with _noted():
            won = self.job.commit(work)
        Metrics.counter(NAMESPACE, f"{self.job.phase}/commits").inc(int(won))
        _tell("committed", (work.part.id, work.part.seconds))
        yield work.part.id, won


class _Whole(beam.DoFn):
    def __init__(self, job: SimpleJob):
        self.job = job

    def process(self, part: Any) -> Iterator[str]:
        _tell("begin", part.id)
        with _noted():
            self.job.run_part(part)
        Metrics.counter(NAMESPACE, f"{self.job.phase}/commits").inc()
        _tell("committed", (part.id, part.seconds))
        yield part.id


def graph(pipeline: beam.Pipeline, job: Job | SimpleJob, parts: Sequence[Any], deal: bool) -> Any:
    """The transforms of a phase. `deal` lets a distributed runner spread the parts."""
    started = pipeline | f"{job.phase}/parts" >> beam.Create(list(parts), reshuffle=deal)
    if isinstance(job, SimpleJob):
        return started | f"{job.phase}/run" >> beam.ParDo(_Whole(job))
    flowing = started | f"{job.phase}/open" >> beam.ParDo(_Open(job))
    for number, step in enumerate(job.steps):
        label = f"{job.phase}/{number}-{step.name()}"
        flowing = flowing | label >> beam.ParDo(_Run(job, step))
    return flowing | f"{job.phase}/commit" >> beam.ParDo(_Commit(job))


def counters(result: Any) -> dict[str, int]:
    """The counters of a finished run."""
    found = result.metrics().query()["counters"]
    totals: Counter[str] = Counter()
    for item in found:
        if item.key.metric.namespace == NAMESPACE:
            totals[item.key.metric.name] += item.committed or 0
    return dict(sorted(totals.items()))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Beam logs its bundles; errors and warnings stay."""
    log = logging.getLogger("apache_beam")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def run(
    job: Job | SimpleJob,
    parts: Sequence[Any],
    notify: Notify | None = None,
    options: Sequence[str] = ("--runner=FnApiRunner",),
) -> dict[str, int]:
    """Run a phase over parts. Returns Beam's counters.

    Raises what a step raised: a bug stops the run, with the record's id.
    """
    global _notify
    device.require(job.device)
    _notify = notify
    _failures.clear()
    local = any("FnApiRunner" in option for option in options)
    try:
        with _quiet():
            pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
            graph(pipeline, job, parts, deal=not local)
            result = pipeline.run()
            result.wait_until_finish()
        return counters(result)
    finally:
        _notify = None
