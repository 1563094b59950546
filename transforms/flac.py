"""FLAC members: mono PCM16 in, bytes out, and back, exactly. The form audio is stored in.

FLAC and not Opus or WAV: lossless, half the size of WAV, and libsndfile writes the same bytes for
the same samples each time (its Ogg files carry a random serial number).
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Pcm16 = npt.NDArray[np.int16]

COMPRESSION = 0.625  # libsndfile's 0..1, meaning FLAC level 5: above it, bytes barely shrink
BLOCK = 1 << 18  # frames per write and read


def encode(pcm: Pcm16, rate: int) -> bytes:
    """The FLAC file of mono samples `[frames]` at `rate` hertz. The same samples, the same bytes.

    Raises `ValueError` where `pcm` is not one-dimensional int16 or is empty.
    """
    import soundfile

    if pcm.dtype != np.int16 or pcm.ndim != 1 or not len(pcm):
        raise ValueError(f"needs int16 [frames], at least one; has {pcm.dtype} {pcm.shape}")
    target = io.BytesIO()
    with soundfile.SoundFile(
        target, "w", rate, 1, "PCM_16", format="FLAC", compression_level=COMPRESSION
    ) as file:
        for start in range(0, len(pcm), BLOCK):
            file.write(np.ascontiguousarray(pcm[start : start + BLOCK]))
    return target.getvalue()


def decode(data: bytes, start: int = 0, end: int | None = None) -> Pcm16:
    """Frames [start, end) of a FLAC file, as int16 `[end - start]`.

    Raises `ValueError` where the file does not hold the range or is not mono FLAC.
    """
    parts = list(blocks(data, start, end))
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def blocks(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Pcm16]:
    """`decode` in pieces, for members too long to hold twice."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check(file, start, end)
            left = (file.frames if end is None else end) - start
            file.seek(start)
            while left:
                part: Pcm16 = file.read(min(BLOCK, left), dtype="int16")
                if not len(part):
                    raise ValueError(f"a FLAC of {len(data)} bytes ends {left} frames too early")
                left -= len(part)
                yield part
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{len(data)} bytes are not a sound FLAC file: {error}") from error


def member_frames(data: bytes) -> int:
    """How many frames a FLAC file says it holds."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return int(file.frames)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{len(data)} bytes are not a FLAC file: {error}") from error


def _check(file: Any, start: int, end: int | None) -> None:
    if file.format != "FLAC" or file.channels != 1 or file.subtype != "PCM_16":
        raise ValueError(f"not mono 16-bit FLAC: {file.format} {file.subtype} x{file.channels}")
    if not 0 <= start <= (file.frames if end is None else end) <= file.frames:
        raise ValueError(f"frames {start}..{end} are not inside 0..{file.frames}")
