"""Which drops a report shows: of each reason a few, drawn by their ids, those with sound first.

A stream of any length is taken, and some hundred drops of each reason are held: what was drawn from
some and then from what was drawn among more is what is drawn from all.
"""

from collections.abc import Iterator
from typing import TypeAlias

from pipeline.commits import drop_key
from pipeline.report import preview
from schemas.records import AudioRef, Drop

HELD = 256  # of one reason, before those that will not be shown are let go

Heard: TypeAlias = tuple[Drop, AudioRef | None]


class ShownDrops:
    """Takes drops in any order; one that comes again replaces what it was, and keeps its sound."""

    def __init__(self, seed: int, most: int):
        self._seed, self._most = seed, most
        self._held: dict[tuple[str, str], dict[str, Heard]] = {}

    def add(self, drop: Drop, audio: AudioRef | None = None) -> None:
        held = self._held.setdefault((drop.step, drop.reason), {})
        key = drop_key(drop)
        held[key] = (drop, audio or (held[key][1] if key in held else None))
        if len(held) >= HELD + 2 * self._most:
            audible, silent = self._drawn(drop.step, drop.reason, held)
            self._held[drop.step, drop.reason] = {key: held[key] for key in (*audible, *silent)}

    def shown(self) -> Iterator[Heard]:
        """By step and reason, at most so many of each."""
        for (step, reason), held in sorted(self._held.items()):
            audible, silent = self._drawn(step, reason, held)
            yield from (held[key] for key in (audible + silent)[: self._most])

    def _drawn(self, step: str, reason: str, held: dict[str, Heard]) -> tuple[list[str], list[str]]:
        """Those with sound and those without, as many of both as may be shown."""
        audible = [key for key, (_, audio) in held.items() if audio is not None]
        silent = [key for key, (_, audio) in held.items() if audio is None]
        label = f"{step}:{reason}"
        return (
            preview.pick(self._seed, label, audible, self._most),
            preview.pick(self._seed, label, silent, self._most),
        )
