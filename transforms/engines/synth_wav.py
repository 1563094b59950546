"""The samples of a WAV file from a synthesizer, read with bounds and without a media library.

Recordings from outside go through the door (`transforms.door`). What a synthesizer sends is asked
for in one form: PCM of 16 bits, or floats; anything else is refused. Servers that stream say
nothing true about the length, so what is there counts.
"""

import struct

import numpy as np
import numpy.typing as npt

Pcm16 = npt.NDArray[np.int16]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


def read_wav(data: bytes, max_seconds: float) -> tuple[Pcm16, int]:
    """Samples, mixed to mono, and their rate. Raises `ValueError` where it is no such file, and
    `OverflowError` where it is longer than `max_seconds`."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"no WAV file: it begins with {data[:12]!r}")
    form: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 8 + size]
        if kind == b"fmt ":
            form = _form(body)
        elif kind == b"data":
            if form is None:
                raise ValueError("a WAV file whose samples come before their form")
            return _samples(body, form, max_seconds), form[2]
        at += 8 + size + size % 2
    raise ValueError("a WAV file without samples")


def _form(body: bytes) -> tuple[int, int, int, int]:
    """Encoding, channels, rate, bits."""
    if len(body) < 16:
        raise ValueError("a WAV file with a broken header")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if code == _EXTENSIBLE and len(body) >= 26:
        code = struct.unpack_from("<H", body, 24)[0]
    if (code, bits) not in ((_PCM, 16), (_FLOAT, 32)):
        raise ValueError(f"a WAV file of encoding {code} with {bits} bits; 16-bit PCM is wanted")
    if not 1 <= channels <= 2 or not 4_000 <= rate <= 192_000:
        raise ValueError(f"a WAV file with {channels} channels at {rate} Hz")
    return code, channels, rate, bits


def _samples(body: bytes, form: tuple[int, int, int, int], max_seconds: float) -> Pcm16:
    code, channels, rate, bits = form
    frame = channels * bits // 8
    count = len(body) // frame
    if count > max_seconds * rate:
        raise OverflowError(f"{count / rate:.1f} s, at most {max_seconds:g}")
    if code == _FLOAT:
        return from_float(np.frombuffer(body, "<f4", count * channels), channels)
    return _mono(np.frombuffer(body, "<i2", count * channels).astype(np.int16), channels)


def _mono(pcm: Pcm16, channels: int) -> Pcm16:
    if channels == 1:
        return pcm
    mixed: Pcm16 = np.rint(pcm.reshape(-1, channels).mean(axis=1)).astype(np.int16)
    return mixed


def from_float(samples: npt.NDArray[np.float32], channels: int = 1) -> Pcm16:
    """Samples in -1..1 as PCM16; what is beyond is clipped. Raises `ValueError` for no numbers."""
    if not np.isfinite(samples).all():
        raise ValueError("samples that are no numbers")
    pcm: Pcm16 = np.clip(np.rint(samples * np.float32(32767)), -32768, 32767).astype(np.int16)
    return _mono(pcm, channels)
