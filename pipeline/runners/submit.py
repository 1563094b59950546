"""The driver's side of another engine: a phase is one Beam job over its parts, and is waited for.

Engines differ in what they do when a worker dies. Prism fails the job; Flink starts all of it
again, with the parts that others were busy with; Dataflow gives up at the fourth time. So nothing
rests on them: a job that failed without a bug is submitted again with what is not committed, for
as long as that gets further.

A part that ends its worker is found in three moves. Attempts are noted in OUT, and after two a
worker splits the part into its records (`pipeline/work.py`). A record with two more is left out
instead of given up, for an engine may have ended it because of another. What is left when the job
has gone through is tried alone, in a job of its own: two deaths there are its own doing, and it
becomes a dead letter.
"""

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import device, layout, worker
from pipeline.accounts import Places, places
from pipeline.failures import Failure
from pipeline.parts import FEW_PARTS, Parts
from pipeline.runners import dealt, pool, reported
from pipeline.runners.engine import Engine
from pipeline.simple import SimpleJob
from pipeline.spilling import Texts, sorted_columns, texts_of
from pipeline.supervise import RunFailedError
from pipeline.work import ATTEMPTS, Job
from schemas.store import Store
from transforms.step import Step

SAME = 3  # jobs in a row that got nowhere, before a run gives up
FIRST_LOOK, LAST_LOOK = 0.05, 2.0  # seconds between two looks at a job
LIST_SECONDS = 10.0  # between two looks at the commits of a job, for the progress
LIST_SHARE = 10.0  # at least so many times as long as a look took

Observe = Callable[[str, Any], None]


class Submitted:
    """In the place of `pipeline.supervise.Workers`: the same calls, another engine."""

    def __init__(self, engine: Engine, observe: Observe):
        self._engine = engine
        self._observe = observe
        self._stack = contextlib.ExitStack()
        self._own: tuple[str, ...] = ()  # options for the workers that we started

    def __enter__(self) -> "Submitted":
        device.pin()
        worker.quiet_beam()
        if not os.environ.get("SPEECHLOOM_TRACE"):  # what engines say of a lost worker, we say
            logging.disable(logging.ERROR)  # some set levels of their own, so all are
            self._stack.callback(logging.disable, logging.NOTSET)
        if self._engine.own_pool:
            address, _ = self._stack.enter_context(pool.local_pool())
            self._own = ("--environment_type=EXTERNAL", f"--environment_config={address}")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, *_: Any, **__: Any) -> None:
        """Nobody is started ahead of a job."""

    @property
    def _options(self) -> tuple[str, ...]:
        return (*self._engine.options, *self._own)

    def run(
        self, job: Any, parts: Collection[Any], workers: int, then: Sequence[Step] = ()
    ) -> dict[str, int]:
        """Run a phase over parts. Returns Beam's counters, which count attempts.

        Raises what a step raised, as `RunFailedError` or `ConservationError`, and `RunFailedError`
        where jobs fail and nothing more gets done.
        """
        from pipeline.phases.select import SelectJob

        if isinstance(job, SelectJob):
            return self._select(job, parts)
        whole = parts if isinstance(parts, Parts) else Parts(parts)  # engines order as they like
        totals: Counter[str] = Counter()
        progress = _Progress(job, whole, self._observe)
        left = whole
        same = 0
        while left:
            before = _noted(job)
            error = self._job(job, left, totals, progress)
            reported.stop_if_reported(job)
            if error is None:
                break
            left = Parts(_unsettled(job, left))
            same = same + 1 if _noted(job) == before else 0
            self._observe("died", {"how": _short(error), "left": len(left)})
            if same >= SAME:
                raise _stuck(job, self._engine, error)
        if isinstance(job, Job):
            self._alone(job, whole, totals)
        progress.finish()
        return dict(sorted(totals.items()))

    def _job(
        self,
        job: Any,
        parts: Parts[Any],
        totals: Counter[str],
        progress: "_Progress | None" = None,
        alone: bool = False,
    ) -> Exception | None:
        """Submit a job and wait for it. Returns what it failed of, None where it went through."""
        from apache_beam import Pipeline
        from apache_beam.options.pipeline_options import PipelineOptions

        from pipeline import weave

        given = dealt.write(job, parts)
        pipeline = Pipeline(options=PipelineOptions(list(self._options)))
        weave.spread(pipeline, job, given.lists, alone)
        try:
            result = pipeline.run()
            try:
                self._wait(result, progress)
            except BaseException:
                with contextlib.suppress(Exception):  # it is being ended, one way or another
                    result.cancel()
                raise
            totals.update(weave.counters(result))
        except Exception as error:  # engines raise what they like
            return error
        finally:
            dealt.remove(job, given)
        return None

    def _wait(self, result: Any, progress: "_Progress | None") -> None:
        from apache_beam.runners.runner import PipelineState

        pause = FIRST_LOOK
        while not PipelineState.is_terminal(result.state):
            time.sleep(pause)
            pause = min(LAST_LOOK, pause * 1.5)
            self._observe("tick", None)
            if progress is not None:
                progress.look()
        result.wait_until_finish()  # raises where it failed
        if result.state != PipelineState.DONE:
            raise RuntimeError(f"the job ended as {result.state}")

    def _alone(self, job: Job, parts: Parts[Any], totals: Counter[str]) -> None:
        """Try what is left one by one; what ends its workers then too is given up."""
        for part in _unfinished(job, _unsettled(job, parts)):
            for attempt in range(ATTEMPTS):
                error = self._job(job, Parts([part]), totals, alone=True)
                reported.stop_if_reported(job)
                if error is None and job.is_committed(part):
                    break
                self._observe("died", {"how": _short(error), "left": ATTEMPTS - 1 - attempt})
            else:
                job.give_up(part)
                step = part.step or job.phase
                found = [Failure(m.id, step, "crash", m.path or "") for m in part.members]
                self._observe("outcomes", found)

    def _select(self, job: Any, parts: Collection[Any]) -> dict[str, int]:
        """select is a chain of jobs, each over what the one before left in OUT."""
        from pipeline import weave

        for part in parts:
            self._observe("begin", part.id)
            for attempt in range(1, SAME + 1):
                try:
                    weave.select_over(job, part, self._options)
                    break
                except RuntimeError as error:
                    reported.stop_if_reported(job)
                    if attempt == SAME:
                        raise _stuck(job, self._engine, error) from error
                    self._observe("died", {"how": _short(error), "left": len(parts)})
            self._observe("committed", (part.id, part.seconds))
        return {f"{job.phase}/commits": len(parts)}


