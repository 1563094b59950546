"""A sound through a codec and back, at the same length and place: what a call or a stream does.

By PyAV's encoders, in memory and in their bit-exact mode. The bytes are of our own making, so they
need no door. Containers that say how much of their first frames is padding are used, so that words
stay where they were (a test holds it to 2 ms).
"""

import io
from typing import Any

import numpy as np

from transforms.step import Pcm16

# Name: encoder, container, rate that it works at, kilobits a second (0: its own).
CODECS: dict[str, tuple[str, str, int, int]] = {
    "mulaw": ("pcm_mulaw", "wav", 8_000, 0),
    "g722": ("g722", "wav", 16_000, 0),
    "opus-8": ("libopus", "ogg", 16_000, 8),
    "opus-16": ("libopus", "ogg", 16_000, 16),
    "mp3-32": ("libmp3lame", "mp3", 16_000, 32),
}
_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT


def through(pcm: Pcm16, rate: int, name: str) -> Pcm16:
    """PCM16, mono, `[frames]`, as it comes out of the codec of that name: as many frames."""
    encoder, container, at, kilobits = CODECS[name]
    data = _encoded(_resampled(pcm, rate, at), at, encoder, container, kilobits)
    decoded, found = _decoded(data, container)
    out = _resampled(decoded, found, rate)
    return np.pad(out, (0, max(0, len(pcm) - len(out))))[: len(pcm)]


def _encoded(pcm: Pcm16, rate: int, encoder: str, container: str, kilobits: int) -> bytes:
    import av

    target = io.BytesIO()
    with av.open(target, "w", format=container, options={"fflags": "+bitexact"}) as out:
        stream: Any = out.add_stream(encoder, rate=rate, layout="mono")
        stream.codec_context.flags |= _BITEXACT
        if kilobits:
            stream.bit_rate = kilobits * 1000
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
        fifo: Any = av.AudioFifo()
        for converted in resampler.resample(frame):
            fifo.write(converted)
        size = stream.codec_context.frame_size or 4096
        while block := fifo.read(size) or fifo.read():
            out.mux(stream.encode(block))
        out.mux(stream.encode(None))
    return target.getvalue()


def _decoded(data: bytes, container: str) -> tuple[Pcm16, int]:
    import av

    opened: Any = av.open(io.BytesIO(data), "r", format=container)
    with opened as found:
        stream = found.streams.audio[0]
        rate = int(stream.rate or 0)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        parts = [
            converted.to_ndarray().reshape(-1)
            for frame in found.decode(stream)
            for converted in resampler.resample(frame)
        ]
    return np.concatenate([np.zeros(0, np.int16), *parts]).astype(np.int16), rate


def _resampled(pcm: Pcm16, rate: int, wanted: int) -> Pcm16:
    if rate == wanted or not len(pcm):
        return pcm
    import soxr

    out = soxr.resample(pcm.astype(np.float32), rate, wanted, quality="HQ")
    found: Pcm16 = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return found
