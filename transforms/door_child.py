"""The child behind the door: a process that can decode the one file it was handed, and no more.

Started by `transforms.door` as `python -m transforms.door_child <parent> <memory_mb>`.
Descriptors: 0 is a socket (questions, each with the file's descriptor), 1 a pipe (answers), 2 a
pipe for last words.
Once everything is imported and warm, the descriptor limit is set so low that the handed file takes
the last one: neither the decoder nor code it was tricked into can open a file or a socket. It
cannot write files or fork, its memory and its processor time per file are limited, and it dies
with its parent.
"""

import io
import json
import os
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
from transforms.door_confined import (
    allow_cpu,
    confine,
    cpu_seconds,
    next_question,
    say,
    tie_to,
    write,
)
from transforms.door_decode import decoded
from transforms.door_open import Bytes, opened
from transforms.door_words import (
    HEADER,
    SAMPLES,
    Limits,
    MediaError,
)

# What reading a damaged header's fields may raise in PyAV; anything else is a bug of ours.
_ODD = (av.error.FFmpegError, UnicodeError, EOFError, OverflowError, ZeroDivisionError)
CPU_STEP = 16  # blocks between two looks at the processor limit


def main() -> None:
    """Serve questions until the parent closes the socket."""
    parent, memory_mb = int(sys.argv[1]), int(sys.argv[2])
    tie_to(parent)
    av.logging.set_level(None)
    _warm_up()
    confine(memory_mb)
    questions = socket.socket(fileno=0)
    say({"hello": {"av": av.__version__, "soxr": soxr.__version__}})
    while (asked := next_question(questions)) is not None:
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


def _answer(question: dict[str, Any], descriptor: int) -> None:
    limits = Limits(**question["limits"])
    size = int(question["size"])
    allow_cpu(limits.budget(size, 0.0))
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as raw, opened(Bytes(raw, size)) as track:
            if question["ask"] == "probe":
                say({"claims": vars(claims(track, limits.max_ratio))})
                return
            work = decoded(track, question["rate"], question["channels"], limits)
            summary = _send(work, size, limits, int(question["rate"]))
        say({"decoded": summary})
    except MediaError as error:
        say({"code": error.code, "detail": error.detail[:300]})
    except MemoryError:
        say({"code": "memory", "detail": "an allocation failed"})
    except _ODD as error:
        say({"code": "broken", "detail": f"{type(error).__name__}: {error}"[:300]})
    except Exception:
        say({"bug": traceback.format_exc()[-4000:]})


def _send(
    work: Generator[Any, None, dict[str, Any]], size: int, limits: Limits, rate: int
) -> dict[str, Any]:
    """Write each block as it comes; what the generator returned at its end."""
    frames, count = 0, 0
    used = cpu_seconds()
    while True:
        try:
            block = next(work)
        except StopIteration as end:
            return dict(end.value)
        channels, length = block.shape
        frames, count = frames + length, count + 1
        write(HEADER.pack(SAMPLES, channels, length))
        write(np.ascontiguousarray(block, "<i2").data.cast("B"))
        if count % CPU_STEP == 0:
            allow_cpu(limits.budget(size, frames / rate) - (cpu_seconds() - used))


if __name__ == "__main__":
    main()
