"""What a study may say: paired differences over seeds, with an interval, a test and a correction.

The seed is the unit of replication: two arms of one seed share initial weights, order and items,
so their difference is one observation, and there are as many as seeds. Thousands of items in one
trained model are one observation, too: an interval over items says how well that model is known,
not what another seed would give, and is never used for a claim.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

LEAST_SEEDS = 5  # for a claim
EXACT = 16  # up to so many differences all 2^n flips of their signs are counted
FLIPS = 50_000  # random ones beyond


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean over seeds and where it may lie, by Student's t."""

    mean: float
    low: float | None  # None: fewer than two seeds
    high: float | None
    level: float
    seeds: int

    def holds(self, value: float) -> bool | None:
        """Whether the value lies inside; None where there is no interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= value <= self.high


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean and t interval of one value per seed. Raises `ValueError` for none."""
    from scipy import stats

    count = len(values)
    if not count or not all(math.isfinite(value) for value in values):
        raise ValueError(f"needs finite values, has {list(values)}")
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(mean=mean, low=None, high=None, level=level, seeds=count)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * spread / math.sqrt(count)
    return Interval(mean=mean, low=mean - half, high=mean + half, level=level, seeds=count)


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """p of the sign-flip permutation test, two-sided: the share of sign patterns whose mean is at
    least as far from 0 as what was seen.

    Exact for up to 16 differences, so never below 2 / 2^n; beyond, 50,000 random patterns, the
    seen one among them. Assumes that a difference is as likely with either sign where arms do not
    differ, which pairing by seed gives.
    """
    values = np.asarray(differences, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"needs finite differences, has {list(differences)}")
    seen = abs(values.sum())
    slack = 1e-12 * max(np.abs(values).sum(), 1e-300)  # sums of the same numbers in another order
    if len(values) <= EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
        return float(np.mean(np.abs(signs @ values) >= seen - slack))
    chance = np.random.default_rng(seed)
    signs = chance.integers(0, 2, (FLIPS, len(values))) * 2.0 - 1.0
    extreme = int(np.sum(np.abs(signs @ values) >= seen - slack))
    return (extreme + 1) / (FLIPS + 1)


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for their number (Holm, 1979): by name, never below what came in."""
    found: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(values, key=lambda name: (values[name], name))):
        highest = max(highest, min(1.0, (len(values) - place) * values[name]))
        found[name] = highest
    return found


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One arm less another at one measure, seed by seed."""

    better: str
    worse: str
    differences: Mapping[int, float]  # by seed
    interval: Interval
    p: float  # sign-flip, two-sided, not corrected


def compare(
    better: str,
    worse: str,
    left: Mapping[int, float],
    right: Mapping[int, float],
    level: float = 0.95,
) -> Compared | None:
    """`left - right` over the seeds that both have; None where they share none."""
    seeds = sorted(left.keys() & right.keys())
    if not seeds:
        return None
    differences = {seed: left[seed] - right[seed] for seed in seeds}
    values = list(differences.values())
    return Compared(
        better=better,
        worse=worse,
        differences=differences,
        interval=interval(values, level),
        p=sign_flip(values),
    )


def verdict(compared: Compared, corrected: float, alpha: float) -> str:
    """What may be said of a claim that `better` is better: one sentence."""
    seeds = compared.interval.seeds
    if seeds < LEAST_SEEDS:
        return f"no claim: {seeds} of at least {LEAST_SEEDS} seeds"
    low, high = compared.interval.low, compared.interval.high
    assert low is not None and high is not None
    if low > 0 and corrected <= alpha:
        return "shown"
    if high < 0 and corrected <= alpha:
        return "the opposite is shown"
    if low > 0 or high < 0:
        least = 2.0 ** (1 - seeds)
        why = f"; with {seeds} seeds p is never below {least:.3g}" if least > alpha / 2 else ""
        return f"not shown: the interval is clear of zero, the corrected p is {corrected:.3g}{why}"
    return "not shown: the interval includes zero"


def area(curve: Mapping[int, float], first: int, last: int) -> float:
    """Mean height of a curve between two steps, by the trapezoidal rule.

    Raises `ValueError` where the curve does not reach from `first` to `last`.
    """
    steps = [step for step in sorted(curve) if first <= step <= last]
    if len(steps) < 2 or steps[0] != first or steps[-1] != last:
        raise ValueError(f"a curve over the steps {steps} has no area from {first} to {last}")
    total = sum((b - a) * (curve[a] + curve[b]) / 2 for a, b in itertools.pairwise(steps))
    return total / (last - first)
