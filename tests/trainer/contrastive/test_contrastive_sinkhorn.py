"""The Sinkhorn divergence against transport that was worked out otherwise."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contrastive.sinkhorn import divergences, temperatures


def some(seed: int, count: int, width: int = 3) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    found = torch.randn(count, width, generator=chance, dtype=torch.float64)
    return torch.nn.functional.normalize(found, dim=-1)


def one(x: torch.Tensor, y: torch.Tensor, **how: float) -> torch.Tensor:
    there = [torch.ones(1, len(side), dtype=torch.bool) for side in (x, y)]
    return divergences(x[None], there[0], y[None], there[1], **how)[0, 0]  # type: ignore[arg-type]


def entropic(x: torch.Tensor, y: torch.Tensor, eps: float, p: int) -> float:
    """Transport with entropy by scaling the kernel until nothing moves: the primal value."""
    distance = torch.cdist(x, y).numpy()
    cost = distance**2 / 2 if p == 2 else distance
    n, m = cost.shape
    kernel = np.exp(-cost / eps) / (n * m)
    u, v = np.ones(n), np.ones(m)
    for _ in range(20_000):
        u = (1 / n) / (kernel @ v)
        new = (1 / m) / (kernel.T @ u)
        done = np.abs(new / v - 1).max() < 1e-14
        v = new
        if done:
            break
    plan = u[:, None] * kernel * v
    return float((plan * cost).sum() + eps * (plan * np.log(plan * n * m)).sum())


def reference(x: torch.Tensor, y: torch.Tensor, eps: float, p: int) -> float:
    return entropic(x, y, eps, p) - (entropic(x, x, eps, p) + entropic(y, y, eps, p)) / 2


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("blur", [0.5, 0.3])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), (4, 4), (5, 2)])
def test_it_is_the_debiased_divergence(p: int, blur: float, sizes: tuple[int, int]) -> None:
    """With slow cooling as thousands of updates at the last temperature have it; with the default,
    near it."""
    x, y = some(1, sizes[0]), some(2, sizes[1])
    wanted = reference(x, y, blur**p, p)
    assert float(one(x, y, p=p, blur=blur, scaling=0.98)) == pytest.approx(wanted, abs=1e-3)
    assert float(one(x, y, p=p, blur=blur)) == pytest.approx(wanted, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_with_little_blur_it_is_transport(seed: int) -> None:
    """Equal weights and numbers: the cheapest assignment, found by trying all of them."""
    x, y = some(seed, 4), some(seed + 50, 4)
    cost = (torch.cdist(x, y) ** 2 / 2).numpy()
    best = min(
        sum(cost[i, j] for i, j in enumerate(way)) for way in itertools.permutations(range(4))
    )
    assert float(one(x, y, blur=0.05, scaling=0.98)) == pytest.approx(best / 4, abs=2e-3)
    assert float(one(x, y, blur=0.05)) == pytest.approx(best / 4, abs=0.08)


def test_the_gradient_is_that_of_the_converged_value() -> None:
    x, y = some(3, 3), some(4, 4)
    free = x.clone().requires_grad_()
    one(free, y, blur=0.5, scaling=0.95).backward()
    assert free.grad is not None
    # along the sphere: vectors of length 1 stay so
    along = torch.stack([some(90 + k, 1)[0] for k in range(3)])
    along -= (along * x).sum(-1, keepdim=True) * x
    step = 1e-4

    def at(distance: float) -> float:
        moved = torch.nn.functional.normalize(x + distance * along, dim=-1)
        return reference(moved, y, 0.25, 2)

    slope = (at(step) - at(-step)) / (2 * step)
    assert float((free.grad * along).sum()) == pytest.approx(slope, rel=5e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2]))
def test_what_a_divergence_is(seed: int, n: int, m: int, p: int) -> None:
    """Symmetric, not negative, 0 of a set with itself in any order."""
    x, y = some(seed, n), some(seed + 1, m)
    found = float(one(x, y, p=p))
    assert found == pytest.approx(float(one(y, x, p=p)), abs=1e-9)
    assert found >= -1e-9
    assert float(one(x, x.flip(0), p=p)) == pytest.approx(0, abs=1e-9)


def test_filling_up_and_neighbours_change_nothing() -> None:
    """A set's divergence does not depend on what stands beside it in the batch."""
    sets = [some(k, count) for k, count in enumerate((2, 5, 3))]
    most = 7
    held = torch.full((3, most, 3), 0.5, dtype=torch.float64)
    there = torch.zeros(3, most, dtype=torch.bool)
    for row, own in enumerate(sets):
        held[row, : len(own)], there[row, : len(own)] = own, True
    every = divergences(held, there, held, there)
    for i, x in enumerate(sets):
        for j, y in enumerate(sets):
            assert float(every[i, j]) == pytest.approx(float(one(x, y)), abs=1e-12)


def test_rows_may_be_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.stack([some(k, 3) for k in range(5)])
    there = torch.ones(5, 3, dtype=torch.bool)
    whole = divergences(x, there, x, there)
    monkeypatch.setattr("trainer.contrastive.sinkhorn.HELD", 1)
    assert torch.equal(divergences(x, there, x, there), whole)


def test_temperatures_fall_to_the_blur() -> None:
    along = temperatures(0.05, 2)
    assert along[0] == 4
    assert along[-1] == pytest.approx(0.0025)
    assert all(a >= b for a, b in itertools.pairwise(along))
    assert len(along) == 2 + math.ceil(math.log2(2 / 0.05))
