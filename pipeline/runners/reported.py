"""How a worker elsewhere says that a run must stop: by a note in OUT.

An engine knows one kind of failure, and retries it. Ours are two: a bug stops the run with the
record's id, and everything else (a worker that died, a store that did not answer, memory or disk
that ran out) is work to be done again. So a worker writes down a bug before it raises it, work
that begins later sees the note and stops at once, and the driver reads it when the job has failed.
"""

import json
import traceback
from typing import Any

from pipeline import layout
from pipeline.supervise import RunFailedError
from pipeline.work import ConservationError
from schemas.store import StoreError

PASSING = (StoreError, OSError, MemoryError)  # may go well elsewhere, or the next time


def _name(job: Any) -> str:
    return f"{layout.phase_folder(job.phase, job.key)}/failures/{job.run}.json"


def report(job: Any, error: BaseException) -> None:
    """Write down that a run must stop; the first reason stands."""
    if isinstance(error, PASSING):
        return
    note = {
        "type": type(error).__name__,
        "message": str(error),
        "trace": "".join(traceback.format_exception(error)),
    }
    job.store.put_if_absent(_name(job), json.dumps(note).encode())


def stop_if_reported(job: Any) -> None:
    """Raise what a worker of this run has written down, if any."""
    try:
        note = json.loads(job.store.get(_name(job)))
    except FileNotFoundError:
        return
    if note["type"] == ConservationError.__name__:
        raise ConservationError(note["message"])
    raise RunFailedError(note["message"], note["trace"])
