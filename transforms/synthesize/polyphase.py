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
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.step import Pcm16
from transforms.synthesize.levels import PEAK, Wave

DECIBELS = 90.0  # that what lies beyond the band is pushed down by; PCM16 holds 98
_CUTOFF, _WIDTH = 0.96, 0.15  # of the lower half rate: the filter's middle, and how fast it falls
_GROUP = 32  # outputs of one matrix: more look at fewer shared samples, fewer leave BLAS idle
_STACK = 10  # matrices of one call: their windows lie evenly, so each is a little too wide
_PRODUCT = 10**6  # multiplications of one product: OpenBLAS has a faster way for small ones


class _Filters:
    """The matrices of one ratio: `stacks` of (first input, inputs between matrices, [m, k, 32])."""

    def __init__(self, rate: int, wanted: int) -> None:
        common = math.gcd(rate, wanted)
        up, down = wanted // common, rate // common
        band = min(rate, wanted) / rate  # of the input's half rate
        self.half = math.ceil((DECIBELS - 8) / (2.285 * math.pi * band * _WIDTH) / 2)
        step = _GROUP * down // up  # inputs from one matrix to the next
        drift = math.ceil((_STACK - 1) * (_GROUP * down / up - step))
        size = 2 * self.half + step + drift + 1
        least = max(size / down, _GROUP / up)  # so that rows of inputs overlap never
        periods = math.ceil(least)
        while periods * up % _GROUP:  # no output is left over
            periods += 1
        self.outputs, self.inputs = up * periods, down * periods
        self.stacks: list[tuple[int, int, Wave]] = []
        for first in range(0, self.outputs, _GROUP * _STACK):
            count = min(_STACK, (self.outputs - first) // _GROUP)
            start = first * down // up - self.half + 1
            matrices = np.zeros((count, size, _GROUP), np.float32)
            for number in range(count):
                outputs = first + number * _GROUP + np.arange(_GROUP)
                inputs = start + number * step + np.arange(size)
                matrices[number] = self._taps(outputs * down / up, inputs, band)
            self.stacks.append((start, step, matrices))

    def _taps(
        self, outputs: npt.NDArray[Any], inputs: npt.NDArray[Any], band: float
    ) -> npt.NDArray[Any]:
        """What each input adds to each output, `[inputs, outputs]`."""
        away = outputs[None, :] - inputs[:, None]
        beta = 0.1102 * (DECIBELS - 8.7)
        window = np.i0(beta * np.sqrt(np.clip(1 - (away / self.half) ** 2, 0, None)))
        window[np.abs(away) > self.half] = 0
        taps = np.sinc(band * _CUTOFF * away) * window
        found: npt.NDArray[Any] = taps / (taps.sum(axis=0) * PEAK)
        return found


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
    before = -filters.stacks[0][0]
    start, step, matrices = filters.stacks[-1]
    end = start + step * (len(matrices) - 1) + matrices.shape[1]
    padded = np.empty(before + max(len(pcm), (rows - 1) * filters.inputs + end), np.float32)
    padded[:before] = 0
    padded[before : before + len(pcm)] = pcm
    padded[before + len(pcm) :] = 0
    out = np.empty((rows, filters.outputs // _GROUP, _GROUP), np.float32)
    place = 0
    for start, step, matrices in filters.stacks:
        count, size, _ = matrices.shape
        shape, strides = (count, rows, size), (4 * step, 4 * filters.inputs, 4)
        seen: Wave = np.ndarray(shape, np.float32, padded, 4 * (before + start), strides)
        to = out[:, place : place + count].transpose(1, 0, 2)
        most = _PRODUCT // (size * _GROUP)
        for row in range(0, rows, most):
            np.matmul(seen[:, row : row + most], matrices, out=to[:, row : row + most])
        place += count
    return out.reshape(-1)[:length]
