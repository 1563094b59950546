"""Who speaks, and how: a voice per role of a document, drawn among those of its language.

The accent is drawn first and the voice within it second, so that an accent with a hundred voices is
not heard a hundred times as often as one with a single voice (Krist draws among five accents).
"""

import dataclasses
import fnmatch
import random
from collections.abc import Mapping, Sequence

from transforms.engines.synthesizer import Manner, Synthesizer, Voice


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What a role is played with."""

    voice: Voice
    manner: Manner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The voices that may be drawn, and how they speak."""

    voices: tuple[Voice, ...]
    weights: Mapping[str, float]  # of an accent or of a voice by name; 1 where nothing is said
    speed: tuple[float, float]
    pitch: tuple[float, float]

    def of(self, language: str) -> tuple[Voice, ...]:
        """The voices of a language."""
        return tuple(voice for voice in self.voices if voice.language == language)

    def draw(
        self, language: str, rng: random.Random, taken: frozenset[str] = frozenset()
    ) -> Part | None:
        """A part for one role, by none of the voices that are `taken`; None where none is left."""
        left = [voice for voice in self.of(language) if voice.name not in taken]
        accents = sorted({voice.accent for voice in left})
        accent = self._pick(accents, rng)
        voice = self._pick([voice.name for voice in left if voice.accent == accent], rng)
        speed, pitch = round(rng.uniform(*self.speed), 2), round(rng.uniform(*self.pitch), 2)
        if voice is None:
            return None
        (found,) = [one for one in left if one.name == voice]
        return Part(voice=found, manner=Manner(speed=speed, pitch=pitch))

    def _pick(self, names: Sequence[str], rng: random.Random) -> str | None:
        """One of the names by their weights; always exactly one draw."""
        weights = [self.weights.get(name, 1.0) for name in names]
        at = rng.random() * sum(weights)
        for name, weight in zip(names, weights, strict=True):
            if weight and at < weight:
                return name
            at -= weight
        return next((n for n, w in zip(reversed(names), reversed(weights), strict=True) if w), None)


@dataclasses.dataclass(frozen=True)
class Stage:
    """An engine and the voices of it that may be drawn."""

    engine: Synthesizer
    ensemble: Ensemble

    def close(self) -> None:
        """End the engine's process; it starts again with the next document."""
        self.engine.close()


def chosen(
    listed: Sequence[Voice], patterns: Sequence[str], accents: Sequence[str]
) -> tuple[Voice, ...]:
    """The voices that a recipe allows, sorted by name; without patterns the usual ones.

    Raises `ValueError` for a pattern or an accent that no voice of the engine fits.
    """
    found = [voice for voice in listed if voice.usual] if not patterns else []
    for pattern in patterns:
        fitting = [voice for voice in listed if fnmatch.fnmatchcase(voice.name, pattern)]
        if not fitting:
            raise ValueError(
                f"speak.voices: no voice of the engine fits {pattern!r}{_some(listed)}"
            )
        found += fitting
    for accent in accents:
        if not any(voice.accent == accent for voice in found):
            raise ValueError(
                f"speak.accents: no voice that may be drawn has the accent {accent!r}{_some(found)}"
            )
    kept = {v.name: v for v in found if not accents or v.accent in accents}
    return tuple(kept[name] for name in sorted(kept))


def _some(voices: Sequence[Voice]) -> str:
    names = sorted(voice.name for voice in voices)
    return f"; it has {len(names)}, such as {', '.join(names[:5])}" if names else "; it has none"
