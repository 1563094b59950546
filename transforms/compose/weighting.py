"""How often each group of documents is shown: proportional, alpha, UniMax, or a target.

All take the size of each group (seconds) and a budget (seconds to be shown in one pass), and give
epochs: how often each document of a group is shown in that pass. With shares s_g of the budget B
over sizes n_g, epochs are s_g B / n_g.

- proportional: s_g = n_g / sum n.
- alpha: s_g = n_g^alpha / sum n^alpha (Conneau et al. 2019, arXiv 1911.02116, section 3; smaller
  alpha, more even).
- unimax: groups from the smallest to the largest; each gets an equal part of what is left of the
  budget, or `max_epochs` of itself if that is less (Chung et al. 2023, arXiv 2304.09151, alg. 1).
- target: s_g as given, and no group above `max_epochs`: what a capped group leaves is shared out
  among the others in the proportions of the target.
"""

import math
from collections.abc import Mapping
from typing import Literal

Method = Literal["proportional", "alpha", "unimax", "target"]


def epochs(
    sizes: Mapping[str, float],
    method: Method,
    *,
    budget: float | None = None,
    alpha: float = 0.5,
    max_epochs: float | None = None,
    target: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Epochs by group. `budget` None: as much as there is; groups without seconds get 0.

    A cap that cannot be kept at this budget lowers what is shown, never breaks the cap. Raises
    `ValueError` for numbers that make no sense.
    """
    known = {name: float(size) for name, size in sorted(sizes.items())}
    if any(not math.isfinite(size) or size < 0 for size in known.values()):
        raise ValueError(f"sizes must be 0 or more: {known}")
    filled = {name: size for name, size in known.items() if size > 0}
    whole = math.fsum(filled.values())
    amount = whole if budget is None else float(budget)
    if not math.isfinite(amount) or amount < 0:
        raise ValueError(f"a budget of {amount} seconds cannot be shown")
    if max_epochs is not None and not max_epochs > 0:
        raise ValueError(f"a cap of {max_epochs} epochs shows nothing")
    if method == "unimax":
        if max_epochs is None:
            raise ValueError("unimax needs max_epochs")
        shown = unimax(filled, amount, max_epochs)
    else:
        shown = _capped(_shares(filled, method, alpha, target), filled, amount, max_epochs)
    return {name: shown[name] / size if name in shown else 0.0 for name, size in known.items()}


def unimax(sizes: Mapping[str, float], budget: float, max_epochs: float) -> dict[str, float]:
    """Seconds by group: uniform over groups, and none above `max_epochs` of itself."""
    left = budget
    shown: dict[str, float] = {}
    ordered = sorted(sizes, key=lambda name: (sizes[name], name))
    for place, name in enumerate(ordered):
        shown[name] = min(left / (len(ordered) - place), max_epochs * sizes[name])
        left -= shown[name]
    return shown


def _shares(
    sizes: Mapping[str, float], method: Method, alpha: float, target: Mapping[str, float] | None
) -> dict[str, float]:
    if method == "proportional":
        raw = dict(sizes)
    elif method == "alpha":
        raw = {name: size**alpha for name, size in sizes.items()}
    else:
        given = target or {}
        if any(not math.isfinite(share) or share < 0 for share in given.values()):
            raise ValueError(f"shares of a target are 0 or more: {dict(given)}")
        raw = {name: float(given.get(name, 0.0)) for name in sizes}
        if not any(raw.values()):
            raise ValueError(
                f"the target names none of the groups that there are: {', '.join(sizes) or 'none'}"
            )
    total = math.fsum(raw.values())
    return {name: share / total for name, share in raw.items()} if total else {}


def _capped(
    shares: Mapping[str, float],
    sizes: Mapping[str, float],
    budget: float,
    max_epochs: float | None,
) -> dict[str, float]:
    """Seconds in the proportions of `shares`; groups at the cap leave the rest to the others."""
    if max_epochs is None:
        return {name: share * budget for name, share in shares.items()}
    shown: dict[str, float] = {name: 0.0 for name in shares}
    open_ = {name for name, share in shares.items() if share > 0}
    left = budget
    while open_:
        weight = math.fsum(shares[name] for name in open_)
        full = {n for n in open_ if left * shares[n] / weight >= max_epochs * sizes[n]}
        if not full:
            for name in open_:
                shown[name] = left * shares[name] / weight
            break
        for name in sorted(full):
            shown[name] = max_epochs * sizes[name]
            left -= shown[name]
        left = max(left, 0.0)
        open_ -= full
    return shown


def divergences(
    ours: Mapping[str, float], theirs: Mapping[str, float], smoothing: float
) -> tuple[float, float]:
    """Kullback-Leibler divergence of `theirs` from `ours`, KL(theirs || ours), and Jensen-Shannon
    divergence, both in bits; of shares to which `smoothing` was added per label before they were
    made to sum to 1. Without smoothing, a label that only they have makes KL infinite."""
    labels = sorted({*ours, *theirs})
    p, q = (_smoothed(one, labels, smoothing) for one in (theirs, ours))
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return _kl(p, q), (_kl(p, middle) + _kl(q, middle)) / 2


def _smoothed(shares: Mapping[str, float], labels: list[str], smoothing: float) -> list[float]:
    raw = [float(shares.get(label, 0.0)) for label in labels]
    total = math.fsum(raw)
    if not total:
        raise ValueError("a distribution of nothing cannot be compared")
    added = [value / total + smoothing for value in raw]
    whole = math.fsum(added)
    return [value / whole for value in added]


def _kl(p: list[float], q: list[float]) -> float:
    terms = []
    for a, b in zip(p, q, strict=True):
        if a > 0:
            terms.append(a * math.log2(a / b) if b > 0 else math.inf)
    return max(0.0, math.fsum(terms))
