"""The one door through which bytes become samples: a confined child process, asked file by file.

Media parsers are the part of the pipeline that strangers' bytes can crash, hang or turn. So they
run in `transforms.door_child`, which is handed one open descriptor per file and can open nothing
itself. A child that crashes, hangs or runs out of memory is killed and the file is tried once more
in a fresh one; twice is a refusal with a code, never the end of a run.

Trade-off: samples cross a pipe, which costs about a tenth of the time of decoding in process; the
child starts once per worker (under a second), not once per file.
"""

import dataclasses
import hashlib
import json
import os
import stat
from typing import Any

import numpy as np

from transforms.door_process import Child, ChildLost
from transforms.door_words import (
    CODES,
    HEADER,
    SAMPLES,
    ChannelMode,
    Claims,
    Decoded,
    Limits,
    MediaError,
)
from transforms.doorkeeper import Doorkeeper
from transforms.step import AudioSink

__all__ = ["CODES", "ChannelMode", "Claims", "Decoded", "Door", "DoorError", "Limits", "MediaError"]

_LARGEST_ANSWER = 32 << 20  # samples or bytes in one frame; honest ones stay below 13 million


class DoorError(RuntimeError):
    """The child cannot start, or has a bug: not the fault of a file."""


class Door(Doorkeeper):
    """A child that decodes media. Starting it raises `DoorError` where it cannot be done."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(self._new, self._unstarted)
        self.limits = limits or Limits()

    def _new(self) -> Child:
        return Child(self.limits.memory_mb)

    def _unstarted(self, lost: ChildLost) -> DoorError:
        return DoorError(
            f"the decoding process did not start ({lost.detail}); is `av` installed, and are "
            f"{self.limits.memory_mb} MB of address space (memory_mb) enough?"
        )

    def probe(self, path: str | os.PathLike[str]) -> Claims:
        """What the header of a file says; no sample is decoded beyond what opening needs.

        Raises `MediaError`.
        """
        answer = self._asked(path, {"ask": "probe"}, None)
        return Claims(**answer["claims"])

    def decode(
        self,
        path: str | os.PathLike[str],
        rate: int,
        channels: ChannelMode,
        sink: AudioSink,
    ) -> Decoded:
        """Stream a file into `sink` as PCM16 at `rate` hertz, mixed to one channel or split.

        Memory does not grow with duration. Raises `MediaError` (the sink may then hold a part of
        the file: throw it away), and passes on what the sink raises.
        """
        intake = _Intake(sink, rate)
        question = {"ask": "decode", "rate": rate, "channels": channels}
        answer = self._asked(path, question, intake)
        summary = answer["decoded"]
        clipped = tuple(summary.pop("clipped"))
        if intake.lengths() != [summary["length"]] * len(clipped):
            raise DoorError(f"{path}: the child says {summary}, {intake.lengths()} frames came")
        return Decoded(rate=rate, sha256=intake.digests(), clipped=clipped, **summary)

    def _asked(
        self, path: str | os.PathLike[str], question: dict[str, Any], intake: "_Intake | None"
    ) -> dict[str, Any]:
        with self._turn:
            for last in (False, True):
                descriptor, size = _open(path)
                try:
                    return self._once(question, descriptor, size, intake)
                except ChildLost as lost:
                    self._drop_child()
                    self.restarts += 1
                    if last:
                        raise MediaError(lost.code, lost.detail) from lost
                finally:
                    os.close(descriptor)
        raise AssertionError("unreachable")

    def _once(
        self, question: dict[str, Any], descriptor: int, size: int, intake: "_Intake | None"
    ) -> dict[str, Any]:
        child = self._running()
        try:
            limits = dataclasses.asdict(self.limits)
            child.ask({**question, "size": size, "limits": limits}, descriptor)
            if intake is not None:
                intake.begin()
            answer = self._listen(child, size, intake)
        except BaseException:
            self._drop_child()  # it is in the middle of an answer: of no use to the next file
            raise
        if "bug" in answer:
            raise DoorError(f"the decoder's own code failed:\n{answer['bug']}")
        if answer.get("code") == "memory":
            raise ChildLost("memory", answer["detail"])
        if "code" in answer:
            raise MediaError(answer["code"], answer["detail"])
        return answer

    def _listen(self, child: Child, size: int, intake: "_Intake | None") -> dict[str, Any]:
        seconds = 0.0
        while True:
            budget = self.limits.budget(size, seconds)
            kind, channels, length = HEADER.unpack(child.read(HEADER.size, budget))
            if max(channels, 1) * length > _LARGEST_ANSWER:
                raise ChildLost("crash", "the child no longer speaks the language of the door")
            if kind != SAMPLES or intake is None:
                answer: dict[str, Any] = json.loads(child.read(length, budget))
                return answer
            block = np.frombuffer(child.read(2 * channels * length, budget), "<i2")
            seconds = intake.take(block.reshape(channels, length))


class _Intake:
    """Puts blocks into the sink, once: a second attempt's frames are skipped up to the first's.

    Decoding is deterministic; the digests of what both attempts gave prove it here.
    """

    def __init__(self, sink: AudioSink, rate: int) -> None:
        self._sink = sink
        self._rate = rate
        self._given: list[int] = []  # frames that the sink has, per channel
        self._seen: list[int] = []  # frames of this attempt
        self._hashes: list[Any] = []
        self._given_digests: list[str] = []

    def begin(self) -> None:
        """A new attempt."""
        self._given_digests = list(self.digests())
        self._seen, self._hashes = [], []

    def take(self, block: np.ndarray[Any, np.dtype[np.int16]]) -> float:
        """Take `[channels, frames]`; the seconds of this attempt so far."""
        for channel, row in enumerate(block):
            if channel == len(self._seen):
                self._seen.append(0)
                self._hashes.append(hashlib.sha256())
                if channel == len(self._given):
                    self._given.append(0)
            self._take(channel, row)
        return self._seen[0] / self._rate

    def _take(self, channel: int, row: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        repeated = min(max(self._given[channel] - self._seen[channel], 0), len(row))
        digest = self._hashes[channel]
        digest.update(row[:repeated])
        self._seen[channel] += repeated
        caught_up = repeated > 0 and self._seen[channel] == self._given[channel]
        if caught_up and digest.hexdigest() != self._given_digests[channel]:
            raise MediaError("crash", "a second attempt decoded other samples")
        rest = row[repeated:]
        if len(rest):
            digest.update(rest)
            self._sink.append(channel, rest)
            self._seen[channel] += len(rest)
            self._given[channel] += len(rest)

    def lengths(self) -> list[int]:
        return list(self._seen)

    def digests(self) -> tuple[str, ...]:
        return tuple(digest.hexdigest() for digest in self._hashes)


def _open(path: str | os.PathLike[str]) -> tuple[int, int]:
    """A descriptor for reading a regular file, and its size. Raises `MediaError` io or empty."""
    try:
        # without O_NONBLOCK a named pipe would hang here
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError("io", f"{error.strerror}: {path}") from error
    except ValueError as error:  # a NUL in the name
        raise MediaError("io", f"{error}: {path!r}") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return descriptor, status.st_size
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise MediaError("empty", f"{path} has no bytes")
    raise MediaError("io", f"not a regular file: {path}")
