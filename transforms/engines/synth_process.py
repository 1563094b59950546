"""The worker's end of the talk with the process that holds espeak-ng: one reading at a time.

Questions and answers go through pipes, samples through memory that both processes see (`window`).

A fork that dies takes its document's state with it, so the process is started anew and the rest of
the document is read by a fresh fork: the utterance that killed it is told as such and not tried
again (the same calls end the same way).
"""

import contextlib
import json
import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import transforms
from transforms.engines.synth_contract import Unspoken

_SLACK = 5.0  # seconds beyond the processor time that a call has, on a busy machine
_START_SECONDS = 60.0  # a cold import on a busy machine
_LARGEST = 64 << 20  # bytes of one answer
_WINDOW = 8 << 20  # bytes of samples: 3 minutes, more than one call may give unless it is told so
_READ = 1 << 16  # bytes of a pipe at once


class ProcessLost(Exception):
    """The process or its fork died, hung, or was cut off; nothing more comes from it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def answer(self) -> Unspoken:
        return Unspoken(reason=self.reason, detail=self.detail)


class SpeakingProcess:
    """One running process; asked with `ask`, heard with `told`. Not for several threads."""

    def __init__(self, module: str, arguments: list[str]) -> None:
        self._module, self._arguments = module, arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._poll = select.poll()
        self._unread = bytearray()
        self._window: mmap.mmap | None = None
        self.lock = threading.Lock()  # of a whole reading: readings take turns
        self.starts = 0  # for tests

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None:
            return
        root = str(Path(transforms.__file__).resolve().parents[1])
        shared = _shared(_WINDOW)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-sS", "-m", self._module, *self._arguments, str(shared)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(shared,),
                env={"PYTHONPATH": root, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
                cwd="/",
                start_new_session=True,  # Ctrl-C is the parent's business; its forks end with it
            )
            self._window = mmap.mmap(shared, 0)
        finally:
            os.close(shared)
        self.starts += 1
        self._unread = bytearray()
        assert self._process.stdout is not None
        self._poll = select.poll()
        self._poll.register(self._process.stdout.fileno(), select.POLLIN)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def ask(self, question: dict[str, Any]) -> None:
        self.start()
        data = json.dumps(question).encode()
        self._write(struct.pack("<I", len(data)) + data)

    def _write(self, data: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._process.stdin.fileno(), view) :]
        except OSError as error:
            self.end()
            raise ProcessLost("crashed", f"the speaking process is gone ({error})") from error

    def told(self, seconds: float, pieces: list[bytes] | None = None) -> dict[str, Any]:
        """The answer to what was asked; `pieces` gets what the window held on the way to it.

        Raises `ProcessLost`; the process is ended then.
        """
        until = time.monotonic() + seconds
        while True:
            kind, length = struct.unpack("<cI", self._bytes(5, until, seconds))
            if length > _LARGEST or kind not in (b"J", b"P", b"L"):
                self.end()
                raise ProcessLost("crashed", f"{kind!r} and {length} bytes: no sense in it")
            found: dict[str, Any] = json.loads(self._bytes(length, until, seconds))
            if kind == b"J":
                return found
            if kind == b"L":
                raise self._died(int(found["status"]))
            if pieces is not None:
                pieces.append(self.window(found["frames"]))
            self._write(b"\0")  # it may go on

    def _died(self, status: int) -> ProcessLost:
        self.end()
        if status == -signal.SIGXCPU:
            return ProcessLost("timeout", "out of processor time")
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return ProcessLost("crashed", f"the speaking process ended: {name}")

    def window(self, frames: int) -> bytes:
        """What the first `frames` samples of the window are now. Raises `ProcessLost`."""
        if self._window is None or not 0 <= 2 * frames <= len(self._window):
            self.end()
            raise ProcessLost("crashed", f"{frames} frames in the window: no sense in it")
        return self._window[: 2 * frames]

    def _bytes(self, count: int, until: float, budget: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        while len(self._unread) < count:
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                self.end()
                raise ProcessLost("timeout", f"no answer within {budget:g} s")
            got = os.read(self._process.stdout.fileno(), _READ)
            if not got:
                self.end()
                raise ProcessLost("crashed", "the speaking process ended")
            self._unread += got
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    def hello(self) -> dict[str, Any]:
        """What the process says of itself. Raises `ProcessLost` where it does not start."""
        self.ask({"ask": "hello"})
        return self.told(_START_SECONDS)

    def patience(self, seconds: float) -> float:
        """Wall time to wait for a call that has `seconds` of processor time."""
        return 2 * seconds + _SLACK

    def end(self) -> None:
        """End it and its forks. It may be started again."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, self._window):
            if pipe is not None:
                pipe.close()
        self._window = None


def _shared(size: int) -> int:
    """A descriptor of memory that a child may inherit; a file without a name where there is no
    such thing."""
    if hasattr(os, "memfd_create"):
        found = os.memfd_create("speechloom-said")
    else:
        with tempfile.TemporaryFile(prefix="speechloom-said-") as file:
            found = os.dup(file.fileno())
    os.ftruncate(found, size)
    return found
