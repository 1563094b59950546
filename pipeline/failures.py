"""What counts as a failure: records and URLs that could not be worked on, never quality.

A clip that is too noisy says something of the data; a file that cannot be decoded, a record that
ends its worker and a URL that does not answer may say that a disk, a codec or a network is broken.
Dead letters are made of these, and a run with too many of them stops (`pipeline/breaker.py`).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from schemas.records import Drop
from transforms.engines.generator import REASONS
from transforms.gather.web.frontier import Row
from transforms.hear.decode import Decode

WELL_FORMED = frozenset(("too_short", "too_long", "zero_samples", "no_audio"))
"""Reasons of decode that say what a recording is: trying again cannot change them."""

UNREADABLE = frozenset(("unreadable", "missing"))
"""Reasons of crawl that say that a disk or its rights are at fault."""


_GENERATED = frozenset(REASONS)
FAILED: dict[str, frozenset[str]] = {
    "extract": frozenset(("timeout", "memory")),
    "rewrite": _GENERATED,
    "question": _GENERATED,
    "speak": frozenset(("crashed", "timeout", "scratch_full")),
    "verify": frozenset(("oom", "scratch_full")),
}
"""Reasons of steps of pages that say that a machine or a model is at fault, not the page."""

BROKEN = frozenset(("crashed", "memory", "oom", "timeout", "unanswered"))
"""Those of `FAILED` that say so of a machine; a model's refusal is a dead letter, no failure."""


class Failure(NamedTuple):
    """One of them, as it is told."""

    id: str
    step: str
    reason: str
    detail: str


Outcome = Failure | None
"""What became of one record or URL; None: it was worked on, whatever was then dropped of it."""


def of_root(root: str, drops: Iterable[Drop], name: str = "") -> Outcome:
    """Of a recording or task by its drops; `name`: how people know it."""
    for drop in drops:
        failed = drop.step == Decode.name() and drop.reason not in WELL_FORMED
        broken = drop.reason in BROKEN and drop.reason in FAILED.get(drop.step, ())
        if failed or drop.reason == "crash" or broken:
            return Failure(root, drop.step, drop.reason, f"{name} {drop.detail or ''}".strip())
    return None


def lost(drops: Iterable[Drop]) -> bool:
    """Whether a file of pages, or a page, could not be worked on: what `retry` may try again."""
    return any(d.reason == "crash" or d.reason in FAILED.get(d.step, ()) for d in drops)


def of_rows(rows: Sequence[Row]) -> list[Outcome]:
    """Of URLs that were asked for, as they ended; what rules or owners refuse is no failure."""
    return [
        Failure(row.id, "fetch", row.reason, f"{row.url} {row.detail}".rstrip())
        if row.state in ("dead", "waiting") and row.reason
        else None
        for row in sorted(rows, key=lambda row: (row.ended, row.url))
    ]
