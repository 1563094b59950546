"""IsoFLOP curves: at one budget, loss over size has a lowest point (Hoffmann et al., 2022, approach
2; arXiv 2203.15556).

A parabola in the logarithm of the size is fitted to each budget's runs, those within a factor of 8
of the best: far from it a valley is no parabola, for the largest models take a few steps only. Its
lowest point counts only where the runs enclose it: where the best of them is the smallest or the
largest, or the curve does not bend up, the answer is that it was not found, on which side, and
nothing else. Through the optima of three and more budgets goes a power law, which is said to hold
inside their range.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.budget.intervals import Interval, percentiles
from trainer.budget.points import Point

LEAST_SIZES = 4  # a parabola has three numbers; its scatter needs one more
WINDOW = math.log(8)  # sizes that far from the best are in the fit (ours)
LEAST_BUDGETS = 3  # of a power law, for the same reason

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Valley:
    """The curve of one budget. `size` is None where no optimum was found; `why` then says why."""

    budget: float
    size: float | None  # parameters at the lowest point
    loss: float | None  # there
    interval: Interval  # of `size`
    why: str
    side: float  # where it may lie: -inf below the sizes, inf above, nan anywhere, 0 found
    coefficients: tuple[float, float, float]  # of (x - centre)^2, (x - centre), 1; x = ln size
    centre: float
    points: tuple[Point, ...]  # of the fit
    beyond: tuple[Point, ...] = ()  # too far from the best to be in it

    def at(self, size: float) -> float:
        """The fitted loss of a size."""
        x = math.log(size) - self.centre
        a, b, c = self.coefficients
        return a * x * x + b * x + c


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Power:
    """size = scale x FLOPs^exponent through the optima of several budgets."""

    exponent: float
    scale: float
    interval: Interval  # of the exponent
    first: float  # budgets between which it was fitted
    last: float

    def at(self, budget: float) -> float:
        return float(self.scale * budget**self.exponent)


def valleys(
    points: Sequence[Point], *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[Valley, ...]:
    """The curve of each budget, ascending. Intervals are by bootstrap of the fit's residuals:
    each budget has few runs, and a resample of runs would often leave out a side of the valley."""
    found: list[Valley] = []
    for budget, own in sorted(by_budget(points).items()):
        chance = np.random.default_rng([seed, len(found)])
        found.append(_valley(budget, own, resamples, level, chance))
    return tuple(found)


def by_budget(points: Sequence[Point]) -> dict[float, tuple[Point, ...]]:
    """Runs that were given the same."""
    found: dict[float, list[Point]] = {}
    for one in points:
        found.setdefault(one.budget, []).append(one)
    return {budget: tuple(own) for budget, own in found.items()}


def power_law(
    valleys: Sequence[Valley], *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Power | None:
    """The law through the optima that were found; None where they are fewer than three.

    Its interval is by bootstrap of each valley's residuals: a resample counts where each of those
    budgets has an optimum.
    """
    own = [one for one in valleys if one.size is not None]
    if len(own) < LEAST_BUDGETS:
        return None
    x = np.log([one.budget for one in own])
    slope, cut = np.polyfit(x, np.log([_size(one) for one in own]), 1)
    chance = np.random.default_rng([seed, 1_000_003])
    optima = np.stack([_resampled(one, resamples, chance) for one in own])
    slopes = []
    for column in optima.T:
        whole = bool(np.all(np.isfinite(column)))
        slopes.append(float(np.polyfit(x, np.log(column), 1)[0]) if whole else math.nan)
    return Power(
        exponent=float(slope),
        scale=math.exp(float(cut)),
        interval=percentiles(slopes, level),
        first=own[0].budget,
        last=own[-1].budget,
    )


def _size(one: Valley) -> float:
    assert one.size is not None
    return one.size


def _valley(
    budget: float, runs: tuple[Point, ...], resamples: int, level: float, chance: Any
) -> Valley:
    points, beyond = _near(runs)
    x = np.log([one.parameters for one in points])
    y = np.array([one.loss for one in points])
    centre = float(x.mean())
    few = Interval(low=None, high=None, level=level, found=0.0)
    sizes = len({round(float(one), 12) for one in x})
    if sizes < LEAST_SIZES:
        why = f"not found: {sizes} sizes; a curve needs at least {LEAST_SIZES}"
        flat = (0.0, 0.0, float(y.mean()))
        return Valley(
            budget=budget, size=None, loss=None, interval=few, why=why, side=math.nan,
            coefficients=flat, centre=centre, points=points, beyond=beyond,
        )  # fmt: skip
    a, b, c = (float(one) for one in np.polyfit(x - centre, y, 2))
    where = lowest(x, y, centre, (a, b, c))
    found = math.isfinite(where)
    one = Valley(
        budget=budget,
        size=math.exp(where) if found else None,
        loss=c - b * b / (4 * a) if found else None,
        interval=few,
        why="" if found else _why(where, points),
        side=0.0 if found else where,
        coefficients=(a, b, c),
        centre=centre,
        points=points,
        beyond=beyond,
    )
    optima = _resampled(one, resamples, chance)
    return dataclasses.replace(one, interval=percentiles(optima.tolist(), level))


def _near(runs: tuple[Point, ...]) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """The runs that a parabola is fitted to, and the rest: sizes within `WINDOW` of the best one,
    at least four of them, its neighbours always."""
    sizes = sorted({one.parameters for one in runs})
    means = {
        size: math.fsum(one.loss for one in runs if one.parameters == size)
        / sum(one.parameters == size for one in runs)
        for size in sizes
    }
    best = min(sizes, key=lambda size: means[size])
    place = sizes.index(best)
    nearest = sorted(sizes, key=lambda size: (abs(math.log(size / best)), size))
    chosen = {size for size in sizes if abs(math.log(size / best)) <= WINDOW}
    chosen |= {*nearest[:LEAST_SIZES], *sizes[max(place - 1, 0) : place + 2]}
    inside = tuple(one for one in runs if one.parameters in chosen)
    return inside, tuple(one for one in runs if one.parameters not in chosen)


def lowest(x: Floats, y: Floats, centre: float, fitted: tuple[float, float, float]) -> float:
    """ln of the optimal size; -inf or inf where it may lie below or above the sizes, nan where the
    curve has no lowest point although its best run is an inner one."""
    a, b, _ = fitted
    grid = sorted(set(x.tolist()))
    means = [float(y[x == one].mean()) for one in grid]
    best = means.index(min(means))
    if best == 0:
        return -math.inf
    if best == len(grid) - 1:
        return math.inf
    if a <= 0:
        return math.nan
    where = centre - b / (2 * a)
    if where <= grid[0]:
        return -math.inf
    return math.inf if where >= grid[-1] else where


def _why(where: float, points: Sequence[Point]) -> str:
    sizes = sorted({one.parameters for one in points})
    if math.isnan(where):
        return "not found: the curve does not bend up; more seeds or a wider range of sizes"
    edge = f"{sizes[0]:.4g} or below" if where < 0 else f"{sizes[-1]:.4g} or above"
    return f"not found: at the edge of the grid, {edge}; add sizes on that side"


def _resampled(one: Valley, resamples: int, chance: Any) -> Floats:
    """Optimal sizes over resamples of the residuals: -inf and inf beyond an edge, nan none."""
    x = np.log([point.parameters for point in one.points])
    y = np.array([point.loss for point in one.points])
    fitted = np.polyval(one.coefficients, x - one.centre)
    free = max(len(x) - 3, 1)
    rest = (y - fitted) * math.sqrt(len(x) / free)  # a fit leaves less than there was
    rest = rest - rest.mean()
    found = np.empty(resamples)
    base = np.vander(x - one.centre, 3)
    solve = np.linalg.pinv(base)
    drawn = fitted + rest[chance.integers(len(x), size=(resamples, len(x)))]
    for place, (row, own) in enumerate(zip(drawn, drawn @ solve.T, strict=True)):
        where = lowest(x, row, one.centre, (float(own[0]), float(own[1]), float(own[2])))
        found[place] = math.exp(where) if math.isfinite(where) else where
    return found


def summary(valleys: Sequence[Valley], law: Power | None) -> Mapping[str, Any]:
    """As JSON has it."""
    return {
        "budgets": [
            {
                "budget": one.budget,
                "runs": len(one.points),
                "size": one.size,
                "loss": one.loss,
                "why": one.why,
                "interval": dataclasses.asdict(one.interval),
            }
            for one in valleys
        ],
        "power": None if law is None else dataclasses.asdict(law),
    }
