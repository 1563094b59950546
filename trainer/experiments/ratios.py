"""The critical mixture ratio: how much of a new domain a run bears before the old one suffers.

R(T) is the largest share of the new domain (here: speech) at which the loss of the old one (text)
has risen by no more than a tolerance after T tokens; it grows as R = a T^s + b (arXiv 2407.17467).
Shares are measured at a few values, so R is where the rise, made monotone in the share, crosses the
tolerance. Where every share that was run is below it or above it, R was not found at that T.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from trainer.budget.intervals import Interval, percentiles
from trainer.failures import SetupError

RISE = 0.05  # nats (arXiv 2407.17467)
LEAST = 4  # moments: three numbers and one more
EXPONENTS = np.concatenate([np.linspace(-2.0, -0.01, 400), np.linspace(0.01, 2.0, 400)])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One run at one moment."""

    tokens: float  # T: positions read so far
    share: float  # of the new domain, 0 to 1
    rise: float  # of the old domain's loss over its reference (nats)
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Critical:
    """R at one T. `share` is None where it was not found; `why` then says on which side it is."""

    tokens: float
    share: float | None
    interval: Interval | None  # over seeds, where there are several
    why: str
    shares: tuple[float, ...]
    rises: tuple[float, ...]  # means over seeds, as measured


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RatioLaw:
    """R = a (T / unit)^s + b, between the first and the last T that it was fitted to."""

    a: float
    s: float
    b: float
    unit: float
    first: float
    last: float
    worst: float  # largest residual, in share

    def at(self, tokens: float) -> float:
        return float(self.a * (tokens / self.unit) ** self.s + self.b)

    def told(self, tokens: float) -> str:
        """R at T for people; marked where no run was that long or short."""
        inside = self.first * 0.999 <= tokens <= self.last * 1.001
        return f"{self.at(tokens):.3f}{'' if inside else ' (EXTRAPOLATED)'}"


def critical(
    points: Sequence[Measured],
    *,
    rise: float = RISE,
    resamples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Critical, ...]:
    """R at each T of the runs, ascending. Raises `SetupError` for fewer than two shares."""
    found = []
    for tokens in sorted({one.tokens for one in points}):
        own = [one for one in points if one.tokens == tokens]
        by: dict[float, dict[int, float]] = {}
        for one in own:
            by.setdefault(one.share, {})[one.seed] = one.rise
        if len(by) < 2:
            raise SetupError(f"at {tokens:g} positions: {len(by)} shares; R needs at least two")
        shares = sorted(by)
        rises = [math.fsum(by[share].values()) / len(by[share]) for share in shares]
        where = crossing(shares, rises, rise)
        why = ""
        if math.isinf(where):
            edge = f"{shares[0]:g} or below" if where < 0 else f"{shares[-1]:g} or above"
            why = f"not found: {edge}; run other shares"
        found.append(
            Critical(
                tokens=tokens,
                share=None if why else where,
                interval=_over_seeds(by, shares, rise, resamples, level, seed),
                why=why,
                shares=tuple(shares),
                rises=tuple(rises),
            )
        )
    return tuple(found)


def crossing(shares: Sequence[float], rises: Sequence[float], rise: float) -> float:
    """The share at which the rise, made monotone, passes the tolerance; -inf or inf where every
    share is above it, or none."""
    from scipy.optimize import isotonic_regression

    level = [float(one) for one in isotonic_regression(np.asarray(rises, np.float64)).x]
    if level[0] > rise:
        return -math.inf
    if level[-1] <= rise:
        return math.inf
    place = next(n for n, one in enumerate(level) if one > rise)
    below, above = level[place - 1], level[place]
    part = (rise - below) / (above - below)
    return shares[place - 1] + part * (shares[place] - shares[place - 1])


def _over_seeds(
    by: Mapping[float, Mapping[int, float]],
    shares: Sequence[float],
    rise: float,
    resamples: int,
    level: float,
    seed: int,
) -> Interval | None:
    """By bootstrap of seeds, the same for all shares: runs of one seed share order and weights."""
    seeds = sorted(set.intersection(*(set(by[share]) for share in shares)))
    if len(seeds) < 2:
        return None
    chance = np.random.default_rng([seed, len(seeds)])
    found = []
    for _ in range(resamples):
        drawn = [seeds[n] for n in chance.integers(len(seeds), size=len(seeds))]
        rises = [math.fsum(by[share][one] for one in drawn) / len(drawn) for share in shares]
        found.append(crossing(shares, rises, rise))
    return percentiles(found, level)


def fit_ratios(points: Sequence[tuple[float, float]], unit: float | None = None) -> RatioLaw:
    """R = a (T / unit)^s + b through (T, R), by least squares; `unit` None: the first T.

    For each exponent the other two follow at once, so the search is over one number and cannot
    stall. Raises `SetupError` for fewer than four moments: three numbers go through three of them.
    """
    from scipy.optimize import minimize_scalar

    points = sorted(points)
    if len({tokens for tokens, _ in points}) < LEAST:
        raise SetupError(
            f"R was found at {len(points)} moments; R = a T^s + b needs at least {LEAST}"
        )
    unit = points[0][0] if unit is None else unit
    x = np.array([tokens / unit for tokens, _ in points])
    y = np.array([share for _, share in points])

    def solved(s: float) -> tuple[float, float, float]:
        power = x**s
        base = np.stack([power, np.ones_like(x)], axis=1)
        (a, b), *_ = np.linalg.lstsq(base, y, rcond=None)
        return float(a), float(b), float(((a * power + b - y) ** 2).sum())

    errors = [solved(float(s))[2] for s in EXPONENTS]
    place = int(np.argmin(errors))
    low = float(EXPONENTS[max(place - 1, 0)])
    high = float(EXPONENTS[min(place + 1, len(EXPONENTS) - 1)])
    if low * high < 0:  # 0 is no exponent: a T^0 + b is a constant
        low, high = (low, -1e-3) if EXPONENTS[place] < 0 else (1e-3, high)
    s = float(
        minimize_scalar(
            lambda s: solved(s)[2], bounds=(low, high), method="bounded", options={"xatol": 1e-9}
        ).x
    )
    a, b, _ = solved(s)
    worst = float(np.abs(a * x**s + b - y).max())
    first, last = points[0][0], points[-1][0]
    return RatioLaw(a=a, s=s, b=b, unit=unit, first=first, last=last, worst=worst)
