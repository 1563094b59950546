"""Samples at another rate, by one matrix of filters per ratio: what `speak` does to every sound.

A voice's rate and ours have a ratio of small whole numbers (16,000 / 22,050 = 320 / 441), so the
filter of output `n` is that of output `n + 320`. Neighbouring outputs look at almost the same
samples; 32 of them together are a matrix, and the whole sound is a few matrix products, each over
all periods at once: a quarter of the time of soxr, which designs its filter anew in every call.
What it costs is the top of the band, which begins to fall at 0.88 of the lower half rate and not
at 0.91 (windowed sinc, Kaiser's 90 dB; Oppenheim & Schafer, Discrete-Time Signal Processing, 7.6).
Nothing is delayed: frame 0 stays frame 0.
"""

import functools
import math

import numpy as np

from transforms.step import Pcm16
from transforms.synthesize.levels import PEAK, Wave

DECIBELS = 90.0  # that what lies beyond the band is pushed down by; PCM16 holds 98
_CUTOFF, _WIDTH = 0.96, 0.15  # of the lower half rate: the filter's middle, and how fast it falls
_GROUP = 32  # outputs of one matrix: more look at fewer shared samples, fewer leave BLAS idle
_PRODUCT = 10**6  # multiplications of one product: OpenBLAS has a faster way for small ones


class _Filters:
    """The matrices of one ratio."""

    def __init__(self, rate: int, wanted: int) -> None:
        common = math.gcd(rate, wanted)
        up, down = wanted // common, rate // common
        band = min(rate, wanted) / rate  # of the input's half rate
        self.half = math.ceil((DECIBELS - 8) / (2.285 * math.pi * band * _WIDTH) / 2)
        reach = 2 * self.half + math.ceil(_GROUP * down / up) + 1  # inputs of one matrix
        periods = math.ceil(max(reach / down, _GROUP / up))  # so that rows of inputs overlap never
        self.outputs, self.inputs = up * periods, down * periods
        self.starts: list[int] = []
        self.matrices: list[Wave] = []
        beta = 0.1102 * (DECIBELS - 8.7)
        for first in range(0, self.outputs, _GROUP):
            at = np.arange(first, min(first + _GROUP, self.outputs)) * down / up
            start = math.floor(at[0]) - self.half + 1
            size = math.floor(at[-1]) + self.half + 1 - start
            away = at[None, :] - (start + np.arange(size))[:, None]
            window = np.i0(beta * np.sqrt(np.clip(1 - (away / self.half) ** 2, 0, None)))
            taps = np.sinc(band * _CUTOFF * away) * np.where(np.abs(away) <= self.half, window, 0)
            self.starts.append(start)
            taps /= taps.sum(axis=0) * PEAK
            self.matrices.append(np.ascontiguousarray(taps, np.float32))


@functools.lru_cache(maxsize=8)
def _filters(rate: int, wanted: int) -> _Filters:
    return _Filters(rate, wanted)


def resampled(pcm: Pcm16, rate: int, wanted: int) -> Wave:
    """PCM16 `[n]` at `wanted` hertz in place of `rate`, in -1..1: `[ceil(n * wanted / rate)]`.

    A wave may pass 1 a little where the samples were full: what is between them is higher.
    """
    if rate == wanted or not len(pcm):
        return pcm.astype(np.float32) / np.float32(PEAK)
    filters = _filters(rate, wanted)
    length = -(-len(pcm) * wanted // rate)
    rows = -(-length // filters.outputs)
    before = -filters.starts[0]
    after = filters.starts[-1] + len(filters.matrices[-1])
    padded = np.empty(before + max(len(pcm), (rows - 1) * filters.inputs + after), np.float32)
    padded[:before] = 0
    padded[before : before + len(pcm)] = pcm
    padded[before + len(pcm) :] = 0
    out = np.empty((rows, filters.outputs), np.float32)
    strides = (filters.inputs * padded.itemsize, padded.itemsize)
    place = 0
    for start, matrix in zip(filters.starts, filters.matrices, strict=True):
        size, width = matrix.shape
        at = (before + start) * padded.itemsize
        seen: Wave = np.ndarray((rows, size), np.float32, padded, at, strides)
        step = _PRODUCT // matrix.size
        for row in range(0, rows, step):
            to = out[row : row + step, place : place + width]
            np.matmul(seen[row : row + step], matrix, out=to)
        place += width
    return out.reshape(-1)[:length]
