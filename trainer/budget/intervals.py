"""Bootstrap intervals of optima that may not exist: an end that was not found stays open.

A resample without an optimum inside the grid is not thrown away: it says that the optimum may lie
beyond the edge. It counts as infinitely far on its side, so an interval whose end falls among such
resamples is open there.
"""

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Percentiles over resamples. None: open, what was looked for may lie beyond the grid."""

    low: float | None
    high: float | None
    level: float
    found: float  # part of the resamples in which there was an optimum inside the grid

    def shown(self, form: str = ".3g") -> str:
        """For people."""
        low = "open" if self.low is None else format(self.low, form)
        high = "open" if self.high is None else format(self.high, form)
        return f"[{low}, {high}]"


def percentiles(values: Sequence[float], level: float) -> Interval:
    """The interval of resamples; -inf and inf are optima beyond an edge, nan none at all.

    A nan (a curve without a lowest point) says nothing on either side: each counts at both ends.
    """
    if not values:
        return Interval(low=None, high=None, level=level, found=0.0)
    low = sorted(-math.inf if math.isnan(one) else one for one in values)
    high = sorted(math.inf if math.isnan(one) else one for one in values)
    tail = (1 - level) / 2
    first = low[math.floor(tail * (len(values) - 1))]
    last = high[math.ceil((1 - tail) * (len(values) - 1))]
    return Interval(
        low=first if math.isfinite(first) else None,
        high=last if math.isfinite(last) else None,
        level=level,
        found=sum(map(math.isfinite, values)) / len(values),
    )
