"""The supervisor: a light process that owns the workers and outlives their crashes.

The local runner neither retries nor balances, and a native crash takes its process along. So every
worker is a process of its own, is dealt part after part, longest first, and runs them as one Beam
pipeline; the supervisor imports no Beam, watches, and starts a worker again where it died, with
the part that it worked on. Workers are forks of the nursery, which has imported what they
need (`pipeline/nursery.py`). The attempt notes in OUT then see to it that a part which kills
its worker is split, and the record that does it is given up (`pipeline/work.py`).
"""

import contextlib
import dataclasses
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from pipeline import device, nursery
from pipeline.nursery import Forked, Nursery, NurseryLost
from pipeline.work import ConservationError
from transforms.step import Step

START_FAILURES = 3
DEATH_SECONDS = 60.0  # from the end of a worker's pipe to its own


class RunFailedError(RuntimeError):
    """A phase failed: a bug, a full disk, or workers that do not start."""

    def __init__(self, message: str, trace: str = ""):
        super().__init__(message)
        self.trace = trace


Observe = Callable[[str, Any], None]


@dataclasses.dataclass
class _Lane:
    process: Forked
    connection: Connection
    job: Any = None
    part: Any = None  # that was dealt to it and is not done
    again: bool = False  # it is dealt to a process for the second time
    busy: bool = False
    began: bool = False  # since the process started
    failures: int = 0  # starts in a row that ended before any part began


def _ignore(kind: str, value: Any) -> None:
    pass


class Workers:
    """A handful of worker processes that stay for the whole run, models loaded."""

    def __init__(self, observe: Observe = _ignore):
        self._nursery: Nursery | None = None
        self._lanes: list[_Lane] = []
        self._waiting: deque[Any] = deque()  # parts of the phase that nobody has
        self._observe = observe

    def __enter__(self) -> "Workers":
        device.pin()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, grace: float = 5.0) -> None:
        """End all workers; what they had not committed is lost, and planned again next time."""
        for lane in self._lanes:
            if not lane.busy:
                with contextlib.suppress(OSError):
                    lane.connection.send(None)
            else:
                lane.process.signal(signal.SIGTERM)
        for lane in self._lanes:
            if lane.process.wait(grace) is None:
                lane.process.signal(signal.SIGKILL)
                lane.process.wait(DEATH_SECONDS)
            lane.connection.close()
        self._lanes.clear()
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def _start(self) -> tuple[Forked, Connection]:
        if self._nursery is None:
            self._nursery = nursery.take()
        try:
            return self._nursery.fork()
        except NurseryLost:  # killed from outside: its workers are gone too, and replaced in turn
            self._nursery.close()
            self._nursery = nursery.take()
        try:
            return self._nursery.fork()
        except NurseryLost as lost:
            raise RunFailedError(
                "the process that starts workers ends before it has started one. Look above for "
                "what it printed; `speechloom doctor` checks packages, memory and disk"
            ) from lost

    def start(self, workers: int, steps: Sequence[Step] = (), then: Sequence[Step] = ()) -> None:
        """See to it that so many processes are there, or on their way: it takes them seconds.

        New ones load the models of `steps` before anything else, and have imported what `steps`
        and the steps `then` need.
        """
        modules = [name for step in (*steps, *then) for name in step.imports()]
        if modules and len(self._lanes) < workers:
            if self._nursery is None:
                self._nursery = nursery.take()
            self._nursery.imports(modules)
        while len(self._lanes) < workers:
            self._lanes.append(_Lane(*self._start()))
            self._preload(self._lanes[-1], steps)

    def _preload(self, lane: _Lane, steps: Sequence[Step]) -> None:
        if steps:
            with contextlib.suppress(BrokenPipeError):  # it died already: run sees that
                lane.connection.send((None, list(steps)))

    def run(
        self, job: Any, parts: Sequence[Any], workers: int, then: Sequence[Step] = ()
    ) -> dict[str, int]:
        """Run a phase over parts on at most `workers` processes. Returns summed counters.

        A process that has nothing left to do loads the models of `then` while others still work.

        Raises `RunFailedError` where a step failed or a worker cannot start, and
        `ConservationError` where one lost something.
        """
        self._waiting = deque(sorted(parts, key=lambda part: (-part.seconds, part.id)))
        count = max(1, min(workers, len(parts)))
        self.start(count)
        totals: Counter[str] = Counter()
        for lane in self._lanes[:count]:
            lane.job, lane.part = job, None
            self._send(lane)
        while any(lane.busy for lane in self._lanes):
            for lane, kind, value in self._events():
                if kind == "finished":
                    lane.busy = False
                    totals.update(value)
                    self._preload(lane, then)
                elif kind == "failed":
                    if value["type"] == ConservationError.__name__:
                        raise ConservationError(value["message"])
                    raise RunFailedError(value["message"], value["trace"])
                else:
                    self._observe(kind, value)
        return dict(sorted(totals.items()))

    def _send(self, lane: _Lane) -> None:
        lane.busy = True
        with contextlib.suppress(BrokenPipeError):  # it died already: _events sees that
            lane.connection.send((lane.job, None))

    def _deal(self, lane: _Lane) -> None:
        """The next part for a worker: what the one before it died on, or the longest that waits."""
        if not lane.again:
            lane.part = self._waiting.popleft() if self._waiting else None
        lane.again = False
        with contextlib.suppress(BrokenPipeError):
            lane.connection.send(lane.part)

    def _events(self) -> Iterator[tuple[_Lane, str, Any]]:
        """The messages that are there; a worker that died is replaced."""
        busy = {lane.connection: lane for lane in self._lanes if lane.busy}
        for ready in wait(list(busy), timeout=0.5):
            lane = busy[ready]  # type: ignore[index]
            try:
                kind, value = lane.connection.recv()
            except (EOFError, ConnectionResetError):
                self._replace(lane)
                continue
            if kind == "ready":
                continue
            if kind == "begin":
                lane.began, lane.failures = True, 0
            if kind == "more":
                self._deal(lane)
                continue
            yield lane, kind, value
        self._observe("tick", None)

    def _replace(self, lane: _Lane) -> None:
        code = lane.process.wait(DEATH_SECONDS) or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lane.failures = 0 if lane.began else lane.failures + 1
        if lane.failures >= START_FAILURES:
            raise RunFailedError(
                f"a worker ended {lane.failures} times before it began a part ({how}). Look above "
                "for what it printed; `speechloom doctor` checks packages, memory and disk"
            )
        lane.again = lane.part is not None
        self._observe("died", {"how": how, "left": len(self._waiting) + lane.again})
        lane.connection.close()
        lane.process, lane.connection = self._start()
        lane.began = False
        self._send(lane)
