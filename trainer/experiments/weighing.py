"""Weights of sets that follow their losses while a run goes on.

Every so many steps a function of (step, mean loss of each set since the last change, weights) gives
the weights from there on. Built in is the exponentiated gradient: with reference losses it raises
what a set loses beyond them (DoReMi, arXiv 2305.10429, whose reference is a small model's loss),
with a graph it raises what other sets learn from a set (Skill-it, arXiv 2307.14430), with neither
it raises what is hard. Weights are logged and part of the data's state; which set a pack is of
stays a pure function of (seed, its number, the weights that were logged), see `set_of`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import pydantic
from pydantic import Field

from trainer.mixture import Mixture
from trainer.objectives import KINDS

Weights: TypeAlias = Mapping[str, float]
Weigh: TypeAlias = Callable[[int, Mapping[str, float], Weights], Weights]
OF = {
    "all": ("text", "speech", "marker", "switch_text", "switch_speech"),
    "text": ("text", "switch_text"),
    "speech": ("speech", "switch_speech"),
}
LEAST = 1e-4  # of a set: shares are taken to six digits, and a set never ends for good


class WeighingSettings(pydantic.BaseModel):
    """When weights change, and how."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    every: int = Field(ge=1, description="Steps between changes. With workers, they start anew.")
    rate: float = Field(
        1.0, ge=0, description="Of the exponentiated gradient (DoReMi: 1); 0: weights stay."
    )
    smoothing: float = Field(
        1e-3, ge=0, le=1, description="Part of the first shares that is mixed in (DoReMi)."
    )
    loss: Literal["all", "text", "speech"] = Field(
        "all", description="Which targets: all of them, or one kind, switches included."
    )
    reference: dict[str, float] | None = Field(
        None,
        description="Loss of each set that is good enough (nats): only what exceeds it raises a "
        "set (DoReMi); null: 0.",
    )
    graph: dict[str, dict[str, float]] | None = Field(
        None,
        description="How much each set helps another, from -> to (Skill-it); null: itself alone.",
    )

    def check(self, sets: Sequence[str]) -> None:
        """Raise `ValueError` for sets that are not there, or are left out."""
        if self.reference is not None and set(self.reference) != set(sets):
            raise ValueError(
                f"weighing.reference has {sorted(self.reference)}, the sets are {sorted(sets)}"
            )
        graph = self.graph or {}
        strange = {name for row in graph.values() for name in row} | set(graph)
        if strange := strange - set(sets):
            raise ValueError(f"weighing.graph names {sorted(strange)}; sets: {sorted(sets)}")


def exponentiated(settings: WeighingSettings, shares: Weights) -> Weigh:
    """The built-in update. `shares` are those of the config, which smoothing mixes in."""
    first = normalised(shares)

    def weigh(step: int, losses: Mapping[str, float], weights: Weights) -> Weights:
        reference = settings.reference or {}
        excess = {name: max(losses[name] - reference.get(name, 0.0), 0.0) for name in losses}
        gains = {}
        for name in weights:
            row = {name: 1.0} if settings.graph is None else settings.graph.get(name, {})
            # without a counted target since the last change, nothing is known: the weight stays
            if settings.graph is not None or name in excess:
                gains[name] = math.fsum(row[other] * excess.get(other, 0.0) for other in row)
        top = max(gains.values(), default=0.0)
        raised = {
            name: weights[name] * math.exp(settings.rate * (gain - top))
            for name, gain in gains.items()
        }
        held = math.fsum(weights[name] for name in weights if name not in gains)
        scale = (1 - held) / math.fsum(raised.values()) if raised else 0.0
        found = {
            name: raised[name] * scale if name in raised else weights[name] for name in weights
        }
        found = normalised(found)
        c = settings.smoothing
        return {name: (1 - c) * found[name] + c * first[name] for name in found}

    return weigh


def normalised(weights: Weights) -> dict[str, float]:
    """Summing to 1, none below `LEAST`, in the order of names. Raises `ValueError`."""
    wrong = [name for name, one in weights.items() if not (math.isfinite(one) and one >= 0)]
    total = math.fsum(weights.values()) if not wrong else 0.0
    if wrong or total <= 0:
        raise ValueError(f"weights are at least 0 and finite, and not all 0: {dict(weights)}")
    found = {name: max(weights[name] / total, LEAST) for name in sorted(weights)}
    again = math.fsum(found.values())
    return {name: one / again for name, one in found.items()}


class Seen:
    """Losses of each set since the weights were last changed: part of a run's state."""

    def __init__(self, names: Sequence[str], loss: str) -> None:
        self._kinds = [KINDS.index(kind) for kind in OF[loss]]
        self._names = tuple(names)
        self.sums = [0.0] * len(names)
        self.numbers = [0.0] * len(names)

    def add(self, sums: Sequence[Sequence[float]], numbers: Sequence[Sequence[float]]) -> None:
        """A step's, [sets][kinds], in the order of names."""
        for place in range(len(self._names)):
            self.sums[place] += math.fsum(sums[place][kind] for kind in self._kinds)
            self.numbers[place] += math.fsum(numbers[place][kind] for kind in self._kinds)

    def losses(self) -> dict[str, float]:
        """Of the sets that had any target."""
        rows = zip(self._names, self.sums, self.numbers, strict=True)
        return {name: total / number for name, total, number in rows if number}

    def as_json(self) -> dict[str, list[float]]:
        return {"sums": self.sums, "numbers": self.numbers}

    def load(self, saved: Mapping[str, Sequence[float]]) -> None:
        """Go on from `as_json`. Raises `ValueError` for other sets, `KeyError`, `TypeError`."""
        sums, numbers = ([float(one) for one in saved[name]] for name in ("sums", "numbers"))
        if not len(sums) == len(numbers) == len(self._names):
            raise ValueError("losses of other sets")
        self.sums, self.numbers = sums, numbers


def set_of(pack: int, shares: Weights, seed: int, logged: Sequence[tuple[int, Weights]]) -> str:
    """The set of pack number `pack`, from what a log says: (first pack, weights) of each change.

    For a run whose sets do not end.
    """
    begins = [(0, shares), *sorted(logged, key=lambda one: one[0])]
    first, weights = [one for one in begins if one[0] <= pack][-1]
    mixture = Mixture(weights, seed)
    counts = dict.fromkeys(mixture.names, 0)
    found = ""
    for _ in range(pack - first + 1):
        found = mixture.next(counts)
        counts[found] += 1
    return found


__all__ = ["Seen", "Weigh", "WeighingSettings", "exponentiated", "normalised", "set_of"]
