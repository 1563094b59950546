"""Runs that never happened, of a law whose numbers are known."""

import math
from collections.abc import Sequence

import numpy as np

from trainer.budget.parametric import Law
from trainer.budget.points import Point

# of arXiv 2404.00685, on units at 25 Hz
SPEECH = Law(e=1.73, a=13.9, b=39.8, alpha=0.25, beta=0.24)
BUDGETS = (1e18, 3e18, 1e19, 3e19, 1e20)


def optimum(law: Law, budget: float) -> float:
    """The best size where a position costs 6 FLOPs a weight (Hoffmann et al., eq. 4)."""
    total = law.alpha + law.beta
    scale = (law.alpha * law.a / (law.beta * law.b)) ** (1 / total)
    return float(scale * (budget / 6) ** (law.beta / total))


def made_points(
    law: Law = SPEECH,
    *,
    budgets: Sequence[float] = BUDGETS,
    sizes: Sequence[float] = tuple(np.geomspace(1 / 6, 6, 7)),
    passes: Sequence[float] = (1.0,),
    seeds: int = 1,
    noise: float = 0.0,
    seed: int = 0,
) -> list[Point]:
    """A grid around each budget's optimum; `sizes` are parts of the optimal one."""
    chance = np.random.default_rng(seed)
    found = []
    for budget in budgets:
        for part in sizes:
            n = optimum(law, budget) * part
            d = budget / (6 * n)
            for often in passes:
                loss = law.loss(n, d, d / often)
                for place in range(seeds):
                    told = loss * math.exp(chance.normal(0, noise))
                    row = {"budget": budget, "flops": budget, "parameters": n, "positions": d}
                    found.append(Point(**row, passes=often, loss=told, seed=place))
    return found
