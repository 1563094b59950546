"""Streams of audio, and streams of pages, whose rows are measured and judged twice.

A stream that holds a step of extract is one of pages. Its measures and filters stand before the
first step of synthesize, where rows are pages and all that is known is text; or after it, where
rows are the clips that were spoken. A stream of pages that is never spoken has the first half only,
and its pages become documents as they are.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

from transforms.step import Phase, Step

S = TypeVar("S", bound=Step)

Kind = Literal["audio", "page"]

AUDIO_ORDER: tuple[Phase, ...] = ("gather", "hear", "annotate", "measure", "select", "compose")
PAGE_ORDER: tuple[Phase, ...] = (
    "gather",
    "extract",
    "measure",
    "select",
    "synthesize",
    "measure",
    "select",
    "compose",
)
_TWICE = ("measure", "select")


def kind_of(phases: Sequence[Phase | None]) -> Kind:
    """What a stream is of, by the phases of its steps."""
    return "page" if "extract" in phases else "audio"


def order_of(phases: Sequence[Phase | None]) -> tuple[Phase, ...]:
    """The order of phases in a stream, by the phases of its steps."""
    return PAGE_ORDER if kind_of(phases) == "page" else AUDIO_ORDER


def ranks(phases: Sequence[Phase | None]) -> list[int | None]:
    """The place of each step in the order of phases; None for one that the order lacks."""
    order = order_of(phases)
    spoken = False
    found: list[int | None] = []
    for phase in phases:
        spoken = spoken or phase == "synthesize"
        if phase not in order:
            found.append(None)
            continue
        at = order.index(phase)
        if spoken and phase in _TWICE and kind_of(phases) == "page":
            at = order.index(phase, order.index("synthesize"))
        found.append(at)
    return found


def halves(phases: Sequence[Phase | None]) -> list[int]:
    """For each step 0, or 1 where its rows are clips that were spoken from pages."""
    first = next((at for at, phase in enumerate(phases) if phase == "synthesize"), len(phases))
    return [int(at >= first) if kind_of(phases) == "page" else 0 for at in range(len(phases))]


def before_speech(steps: Sequence[Step], phase: Phase) -> tuple[Step, ...]:
    """The steps of measure or select that look at pages which are then spoken; () without."""
    phases: list[Phase | None] = [step.phase for step in steps]
    if "synthesize" not in phases or phase not in _TWICE:
        return ()
    half = halves(phases)
    return tuple(s for s, at in zip(steps, half, strict=True) if s.phase == phase and at == 0)


def at_the_end(steps: Sequence[Step], phase: Phase) -> tuple[Step, ...]:
    """The steps of a phase; of measure and select those that the documents are made by."""
    early = {id(step) for step in before_speech(steps, phase)}
    return tuple(step for step in steps if step.phase == phase and id(step) not in early)
