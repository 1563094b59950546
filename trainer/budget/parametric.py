"""L(N, D) = E + A / N^alpha + B / D^beta, fitted to runs (Hoffmann et al., 2022, approach 3).

Huber loss (delta 1e-3) on the residuals of ln L, L-BFGS from a grid of starts, as there (arXiv
2203.15556, appendix D.3). The loss is scaled to be of order 1: L-BFGS stops by differences of its
value, and a mean of 1e-8 ends the search at once, as it seems to have done in the published fit
(Besiroglu et al., arXiv 2404.10102). ln N and ln D are centred, for raw, A and alpha move together:
of 108 starts on made runs 3 then ended far off; centred, none does.

Where runs read the same data more than once, D is the effective amount of arXiv 2305.16264
(eq. 5): U + U r (1 - exp(-(D / U - 1) / r)) with U unique positions; r, how many repeats are worth
something, is a sixth number of the fit.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.budget.points import Point
from trainer.failures import SetupError

DELTA = 1e-3
REPEATED = 1.02  # passes above this are repeats
BOUNDS = ((-30.0, 3.0), (-30.0, 8.0), (-30.0, 8.0), (1e-3, 3.0), (1e-3, 3.0), (-4.0, 8.0))
STARTS = (
    (-0.7, 0.0, 0.7),  # ln E, beside the lowest loss seen: what is added to it
    (-5.0, -2.0, 0.0),  # ln of A / N^alpha in the middle of the runs
    (-5.0, -2.0, 0.0),  # of B / D^beta
    (0.2, 0.6),  # alpha
    (0.2, 0.6),  # beta
)

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """The five numbers; `repeats` is the sixth, None where no run repeated anything."""

    e: float
    a: float
    b: float
    alpha: float
    beta: float
    repeats: float | None = None

    def loss(self, parameters: float, positions: float, unique: float | None = None) -> float:
        """Nats. `unique` None: every position differs. Raises `ValueError` for repeats where the
        fit has seen none."""
        effective = positions
        if unique is not None and positions > unique * REPEATED:
            if self.repeats is None:
                raise ValueError("no run repeated data: what repeats are worth is not known")
            effective = effective_positions(positions, unique, self.repeats)
        first: float = self.a / parameters**self.alpha
        second: float = self.b / effective**self.beta
        return self.e + first + second


def effective_positions(positions: float, unique: float, repeats: float) -> float:
    """What positions with repeats are worth, in unique ones."""
    over = max(positions / unique - 1.0, 0.0)
    return unique + unique * repeats * (1.0 - math.exp(-over / repeats))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A law with what it was fitted to."""

    law: Law
    loss: float  # mean Huber loss over the runs
    worst: float  # largest residual of ln L
    at_bounds: tuple[str, ...]  # numbers that the runs do not determine
    resampled: tuple[Law, ...]  # of bootstrap resamples of runs
    points: tuple[Point, ...]


def fit(points: Sequence[Point], *, resamples: int = 200, seed: int = 0) -> Fitted:
    """The law of these runs. Raises `SetupError` where they cannot determine it."""
    points = tuple(points)
    sizes = {one.parameters for one in points}
    amounts = {round(math.log(one.positions), 9) for one in points}
    if len(points) < 8 or len(sizes) < 3 or len(amounts) < 3:
        raise SetupError(
            f"{len(points)} runs of {len(sizes)} sizes and {len(amounts)} amounts of data do not "
            "determine L(N, D): at least 8 runs, 3 sizes and 3 amounts"
        )
    whole = _Problem(points)
    best = whole.best(_starts(whole))
    law = whole.law(best)
    chance = np.random.default_rng(seed)
    resampled = []
    for _ in range(resamples):
        own = _Problem(tuple(points[i] for i in chance.integers(len(points), size=len(points))))
        if own.determined:
            # the search begins where the whole ended, moved to the resample's own centre
            starts = [whole.moved(best, own)]
            starts.append(starts[0] + chance.normal(0, 0.1, starts[0].shape))
            resampled.append(own.law(own.best(starts)))
    return Fitted(
        law=law,
        loss=whole.value(best),
        worst=float(np.abs(whole.residuals(best)).max()),
        at_bounds=whole.at_bounds(best),
        resampled=tuple(resampled),
        points=points,
    )


