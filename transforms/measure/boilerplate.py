"""How much of a text is what recognizers write where nobody speaks ("thanks for watching").

A last resort behind `coverage` and `confidence`: lists are short, of our own, and never complete
(`phrases.py`). The same phrases are said in earnest at the end of many a recording, so
`unspoken` counts them only where the clip holds little speech; a limit belongs on that column.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pydantic

from schemas.records import Clip, Scores
from transforms.engines.vad import ENGINES, Vad
from transforms.measure.phrases import ALONE, ANYWHERE
from transforms.measure.sound import samples
from transforms.measure.voiced import voiced
from transforms.measure.wording import words_of
from transforms.step import Measure, Scope

_NAME_WORDS = 4  # what `*` may stand for


class Boilerplate(Measure):
    """Share of a text that is known phrases (0..1): at all, and where there is little speech."""

    columns: ClassVar[dict[str, type]] = {"share": float, "unspoken": float}
    needs_audio: ClassVar[bool] = True

    engine: Literal["silero", "energy"] = pydantic.Field(
        "silero", description="Voice activity engine (silero measured best; energy needs no model)"
    )
    threshold: float = pydantic.Field(
        0.5, gt=0, lt=1, description="From this probability on a frame is speech (silero's default)"
    )
    little_speech: float = pydantic.Field(
        0.3, ge=0, le=1, description="Below this share of speech there is little (0..1; ours)"
    )

    def fingerprint(self) -> Any:
        return ENGINES[self.engine].fingerprint()

    def load(self) -> Vad:
        return ENGINES[self.engine]()

    def __call__(self, records: Sequence[Clip], model: Vad, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            share = phrase_share(words_of(clip.text))
            unspoken = share
            if share:  # the engine is asked only where there is something to judge
                ratio = voiced(samples(clip, scope), clip.rate, model, self.threshold).ratio
                unspoken = share if (ratio or 0.0) < self.little_speech else 0.0
            yield Scores(id=clip.id, values=(share, unspoken))


def phrase_share(words: Sequence[str]) -> float | None:
    """The share of words inside known phrases of any language; None for no words."""
    if not words:
        return None
    plain = tuple(words)
    if plain in _WHOLE:
        return 1.0
    at = covered = 0
    while at < len(plain):
        length = max(
            (
                min(len(phrase) + (_NAME_WORDS if open_ended else 0), len(plain) - at)
                for phrase, open_ended in _STARTS.get(plain[at], ())
                if plain[at : at + len(phrase)] == phrase
            ),
            default=0,
        )
        covered += length
        at += length or 1
    return covered / len(plain)


def _starts(
    lists: Mapping[str, Sequence[str]],
) -> dict[str, list[tuple[tuple[str, ...], bool]]]:
    """Phrases, as words and whether a name may follow, by their first word."""
    found: dict[str, list[tuple[tuple[str, ...], bool]]] = {}
    for phrases in lists.values():
        for text in phrases:
            words = tuple(words_of(text))
            found.setdefault(words[0], []).append((words, text.endswith("*")))
    return found


_STARTS = _starts(ANYWHERE)
_WHOLE = frozenset(tuple(words_of(text)) for texts in ALONE.values() for text in texts)
