"""The worker's end of the talk with the process that holds espeak-ng: one reading at a time.

A fork that dies takes its document's state with it, so the process is started anew and the rest of
the document is read by a fresh fork: the utterance that killed it is told as such and not tried
again (the same calls end the same way).
"""

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import transforms
from transforms.door_process import widen
from transforms.engines.synth_contract import Unspoken

_SLACK = 5.0  # seconds beyond the processor time that a call has, on a busy machine
_START_SECONDS = 60.0  # a cold import on a busy machine
_LARGEST = 64 << 20  # bytes of one frame


class ProcessLost(Exception):
    """The process or its fork died, hung, or was cut off; nothing more comes from it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def answer(self) -> Unspoken:
        return Unspoken(reason=self.reason, detail=self.detail)


class SpeakingProcess:
    """One running process; asked with `ask`, heard with `frame`. Not for several threads."""

    def __init__(self, module: str, arguments: list[str]) -> None:
        self._module, self._arguments = module, arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._poll = select.poll()
        self.lock = threading.Lock()  # of a whole reading: readings take turns
        self.starts = 0  # for tests

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None:
            return
        root = str(Path(transforms.__file__).resolve().parents[1])
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-m", self._module, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": root, "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,  # Ctrl-C is the parent's business; and its forks end with it
        )
        self.starts += 1
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        widen(self._process.stdout.fileno())
        self._poll = select.poll()
        self._poll.register(self._process.stdout.fileno(), select.POLLIN)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def ask(self, question: dict[str, Any]) -> None:
        self.start()
        assert self._process is not None and self._process.stdin is not None
        data = json.dumps(question).encode()
        view = memoryview(struct.pack("<I", len(data)) + data)
        try:
            while view:
                view = view[os.write(self._process.stdin.fileno(), view) :]
        except OSError as error:
            self.end()
            raise ProcessLost("crashed", f"the speaking process is gone ({error})") from error

    def frame(self, seconds: float) -> tuple[bytes, bytearray]:
        """The next letter and its bytes. Raises `ProcessLost`; the process is ended then."""
        until = time.monotonic() + seconds
        kind, length = struct.unpack("<cI", self._bytes(5, until, seconds))
        if length > _LARGEST:
            self.end()
            raise ProcessLost("crashed", f"a frame of {length} bytes: no sense in it")
        data = self._bytes(length, until, seconds)
        if kind == b"L":
            status = int(json.loads(bytes(data))["status"])
            self.end()
            if status == -signal.SIGXCPU:
                raise ProcessLost("timeout", "out of processor time")
            name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            raise ProcessLost("crashed", f"the speaking process ended: {name}")
        return kind, data

    def told(self, seconds: float) -> dict[str, Any]:
        """The next frame, which must be JSON."""
        kind, data = self.frame(seconds)
        if kind != b"J":
            self.end()
            raise ProcessLost("crashed", f"a frame {kind!r} in place of an answer")
        answer: dict[str, Any] = json.loads(bytes(data))
        return answer

    def _bytes(self, count: int, until: float, budget: float) -> bytearray:
        assert self._process is not None and self._process.stdout is not None
        data = bytearray(count)
        view = memoryview(data)
        while view:
            try:
                got = os.readv(self._process.stdout.fileno(), [view])
            except BlockingIOError:
                if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                    self.end()
                    raise ProcessLost("timeout", f"no answer within {budget:g} s") from None
                continue
            if got == 0:
                self.end()
                raise ProcessLost("crashed", "the speaking process ended")
            view = view[got:]
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
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
