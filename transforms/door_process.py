"""The parent's end of the talk with one child: start it, ask it, wait for it, learn how it died."""

import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import transforms
from transforms.door_words import request

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031  # the fcntl module names it on Linux only


class ChildLost(Exception):
    """The child died, hung or ran out of memory on a file."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Child:
    """One running child and both ends of its talk."""

    def __init__(self, memory_mb: int, program: str = "transforms.door_child") -> None:
        mine, theirs = socket.socketpair()
        self.questions = mine
        told = [str(os.getpid()), str(memory_mb)]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-s", "-m", program, *told],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is the parent's business
            )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.answers = self.process.stdout.fileno()
        self.last_words = self.process.stderr.fileno()
        os.set_blocking(self.answers, False)
        os.set_blocking(self.last_words, False)
        widen(self.answers)
        self._poll = select.poll()
        self._poll.register(self.answers, select.POLLIN)
        self.waited = 0.0  # seconds spent waiting for the child since the last question

    def ask(self, message: dict[str, Any], descriptor: int) -> None:
        """Send a question and the file it is about."""
        self.waited = 0.0
        data = request(message)
        try:
            sent = socket.send_fds(self.questions, [data], [descriptor])
            self.questions.sendall(data[sent:])
        except OSError as error:
            raise self.lost() from error

    def read(self, count: int, budget: float) -> bytearray:
        """Exactly `count` bytes of the answer. Raises `ChildLost` when they do not come.

        Only time spent waiting counts, so a slow disk on this side is not held against the file.
        """
        data = bytearray(count)
        view = memoryview(data)
        while view:
            try:
                got = os.readv(self.answers, [view])
            except BlockingIOError:
                self._wait(budget)
                continue
            if got == 0:
                raise self.lost()
            view = view[got:]
        return data

    def _wait(self, budget: float) -> None:
        left = budget - self.waited
        begun = time.monotonic()
        ready = self._poll.poll(max(left, 0.0) * 1000)
        self.waited += time.monotonic() - begun
        if not ready:
            self.kill()
            raise ChildLost("timeout", f"no answer within {budget:.1f} s")

    def lost(self) -> ChildLost:
        """Why the child is gone; it is dead afterwards."""
        try:
            status = self.process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.returncode
        words = _rest(self.last_words)[-300:]
        self.close()
        if status == -signal.SIGXCPU:
            return ChildLost("timeout", "out of processor time")
        if status == -signal.SIGKILL:
            return ChildLost("memory", "killed from outside, as a machine short of memory does")
        if status < 0:
            return ChildLost("crash", f"signal {signal.Signals(-status).name} {words}".rstrip())
        return ChildLost("crash", f"exit status {status} {words}".rstrip())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        self.questions.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _environment() -> dict[str, str]:
    """Nothing of the parent's environment but where our code lies; one thread per library."""
    root = str(Path(transforms.__file__).resolve().parents[1])
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    plain = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # its own one reserves a gigabyte of addresses
    return {"PYTHONPATH": root, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", **one, **plain}


def widen(descriptor: int) -> None:
    """Ask for a larger pipe: fewer switches between the processes. Refusal does no harm."""
    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:  # above the user's limit for pipes
        return


def _rest(descriptor: int) -> str:
    """What is left in a pipe that nobody writes to any more."""
    try:
        return os.read(descriptor, 1 << 16).decode("utf-8", "replace").strip()
    except OSError:
        return ""
