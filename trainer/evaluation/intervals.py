"""Intervals of what an evaluation reports: every value is a ratio of sums over items.

Accuracy is credit over items, a loss is nats over tokens, a divergence is nats over tokens. Items
of one group (one question in many voices, one page) are not independent, so the error is that of
the linearised ratio over clusters, with Student's t and one degree of freedom less than clusters.
These are intervals over *items of one trained model*: they say nothing about another seed.

Where every cluster is right (or wrong) the spread is zero and t would claim certainty: there the
bound is the exact binomial one, with clusters as trials.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

METHOD = "t over clusters of items"
EXACT = "exact binomial over clusters"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value and where it may lie, over the items of one model."""

    value: float
    low: float | None  # None: no interval can be given, `method` says why
    high: float | None
    level: float
    method: str
    items: int
    clusters: int
    error: float | None  # standard error
    freedom: float | None  # degrees of freedom of t


def ratio(
    numerators: Sequence[float] | npt.NDArray[np.float64],
    denominators: Sequence[float] | npt.NDArray[np.float64],
    clusters: Sequence[str],
    *,
    level: float = 0.95,
    share: bool = False,
) -> Estimate:
    """sum(numerators) / sum(denominators) by item, with its interval.

    `share`: the value lies in [0, 1], and so does its interval. Raises `ValueError` where there are
    no items, lengths differ or the denominators have no sum.
    """
    over, under = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if not len(over) or len(over) != len(under) or len(over) != len(clusters):
        raise ValueError(f"{len(over)} / {len(under)} values of {len(clusters)} clusters")
    total = math.fsum(under)
    if not total > 0:
        raise ValueError("nothing was counted")
    value = math.fsum(over) / total
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    count = len(names)
    plain = Estimate(
        value=value,
        low=None,
        high=None,
        level=level,
        method="one cluster: no interval",
        items=len(over),
        clusters=count,
        error=None,
        freedom=None,
    )
    if count < 2:
        return plain
    places = np.array([names[name] for name in clusters])
    rest = np.bincount(places, weights=over - value * under, minlength=count)
    error = math.sqrt(count / (count - 1) * math.fsum(rest**2)) / total
    if share and error < 1e-12 and (value < 1e-12 or value > 1 - 1e-12):
        bound = ((1 - level) / 2) ** (1 / count)  # Clopper-Pearson with no failure
        low, high = (bound, 1.0) if value > 0.5 else (0.0, 1 - bound)
        exact = dataclasses.replace(plain, low=low, high=high, method=EXACT)
        return dataclasses.replace(exact, error=0.0, freedom=float(count - 1))
    return _with_t(plain, error, count - 1, METHOD, share)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The plain mean of independent shares (the mean accuracy of several sets).

    Errors add in squares; degrees of freedom by Welch and Satterthwaite.
    """
    if not estimates:
        raise ValueError("no estimates")
    count = len(estimates)
    plain = Estimate(
        value=math.fsum(one.value for one in estimates) / count,
        low=None,
        high=None,
        level=estimates[0].level,
        method="a set has no interval",
        items=sum(one.items for one in estimates),
        clusters=sum(one.clusters for one in estimates),
        error=None,
        freedom=None,
    )
    known = [
        (one.error**2, one.freedom)
        for one in estimates
        if one.error is not None and one.freedom is not None
    ]
    if len(known) < count:
        return plain
    total = math.fsum(square for square, _ in known)
    weights = math.fsum(square**2 / freedom for square, freedom in known)
    freedom = total**2 / weights if weights else float(plain.clusters - count)
    error = math.sqrt(total) / count
    return _with_t(plain, error, freedom, f"{METHOD}, sets independent", share=True)


def _with_t(plain: Estimate, error: float, freedom: float, method: str, share: bool) -> Estimate:
    from scipy import stats

    half = float(stats.t.ppf((1 + plain.level) / 2, freedom)) * error
    low, high = plain.value - half, plain.value + half
    if share:
        low, high = max(low, 0.0), min(high, 1.0)
    return dataclasses.replace(
        plain, low=low, high=high, method=method, error=error, freedom=float(freedom)
    )


def through(estimate: Estimate, function: Callable[[float], float]) -> Estimate:
    """An estimate seen through an increasing function: both ends move with it."""
    return dataclasses.replace(
        estimate,
        value=function(estimate.value),
        low=None if estimate.low is None else function(estimate.low),
        high=None if estimate.high is None else function(estimate.high),
        method=f"{estimate.method}, transformed",
        error=None,
        freedom=None,
    )
