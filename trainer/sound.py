"""Ranges of a FLAC that lies in memory, decoded without copying or decoding the rest of it.

A piece of a document is often a tenth of its FLAC, and half of that is shown as text: the decoder
is handed a window on the mapped file and seeks in it.
"""

import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data_settings import DataError

Pcm16 = npt.NDArray[np.int16]


class Window(io.RawIOBase):
    """Bytes in memory as a file."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        part = self._data[self._at : self._at + len(target)]
        target[: len(part)] = part
        self._at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = min(max(base + offset, 0), len(self._data))
        return self._at

    def tell(self) -> int:
        return self._at


def decode_ranges(
    data: memoryview, ranges: Sequence[tuple[int, int]], rate: int, where: str
) -> list[Pcm16]:
    """Frames [start, end) of a mono 16-bit FLAC at `rate` hertz, for each of ascending ranges.

    Ranges that touch are decoded in one go. Raises `DataError` where the FLAC is not sound or
    ends too early.
    """
    import soundfile

    found: list[Pcm16] = []
    try:
        with soundfile.SoundFile(Window(data)) as file:
            if (file.format, file.channels, file.samplerate) != ("FLAC", 1, rate):
                raise DataError(
                    "bad_flac", f"{where}: {file.format} x{file.channels} at {file.samplerate} Hz"
                )
            at = 0
            for run in _runs(ranges):
                start, end = run[0][0], run[-1][1]
                if start != at:
                    file.seek(start)
                pcm: Pcm16 = file.read(end - start, dtype="int16")
                if len(pcm) != end - start:
                    raise DataError(
                        "bad_flac", f"{where}: ends at {start + len(pcm)}, {end} frames wanted"
                    )
                at = end
                found += [pcm[first - start : last - start] for first, last in run]
    except soundfile.LibsndfileError as error:
        raise DataError("bad_flac", f"{where}: {error}") from error
    return found


def _runs(ranges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Ranges that lie end to end, together."""
    runs: list[list[tuple[int, int]]] = [[one] for one in ranges[:1]]
    for before, after in itertools.pairwise(ranges):
        if before[1] == after[0]:
            runs[-1].append(after)
        else:
            runs.append([after])
    return runs
