"""How to spend a budget: size, unique hours, passes, each with its interval.

The law is asked only where it was fitted. The best size of a budget is looked for among sizes that
were run, and where the lowest loss lies at the smallest or the largest of them it was not found.
A budget outside those that were run is refused unless extrapolation is asked for, and then every
line says so.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from trainer.budget.intervals import Interval, percentiles
from trainer.budget.parametric import Fitted, Law
from trainer.budget.points import Point
from trainer.failures import SetupError

STEPS = 2001  # sizes that are looked at between the smallest and the largest
RISE = 0.01  # nats that repeats may cost (ours)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """None where it was not found; `why` then says why."""

    budget: float
    found: bool
    why: str
    extrapolated: bool
    size: float | None
    size_interval: Interval
    positions: float | None  # that the budget buys at that size
    loss: float | None
    unique: float | None  # least unique positions whose repeats cost at most `rise`
    unique_interval: Interval
    passes: float | None
    passes_interval: Interval
    rise: float
    hours: float | None  # of `unique`, where positions have hours
    hours_interval: Interval | None
    repeats_known: bool  # whether any run repeated data


def recommend(
    fitted: Fitted,
    budget: float,
    *,
    level: float = 0.95,
    rise: float = RISE,
    hours_per_position: float | None = None,
    extrapolate: bool = False,
) -> Recommendation:
    """The best use of a budget.

    Raises `SetupError` for one outside those that were run, unless `extrapolate`: sizes are then
    looked for beyond the grid, too, at the prices that `cost_of` gives them.
    """
    cost, low, high, outside = _within(fitted.points, budget, extrapolate)
    best = best_size(fitted.law, budget, cost, low, high)
    drawn = [best_size(law, budget, cost, low, high) for law in fitted.resampled]
    sizes = percentiles(drawn, level)
    found = math.isfinite(best)
    known = fitted.law.repeats is not None
    if not found:
        empty = Interval(low=None, high=None, level=level, found=sizes.found)
        edge = f"{low:.4g} or below" if best < 0 else f"{high:.4g} or above"
        return Recommendation(
            budget=budget, found=False, extrapolated=outside, size=None, size_interval=sizes,
            why=f"not found: at the edge of the sizes that were run, {edge}; run others there",
            positions=None, loss=None, unique=None, unique_interval=empty, passes=None,
            passes_interval=empty, rise=rise, hours=None, hours_interval=None, repeats_known=known,
        )  # fmt: skip
    positions = budget / cost(best)
    unique = least_unique(fitted.law, best, positions, rise)
    others, passes = [], []
    for law, size in zip(fitted.resampled, drawn, strict=True):
        if not math.isfinite(size):
            others.append(-size)  # a size beyond the upper edge reads less
            passes.append(math.nan)
            continue
        amount = budget / cost(size)
        own = least_unique(law, size, amount, rise)
        others.append(own)
        passes.append(amount / own)
    interval = percentiles(others, level)
    return Recommendation(
        budget=budget,
        found=True,
        why="",
        extrapolated=outside,
        size=best,
        size_interval=sizes,
        positions=positions,
        loss=fitted.law.loss(best, positions),
        unique=unique,
        unique_interval=interval,
        passes=positions / unique,
        passes_interval=percentiles(passes, level),
        rise=rise,
        hours=None if hours_per_position is None else unique * hours_per_position,
        hours_interval=_times(interval, hours_per_position),
        repeats_known=known,
    )


def best_size(
    law: Law, budget: float, cost: Callable[[float], float], low: float, high: float
) -> float:
    """Parameters of the lowest loss at a budget; -inf or inf at the edges of [low, high]."""
    sizes = np.geomspace(low, high, STEPS)
    losses = [law.loss(float(n), budget / cost(float(n))) for n in sizes]
    place = int(np.argmin(losses))
    if place == 0:
        return -math.inf
    return math.inf if place == STEPS - 1 else float(sizes[place])


def least_unique(law: Law, size: float, positions: float, rise: float) -> float:
    """The least unique positions with which reading `positions` costs at most `rise` nats."""
    if law.repeats is None:
        return positions  # nothing is known of repeats: read once
    most = law.loss(size, positions) + rise
    low, high = math.log(positions) - math.log(1e6), math.log(positions)
    for _ in range(60):  # the loss falls with unique positions
        middle = (low + high) / 2
        if law.loss(size, positions, math.exp(middle)) <= most:
            high = middle
        else:
            low = middle
    return math.exp(high)


def cost_of(points: Sequence[Point]) -> Callable[[float], float]:
    """FLOPs of a position by size, straight between the runs' logarithms; above the largest, 6 more
    for each weight; below the smallest, in proportion to it."""
    by_size: dict[float, list[float]] = {}
    for one in points:
        by_size.setdefault(one.parameters, []).append(one.cost)
    sizes = sorted(by_size)
    x = np.log(sizes)
    y = np.log([math.fsum(by_size[n]) / len(by_size[n]) for n in sizes])

    def cost(parameters: float) -> float:
        inside = min(max(parameters, sizes[0]), sizes[-1])
        found = math.exp(float(np.interp(math.log(inside), x, y)))
        if parameters < inside:
            return found * parameters / inside
        return found + 6.0 * (parameters - inside)

    return cost


def _within(
    points: Sequence[Point], budget: float, extrapolate: bool
) -> tuple[Callable[[float], float], float, float, bool]:
    budgets = [one.budget for one in points]
    sizes = [one.parameters for one in points]
    outside = not min(budgets) * 0.999 <= budget <= max(budgets) * 1.001
    low, high = min(sizes), max(sizes)
    if not outside:
        return cost_of(points), low, high, False
    if not extrapolate:
        raise SetupError(
            f"budget {budget:.4g} is outside those that were run, {min(budgets):.4g} to "
            f"{max(budgets):.4g}; run more, or ask for it with --extrapolate"
        )
    ratio = max(budget / max(budgets), min(budgets) / budget)
    return cost_of(points), low / ratio, high * ratio, True


def _times(interval: Interval, factor: float | None) -> Interval | None:
    if factor is None:
        return None
    low, high = (None if v is None else v * factor for v in (interval.low, interval.high))
    return dataclasses.replace(interval, low=low, high=high)