class _Problem:
    """Numbers of the fit: ln E, ln A', ln B', alpha, beta, ln r, with A' and B' at the centre."""

    def __init__(self, points: tuple[Point, ...]) -> None:
        self.x = np.log([one.parameters for one in points])
        self.positions = np.array([one.positions for one in points])
        self.unique = np.array([one.unique for one in points])
        self.y = np.log([one.loss for one in points])
        self.over = np.maximum(self.positions / self.unique - 1.0, 0.0)
        self.repeated = bool((self.over > REPEATED - 1.0).any())
        self.centre_x = float(self.x.mean())
        self.centre_d = float(np.log(self.positions).mean())
        self.names = ("E", "A", "B", "alpha", "beta", "repeats")[: 6 if self.repeated else 5]

    @property
    def determined(self) -> bool:
        """Whether a resample still holds three sizes and amounts."""
        return len(set(self.x)) >= 3 and len(set(self.positions)) >= 3

    def residuals(self, z: Floats) -> Floats:
        found: Floats = self._both(z)[0]
        return found

    def value(self, z: Floats) -> float:
        return float(_huber(self.residuals(z)).mean())

    def best(self, starts: Sequence[Floats]) -> Floats:
        """The lowest of the searches from these starts."""
        from scipy.optimize import minimize

        found, lowest = starts[0], math.inf
        for start in starts:
            z = np.clip(start, *np.transpose(self._bounds))
            for _ in range(2):  # once more from where it ended: memory of curvature is forgotten
                ended = minimize(
                    self._objective, z, jac=True, method="L-BFGS-B", bounds=self._bounds,
                    options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-10},
                )  # fmt: skip
                z = ended.x
            if ended.fun < lowest:
                found, lowest = ended.x, float(ended.fun)
        return found

    def law(self, z: Floats) -> Law:
        alpha, beta = float(z[3]), float(z[4])
        return Law(
            e=math.exp(z[0]),
            a=math.exp(z[1] + alpha * self.centre_x),
            b=math.exp(z[2] + beta * self.centre_d),
            alpha=alpha,
            beta=beta,
            repeats=math.exp(z[5]) if self.repeated else None,
        )

    def moved(self, z: Floats, other: "_Problem") -> Floats:
        """The same law in the numbers of another problem."""
        found = z.copy()
        found[1] += z[3] * (self.centre_x - other.centre_x)
        found[2] += z[4] * (self.centre_d - other.centre_d)
        if other.repeated and not self.repeated:
            raise RuntimeError("a resample repeats what the whole does not")
        return found if other.repeated or not self.repeated else found[:5]

    def at_bounds(self, z: Floats) -> tuple[str, ...]:
        return tuple(
            name
            for name, value, (low, high) in zip(self.names, z, self._bounds, strict=True)
            if value - low < 1e-6 or high - value < 1e-6
        )

    @property
    def _bounds(self) -> list[tuple[float, float]]:
        return list(BOUNDS[: len(self.names)])

    def _objective(self, z: Floats) -> tuple[float, Floats]:
        r, slopes = self._both(z)
        scale = 1.0 / (DELTA * DELTA * len(r))  # L-BFGS stops by differences of its value
        pull = np.clip(r, -DELTA, DELTA) * scale
        return float(_huber(r).sum() * scale), slopes @ pull

    def _both(self, z: Floats) -> tuple[Floats, Floats]:
        """Residuals of ln L, and their derivatives [numbers, runs]."""
        effective, of_r = self.positions, np.zeros_like(self.positions)
        if self.repeated:
            r = math.exp(z[5])
            left = np.exp(-self.over / r)
            effective = self.unique * (1.0 + r * (1.0 - left))
            of_r = self.unique * (r * (1.0 - left) - self.over * left)
        d = np.log(effective) - self.centre_d
        x = self.x - self.centre_x
        terms = np.stack([np.full_like(x, z[0]), z[1] - z[3] * x, z[2] - z[4] * d])
        top = terms.max(axis=0)
        weights = np.exp(terms - top)
        total = weights.sum(axis=0)
        e, a, b = weights / total
        rows = [e, a, b, -a * x, -b * d]
        if self.repeated:
            rows.append(-b * z[4] * of_r / effective)
        return top + np.log(total) - self.y, np.stack(rows)


def _starts(problem: _Problem) -> list[Floats]:
    lowest = float(problem.y.min())
    found = []
    for own in itertools.product(*STARTS):
        z = [lowest + own[0] - 0.3, *own[1:]]
        found.append(np.array([*z, 2.0] if problem.repeated else z))
    return found


def _huber(r: Floats) -> Any:
    size = np.abs(r)
    return np.where(size <= DELTA, 0.5 * r * r, DELTA * (size - 0.5 * DELTA))
