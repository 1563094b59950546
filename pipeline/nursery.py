"""A process that imports what workers need, once, and forks them.

Beam and torch take a second of a core to import, as much as the engines take for six minutes of
audio, and every worker needs them. So one process imports, and a worker is a fork of it that begins
at once and shares the memory of what was imported. A fork copies the calling thread alone, so this
process stays at one: it loads no model, opens no file and runs no work. Started at the beginning of
a command, it imports while the supervisor reads the recipe and looks at files.

The supervisor asks it through a pipe; it ends when the pipe does, and its workers end with it.
"""

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe, reduction
from multiprocessing.connection import Connection
from typing import Any

EVERY_WORKER = (  # needs these
    "pipeline.weave",
    "apache_beam.runners.portability.fn_api_runner",
    "pipeline.phases.hear",
    "pipeline.phases.arrange",
    "pipeline.phases.shards",
    "soundfile",
)
CLOUDS = (  # Beam imports these where it finds them, for readers and runners that no worker has
    "apitools",
    "azure",
    "boto3",
    "google.api_core",
    "google.auth",
    "google.cloud",
    "pandas",
)
_POLL_SECONDS = 0.005  # between two looks at a worker that is about to end


class NurseryLost(RuntimeError):
    """The process that forks workers ended, and all workers with it."""


class Forked:
    """A worker, as the supervisor sees it."""

    def __init__(self, nursery: "Nursery"):
        self._nursery = nursery
        self._pid: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int:
        """Its process number. Waits until there is one; raises `NurseryLost`."""
        if self._pid is None:
            self._nursery.settle()
        assert self._pid is not None
        return self._pid

    def born(self, pid: int) -> None:
        self._pid = pid

    def wait(self, seconds: float) -> int | None:
        """The exit code, minus the signal's number where one ended it; None: it still runs."""
        if self._code is None:
            try:
                self._code = self._nursery.ask("wait", self.pid, seconds)
            except NurseryLost:
                self._code = -signal.SIGKILL
        return self._code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens where it has ended. Its number is not given anew before
        `wait` has answered."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError, NurseryLost):
                os.kill(self.pid, number)


class Nursery:
    """The supervisor's end: start it, tell it what to import, ask it for workers."""

    def __init__(self) -> None:
        self._talk, theirs = Pipe()
        self._unborn: list[Forked] = []  # asked for; their numbers are still to come
        with theirs:
            start = (
                f"import sys; sys.path[:] = {sys.path!r}; from pipeline.nursery import main; "
                f"main({theirs.fileno()}, {os.getpid()})"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", start], pass_fds=[theirs.fileno()]
            )

    def imports(self, modules: Sequence[str]) -> None:
        """Modules that the next workers need; they come after what every worker needs."""
        with contextlib.suppress(OSError):  # it is gone: whoever asks next is told
            self._talk.send(("import", *modules))

    def fork(self) -> tuple[Forked, Connection]:
        """A new worker, as soon as all is imported, and our end of its pipe. Does not wait.

        Raises `NurseryLost`.
        """
        ours, theirs = Pipe()
        with theirs:
            try:
                self._talk.send(("fork",))
                reduction.send_handle(self._talk, theirs.fileno(), self._process.pid)
            except OSError as error:
                ours.close()
                raise NurseryLost(str(error)) from error
        self._unborn.append(Forked(self))
        return self._unborn[-1], ours

    def settle(self) -> None:
        """Wait until all that was asked for is there. Raises `NurseryLost`."""
        while self._unborn:
            self._unborn[0].born(self._answer())
            del self._unborn[0]

    def ask(self, *question: Any) -> Any:
        """The answer to a question. Raises `NurseryLost`."""
        self.settle()
        try:
            self._talk.send(question)
        except OSError as error:
            raise NurseryLost(str(error)) from error
        return self._answer()

    def _answer(self) -> Any:
        try:
            return self._talk.recv()
        except (OSError, EOFError) as error:
            raise NurseryLost(str(error)) from error

    def close(self) -> None:
        """End it, whatever it does, with the workers that are left."""
        self._process.kill()
        self._process.wait()
        self._talk.close()


_begun: list[Nursery] = []


def begin() -> None:
    """Start one now, for whoever takes it first: it imports while the command gets ready."""
    _begun.append(Nursery())


def take() -> Nursery:
    """The nursery that was begun, or a new one."""
    return _begun.pop() if _begun else Nursery()


def main(descriptor: int, parent: int) -> None:
    """Be the nursery: import, fork and reap until the pipe ends."""
    from pipeline import worker

    worker.die_with_parent(parent)
    worker.call_process("loom nursery")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    gc.disable()  # nothing here becomes garbage, and looking for it is a tenth of an import
    with hidden(CLOUDS):
        _import(EVERY_WORKER)
    talk = Connection(descriptor)
    while True:
        try:
            kind, *rest = talk.recv()
        except (EOFError, OSError):
            break
        if kind == "import":
            _import(rest)
        elif kind == "fork":
            talk.send(_fork(talk))
        else:
            talk.send(_wait(*rest))
    os._exit(0)


@contextlib.contextmanager
def hidden(modules: Sequence[str]) -> Iterator[None]:
    """Packages that are not there for a while, unless they are imported already.

    Half of the time that Beam takes to import goes into clients of clouds and pandas, which it does
    without where they are not installed: .21 s of a core in place of .47.
    """
    gone = [name for name in modules if name not in sys.modules]
    for name in gone:
        sys.modules[name] = None  # type: ignore[assignment]  # so Python says "not found"
    try:
        yield
    finally:
        for name in gone:
            del sys.modules[name]


def _import(modules: Sequence[str]) -> None:
    from pipeline import worker

    worker.quiet_beam()
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception:  # whatever an import raises: the worker that needs it will say so
            return


def _fork(talk: Connection) -> int:
    """Fork a worker, whose pipe comes after the question. Returns its number."""
    descriptor = reduction.recv_handle(talk)
    gc.freeze()  # what was imported is never looked through again, so its pages stay shared
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid
    code = 1
    try:
        from pipeline import worker

        talk.close()
        gc.enable()
        worker.serve(Connection(descriptor), parent)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)  # libraries of models have threads that do not end well otherwise


def _wait(pid: int, seconds: float) -> int | None:
    """The exit code of a worker, once; None where it still runs after some seconds."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(_POLL_SECONDS)
