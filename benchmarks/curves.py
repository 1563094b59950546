"""Curves through few measured points: `a + b * x ** e`.

A power alone has no place for what a run costs whatever it holds, and its exponent then comes out
too small. With a constant beside it three unknowns are fitted, so an exponent from less than a
factor of thirty in x says little; `slope`, between two neighbours, is the check on it.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """`a + b * x ** e`, and the largest relative error of it over what was measured."""

    a: float
    b: float
    e: float
    error: float

    def __call__(self, x: float) -> float:
        return self.a + self.b * x**self.e


def fit(xs: Sequence[float], ys: Sequence[float]) -> Curve:
    """The best curve by squared relative errors; a and b are not negative, e is 0.3 to 2.

    Raises `ValueError` for fewer than three points.
    """
    if len(xs) < 3:
        raise ValueError("a curve of three unknowns needs three points")
    x, y = np.asarray(xs, float), np.maximum(np.asarray(ys, float), 1e-9)
    least, best = math.inf, Curve(float(np.exp(np.log(y).mean())), 0.0, 0.0, math.inf)
    for e in np.arange(0.3, 2.001, 0.01):
        columns = np.stack([np.ones_like(x), x**e]) / y
        a, b = _not_negative(columns)
        off = a * columns[0] + b * columns[1] - 1
        if (off**2).sum() < least - 1e-12:
            least = float((off**2).sum())
            best = Curve(a, b, round(float(e), 2), float(np.abs(off).max()))
    return best


def _not_negative(columns: npt.NDArray[np.float64]) -> tuple[float, float]:
    """a and b >= 0 so that a * columns[0] + b * columns[1] is nearest to ones."""
    found = np.linalg.lstsq(columns.T, np.ones(columns.shape[1]), rcond=None)[0]
    if (found >= 0).all():
        return float(found[0]), float(found[1])
    alone = [float(column.sum() / (column**2).sum()) for column in columns]
    off = [
        float(((one * column - 1) ** 2).sum()) for one, column in zip(alone, columns, strict=True)
    ]
    return (alone[0], 0.0) if off[0] < off[1] else (0.0, alone[1])


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The exponent between the last two points, whatever a run costs by itself."""
    return math.log(max(ys[-1], 1e-9) / max(ys[-2], 1e-9)) / math.log(xs[-1] / xs[-2])