class _Progress:
    """Tells of parts as their commits appear: workers elsewhere have no pipe to the driver.

    Ids and seconds of parts are held as columns, and commits looked for page by page.
    """

    def __init__(self, job: Any, parts: Parts[Any], observe: Observe):
        self._job, self._observe = job, observe
        rows = (
            (texts_of([part.id for part in some]), np.array([part.seconds for part in some]))
            for some in parts.some()
        )
        self._ids, self._keys, self._seconds = sorted_columns(rows, np.float64)
        self._waiting = np.ones(len(self._ids), np.bool_)
        self._next = time.monotonic() + LIST_SECONDS

    def look(self) -> None:
        began = time.monotonic()
        if began < self._next:
            return
        for page in self._job.store.names(layout.commits_folder(self._job.phase, self._job.key)):
            names = [name.rpartition("/")[2].partition(".")[0] for name in page]
            found = places(self._ids, self._keys, texts_of(names))
            self._tell(found[(found >= 0) & self._waiting[found]])
        ended = time.monotonic()
        self._next = ended + max(LIST_SECONDS, LIST_SHARE * (ended - began))

    def finish(self) -> None:
        self._tell(np.flatnonzero(self._waiting))

    def _tell(self, rows: Places) -> None:
        for row in rows:
            self._observe("committed", (self._ids[row].decode(), float(self._seconds[row])))
        self._waiting[rows] = False


def _noted(job: Any) -> int:
    """How much a phase has to show: commits, and attempts at parts."""
    folders = [layout.attempts_folder(job.phase, job.key)]
    folders += [layout.commits_folder(job.phase, key) for key in getattr(job, "keys", (job.key,))]
    if job.phase == "compose":
        folders += ["compose/entries"]
    return sum(len(page) for folder in folders for page in job.store.names(folder))


def _unsettled(job: Job | SimpleJob, parts: Parts[Any]) -> Iterator[Any]:
    """The parts that still need a worker. Of many, those that are committed are told by a listing:
    a thousand of them by one request, not one."""
    if len(parts) <= FEW_PARTS:
        yield from (part for part in parts if not _settled(job, part))
        return
    there = [_there(job.store, folder) for folder in _settling(job)]
    for some in parts.some():
        ids = texts_of([part.id for part in some])
        known = np.all([places(*names, ids) >= 0 for names in there], axis=0)
        yield from (some[row] for row in np.flatnonzero(~known) if not _settled(job, some[row]))


def _settling(job: Any) -> list[str]:
    """The folders each of which names a part that is done."""
    if job.phase == "compose":
        return ["compose/entries"]
    return [layout.commits_folder(job.phase, key) for key in getattr(job, "keys", (job.key,))]


def _there(store: Store, folder: str) -> tuple[Texts, npt.NDArray[np.uint64]]:
    """What a folder names, without suffixes; sorted."""
    ids, keys = sorted_columns(
        (texts_of([name.rpartition("/")[2].partition(".")[0] for name in page]),)
        for page in store.names(folder)
    )
    return ids, keys


def _settled(job: Job | SimpleJob, part: Any) -> bool:
    """Whether a part needs no worker any more."""
    if isinstance(job, Job):
        return not list(_unfinished(job, [part]))
    names = (layout.commit_name(job.phase, job.key, part.id), layout.shard_entry_name(part.id))
    return any(job.store.size(name) is not None for name in names)


def _unfinished(job: Job, parts: Iterable[Any]) -> Iterator[Any]:
    """The pieces of parts that no commit accounts for."""
    for part in parts:
        if not job.is_committed(part):
            yield from (piece for piece in job.pieces(part) if not job.is_committed(piece))


def _short(error: BaseException | None) -> str:
    if error is None:
        return "its job ended without it"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _stuck(job: Any, engine: Engine, error: BaseException) -> RunFailedError:
    return RunFailedError(
        f"{job.phase}: {SAME} jobs on {engine.name} in a row failed and got nothing done; the last "
        f"one says: {_short(error)}. Workers do not start, or OUT cannot be reached from them: see "
        "the engine's own log. What is committed is safe: run the same command again",
        trace=repr(error),
    )
