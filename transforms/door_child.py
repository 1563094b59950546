"""The child behind the door: a process that can decode the one file it was handed, and no more.

Started by `transforms.door` as `python -m transforms.door_child <parent> <memory_mb>`.
Descriptors: 0 is a socket (questions, each with the file's descriptor), 1 a pipe (answers), 2 a
pipe for last words.
Once everything is imported and warm, the descriptor limit is set so low that the handed file takes
the last one: neither the decoder nor code it was tricked into can open a file or a socket. It
cannot write files or fork, its memory and its processor time per file are limited, and it dies
with its parent.
"""

import ctypes
import io
import json
import math
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Generator
from typing import Any

import av
import av.error
import numpy as np
import soxr

from transforms.door_claims import claims
from transforms.door_decode import decoded
from transforms.door_open import Bytes, opened
from transforms.door_words import (
    HEADER,
    REQUEST,
    SAMPLES,
    Limits,
    MediaError,
    said,
)

_PR_SET_PDEATHSIG = 1
_PARENT_GONE = 3
# What reading a damaged header's fields may raise in PyAV; anything else is a bug of ours.
_ODD = (av.error.FFmpegError, UnicodeError, EOFError, OverflowError, ZeroDivisionError)
CPU_STEP = 16  # blocks between two looks at the processor limit


def main() -> None:
    """Serve questions until the parent closes the socket."""
    parent, memory_mb = int(sys.argv[1]), int(sys.argv[2])
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or os.getppid() != parent:
        sys.exit(_PARENT_GONE)  # without that promise, or with the parent gone already, do not run
    os.set_blocking(2, False)  # last words must never block
    av.logging.set_level(None)
    _warm_up()
    _confine(memory_mb)
    questions = socket.socket(fileno=0)
    _say({"hello": {"av": av.__version__, "soxr": soxr.__version__}})
    while (asked := _next_question(questions)) is not None:
        _answer(*asked)


def _warm_up() -> None:
    """Decode a little silence, so that what is imported late is imported before the limits."""
    tone = io.BytesIO()
    with av.open(tone, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    tone.seek(0)
    with opened(Bytes(tone, len(tone.getvalue()))) as track:
        for _ in decoded(track, 16000, "mix", Limits()):
            pass
    json.dumps({"words": traceback.format_exception(ValueError("warm"))})


def _confine(memory_mb: int) -> None:
    """Take away what decoding does not need. Only what is open now and one file more stay open."""
    limits = {
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 4,  # 0, 1, 2 and the file
    }
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))


def _say(message: dict[str, Any]) -> None:
    _write(said(message))


def _write(data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _next_question(questions: socket.socket) -> tuple[dict[str, Any], int] | None:
    head, descriptors, _, _ = socket.recv_fds(questions, REQUEST.size, 1)
    if not head:
        return None
    while len(head) < REQUEST.size:
        head += questions.recv(REQUEST.size - len(head))
    (size,) = REQUEST.unpack(head)
    body = b""
    while len(body) < size:
        more = questions.recv(size - len(body))
        if not more:
            return None
        body += more
    return json.loads(body), descriptors[0]


def _answer(question: dict[str, Any], descriptor: int) -> None:
    limits = Limits(**question["limits"])
    size = int(question["size"])
    _allow_cpu(limits.budget(size, 0.0))
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as raw, opened(Bytes(raw, size)) as track:
            if question["ask"] == "probe":
                _say({"claims": vars(claims(track, limits.max_ratio))})
                return
            work = decoded(track, question["rate"], question["channels"], limits)
            summary = _send(work, size, limits, int(question["rate"]))
        _say({"decoded": summary})
    except MediaError as error:
        _say({"code": error.code, "detail": error.detail[:300]})
    except MemoryError:
        _say({"code": "memory", "detail": "an allocation failed"})
    except _ODD as error:
        _say({"code": "broken", "detail": f"{type(error).__name__}: {error}"[:300]})
    except Exception:
        _say({"bug": traceback.format_exc()[-4000:]})


def _send(
    work: Generator[Any, None, dict[str, Any]], size: int, limits: Limits, rate: int
) -> dict[str, Any]:
    """Write each block as it comes; what the generator returned at its end."""
    frames, count = 0, 0
    used = _cpu_seconds()
    while True:
        try:
            block = next(work)
        except StopIteration as end:
            return dict(end.value)
        channels, length = block.shape
        frames, count = frames + length, count + 1
        _write(HEADER.pack(SAMPLES, channels, length))
        _write(np.ascontiguousarray(block, "<i2").data.cast("B"))
        if count % CPU_STEP == 0:
            _allow_cpu(limits.budget(size, frames / rate) - (_cpu_seconds() - used))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _allow_cpu(seconds: float) -> None:
    """So much more processor time, then SIGXCPU; the hard limit stays open for the next file."""
    soft = math.ceil(_cpu_seconds() + max(seconds, 0.0)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
