"""Scores to a `Histogram`: bins at round numbers, outliers counted instead of drawn.

The drawn range covers the 0.5th to the 99.5th percentile and every threshold near it, because one
wild value would squeeze all others into one bin; what lies outside is counted in `low` and `high`
and shown as such.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.report.content import Histogram, Threshold

MOST_BINS = 48


def of_values(
    name: str,
    unit: str,
    values: npt.ArrayLike,
    thresholds: Sequence[Threshold] = (),
    missing: int = 0,
    meaning: str = "",
) -> Histogram:
    """A histogram of `values`, any shape, any real type; values that are not finite are missing."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    finite = np.sort(flat[np.isfinite(flat)])
    missing += flat.size - finite.size
    if finite.size == 0:
        limits = sorted(t.value for t in thresholds) or [0.0]
        edges = np.array([limits[0] - 1.0, limits[-1] + 1.0])
        return _histogram(name, unit, finite, edges, tuple(thresholds), missing, meaning)
    first, last = (float(v) for v in np.quantile(finite, [0.005, 0.995], method="nearest"))
    for threshold in thresholds:
        if abs(threshold.value - (first + last) / 2) <= 2 * (last - first):
            first, last = min(first, threshold.value), max(last, threshold.value)
    return _histogram(
        name, unit, finite, _edges(first, last, finite), tuple(thresholds), missing, meaning
    )


def ticks(first: float, last: float, most: int = 6) -> tuple[float, ...]:
    """At most `most` + 1 round numbers inside [first, last]."""
    step = _round_step((last - first) / most)
    start, stop = math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9)
    return tuple(_clean(k * step) for k in range(start, stop + 1))


def _edges(first: float, last: float, finite: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if last - first <= 1e-12 * max(1.0, abs(first)):
        half = max(0.5, 0.05 * abs(first))
        return np.linspace(first - half, last + half, 22)
    step = _round_step((last - first) / MOST_BINS)
    if bool(np.all(finite == np.round(finite))):
        step = max(1.0, step)  # whole numbers: a bin narrower than one would leave gaps
    start, stop = math.floor(first / step + 1e-9), math.ceil(last / step - 1e-9)
    if last == stop * step:
        stop += 1  # the last bin is half-open like the others
    return np.array([_clean(k * step) for k in range(start, stop + 1)])


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5 or 5 times a power of ten that is at least `least`."""
    if not (math.isfinite(least) and least > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= least * (1 - 1e-9))


def _clean(value: float) -> float:
    return float(f"{value:.12g}")


def _histogram(
    name: str,
    unit: str,
    finite: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float64],
    thresholds: tuple[Threshold, ...],
    missing: int,
    meaning: str,
) -> Histogram:
    counts, _ = np.histogram(finite, bins=edges)
    quantiles = (
        [float(v) for v in np.quantile(finite, [0.05, 0.5, 0.95])]
        if finite.size
        else [None, None, None]
    )
    return Histogram(
        name=name,
        unit=unit,
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(number) for number in counts),
        thresholds=thresholds,
        low=int(np.sum(finite < edges[0])),
        high=int(np.sum(finite > edges[-1])),
        missing=missing,
        p05=quantiles[0],
        median=quantiles[1],
        p95=quantiles[2],
        meaning=meaning,
    )
