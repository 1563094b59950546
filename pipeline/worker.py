"""A worker process: takes phases from its supervisor and runs each as a Beam pipeline."""

import ctypes
import logging
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from pipeline import device
from transforms.step import Step

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)


def call_process(name: str) -> None:
    """Give this process a name of at most 15 characters for `ps` and `top` (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def widen_files() -> None:
    """Raise the soft limit of open files to the hard one: a part holds one per recording."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(connection: Connection, parent: int) -> None:
    """Answer (job, None) with events and ("finished", counters) or ("failed", ...).

    The event ("more", None) asks for a part, or None where there is none left. (None, steps) asks
    for the models of these steps to be loaded; it has no answer.
    """
    die_with_parent(parent)
    call_process("loom worker")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    widen_files()
    device.pin()
    weave = _import_beam()
    connection.send(("ready", None))
    while True:
        try:
            message = connection.recv()
        except EOFError:
            break
        if message is None:
            break
        job, steps = message
        if job is None:
            _preload(weave, steps, connection)
            continue
        try:
            counters = weave.run(
                job, _dealt(connection), notify=lambda kind, value: connection.send((kind, value))
            )
        except Exception as error:
            connection.send(("failed", _failure(error, weave.first_failure())))
        else:
            connection.send(("finished", counters))
    weave.close_models()


def _dealt(connection: Connection) -> Iterator[Any]:
    """Part after part, from the supervisor."""
    while True:
        connection.send(("more", None))
        part = connection.recv()
        if part is None:
            return
        yield part


def _preload(weave: Any, steps: Sequence[Step], connection: Connection) -> None:
    """Load the models of steps to come, while there is nothing else to do.

    A failure is logged and ends no run: the step may have nothing to do. Where it has, its set-up
    loads the model again, fails again, and stops the run.
    """
    for step in steps:
        try:
            weave.model_of(step)
        except Exception as error:  # models of others raise anything
            said = f"{step.name()}: {type(error).__name__}: {error}"
            connection.send(("not preloaded", said))
            return


def quiet_beam() -> None:
    """Beam warns on the root logger while it is imported, and logs every failure that it passes
    on; both would drown what the supervisor says of the same thing."""
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)


def _import_beam() -> Any:
    """The room's Beam part. It takes long to import: the nursery has done so already."""
    quiet_beam()
    from pipeline import weave

    logging.getLogger().setLevel(logging.WARNING)
    return weave


def _failure(error: Exception, first: BaseException | None) -> dict[str, Any]:
    """What failed, in words and in full. Beam wraps errors; the first one is the cause."""
    cause = first or error
    return {
        "type": type(cause).__name__,
        "message": str(cause),
        "trace": "".join(traceback.format_exception(cause)),
    }
