"""How the learning rate moves over a run, as a pure function of the step.

`factor(settings, step, steps)` is what the peak rate is multiplied with at update `step` of
`steps`, counted from 0. Warm-up is linear and reaches the peak at update `warmup - 1`; what follows
ends at `end` right after the last update, so that no update is spent at a rate of 0.
"""

import math
from typing import Literal

import pydantic
from pydantic import Field


class Schedule(pydantic.BaseModel):
    """Warm-up, then a shape."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    kind: Literal["wsd", "cosine", "linear", "constant"] = Field(
        "wsd",
        description="After warm-up: wsd, the peak and then a decay over the last part "
        "(arXiv 2404.06395); cosine or linear, from the peak to the end; constant.",
    )
    warmup: int = Field(0, ge=0, description="Updates of warm-up.")
    decay: float = Field(
        0.2, ge=0, le=1, description="Of wsd: the part of the run that decays (ours)."
    )
    shape: Literal["linear", "sqrt", "cosine"] = Field(
        "linear", description="Of wsd: how it decays; sqrt is 1 - sqrt (arXiv 2405.18392)."
    )
    end: float = Field(0.0, ge=0, le=1, description="What is left of the peak at the end (0 to 1).")


def factor(settings: Schedule, step: int, steps: int) -> float:
    """The part of the peak rate at update `step` (from 0) of `steps`; above 0, at most 1.

    Raises `ValueError` for a step outside the run.
    """
    if not 0 <= step < steps:
        raise ValueError(f"update {step} is not one of {steps}")
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    begun = begin_of_decay(settings, steps)
    if settings.kind == "constant" or step < begun:
        return 1.0
    gone = (step - begun) / (steps - begun)
    shape = settings.shape if settings.kind == "wsd" else settings.kind
    return settings.end + (1 - settings.end) * _left(shape, gone)


def begin_of_decay(settings: Schedule, steps: int) -> int:
    """The update from which on the rate falls; of wsd, never inside the warm-up."""
    if settings.kind != "wsd":
        return settings.warmup
    return max(settings.warmup, steps - math.floor(settings.decay * steps + 0.5))


def _left(shape: str, gone: float) -> float:
    """How much is left when a part of the decay is over: 1 at 0, 0 at 1, falling."""
    if shape == "cosine":
        return 0.5 * (1 + math.cos(math.pi * gone))
    return 1 - (math.sqrt(gone) if shape == "sqrt" else gone)
