"""The debiased Sinkhorn divergence between sets of vectors, in the log domain.

Entropic optimal transport (Cuturi 2013) with the two self-terms taken away (Feydy et al. 2019,
arXiv 1810.08278): S(a, b) = OT(a, b) - OT(a, a) / 2 - OT(b, b) / 2, which is 0 for equal sets and
never less. Potentials are found by averaged updates while the temperature falls from the diameter
to the blur; they need no gradient: the last update alone is differentiated, which is the gradient
of the converged value (the envelope theorem). Vectors here are of length 1, so the diameter is 2
and the same few temperatures do for any data: nothing depends on what else is in the batch.

Memory is [rows, columns, n, m] for sets of n and m vectors: rows are taken some at a time.
"""

import math

import torch

DIAMETER = 2.0  # of the unit sphere
SCALING = 0.5  # of the blur from one update to the next: the default of the authors' library
HELD = 1 << 24  # costs at once: 64 MiB in float32


def temperatures(blur: float, p: int, scaling: float = SCALING) -> list[float]:
    """Blur to the power p, falling from the diameter to `blur`; both ends among them."""
    steps = math.ceil(math.log(DIAMETER / blur) / -math.log(scaling)) if blur < DIAMETER else 0
    falling = [DIAMETER * scaling**step for step in range(steps)]
    return [DIAMETER**p, *(one**p for one in falling), blur**p]


def divergences(
    x: torch.Tensor,
    x_there: torch.Tensor,
    y: torch.Tensor,
    y_there: torch.Tensor,
    *,
    p: int = 2,
    blur: float = 0.05,
    scaling: float = SCALING,
) -> torch.Tensor:
    """Of every set of x [rows, n, width] with every set of y [columns, m, width]: [rows, columns].

    `x_there` [rows, n] and `y_there` [columns, m] say which vectors count, each as much as another
    of its set. Each set has at least one; vectors are of length 1. `scaling` nearer to 1 takes more
    updates and comes closer to the converged value, which 0.5 misses by some hundredths.
    """
    along = temperatures(blur, p, scaling)
    own_x = _self_potentials(x, x_there, p, along)
    own_y = _self_potentials(y, y_there, p, along)
    each = max(HELD // max(len(y) * x.shape[1] * y.shape[1], 1), 1)
    found = []
    for first in range(0, len(x), each):
        part = slice(first, first + each)
        cost = _cost(x[part, None], y[None], p)
        a, b = _log(x_there[part], x)[:, None], _log(y_there, x)[None]
        f, g = _potentials(cost, a, b, along)
        left = _mean(f - own_x[part, None], x_there[part, None])
        right = _mean(g - own_y[None], y_there[None])
        found.append(left + right)
    whole = torch.cat(found) if found else x.new_zeros(0, len(y))
    # both potentials are differentiated by the cost, and each alone has the whole gradient
    return (whole + whole.detach()) / 2


def _potentials(
    cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor, along: list[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """f [..., n] and g [..., m] of costs [..., n, m] and logarithms of weights a, b."""
    turned = cost.transpose(-1, -2)
    with torch.no_grad():
        f, g = _softmin(along[0], cost, b), _softmin(along[0], turned, a)
        for eps in along:
            new_f, new_g = _softmin(eps, cost, b + g / eps), _softmin(eps, turned, a + f / eps)
            f, g = (f + new_f) / 2, (g + new_g) / 2
    eps = along[-1]
    return _softmin(eps, cost, b + g / eps), _softmin(eps, turned, a + f / eps)


def _self_potentials(
    x: torch.Tensor, there: torch.Tensor, p: int, along: list[float]
) -> torch.Tensor:
    """The potential of each set with itself, [sets, n]: both are the same."""
    cost, log = _cost(x, x, p), _log(there, x)
    with torch.no_grad():
        f = _softmin(along[0], cost, log)
        for eps in along:
            f = (f + _softmin(eps, cost, log + f / eps)) / 2
    return _softmin(along[-1], cost, log + f / along[-1])


def _softmin(eps: float, cost: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """-eps log sum_j exp(weights_j - cost_ij / eps), over the last axis."""
    return -eps * torch.logsumexp(weights[..., None, :] - cost / eps, dim=-1)


def _cost(x: torch.Tensor, y: torch.Tensor, p: int) -> torch.Tensor:
    """|x - y|^2 / 2 or |x - y| of unit vectors, [..., n, m]."""
    squares = (2 - 2 * (x @ y.transpose(-1, -2))).clamp(min=0)
    return squares / 2 if p == 2 else (squares + 1e-12).sqrt()  # sqrt has no slope at 0


def _log(there: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Logarithm of equal weights of the vectors that count; of others far below anything."""
    number = there.sum(-1, keepdim=True).clamp(min=1).to(like.dtype)
    return torch.where(there, -number.log(), torch.full_like(number, -1e5))


def _mean(values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    there = there.expand_as(values)
    return (values * there).sum(-1) / there.sum(-1)
