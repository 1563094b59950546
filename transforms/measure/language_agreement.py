"""Whether the language that a recognizer heard is the language of what it wrote.

By sound: the language that the recognizer detected (`Clip.language` with its probability). A
language that was given was not heard, and says nothing here. By text: the same judgement as the
measure `language`, with the same gate on length. Trade-off: a recognizer writes the language that
it thinks it hears, so agreement is no proof; disagreement is a strong sign of invention or of two
languages in one clip. Closely related languages that text confuses count as one.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import pydantic

from schemas.records import Clip, Scores
from transforms.engines.language import ENGINES, LanguageEngine
from transforms.measure.language import Language
from transforms.step import Measure, Scope

# Languages that a line of text can hardly tell apart, under one name.
_AS_ONE = {"bs": "hr", "sr": "hr", "nb": "no", "nn": "no", "ms": "id", "yue": "zh", "wuu": "zh"}


class LanguageAgreement(Measure):
    """Language by sound with its probability, language by text, and whether they agree."""

    columns: ClassVar[dict[str, type]] = {
        "by_sound": str,
        "sound_probability": float,
        "by_text": str,
        "agrees": bool,
    }
    needs_audio: ClassVar[bool] = False

    engine: Literal["lid.176"] = pydantic.Field(
        "lid.176", description="Engine that tells the language of a line of text"
    )
    min_words: int = pydantic.Field(
        5, ge=0, description="Shorter text has no language (words; measured: 98 % right at 5)"
    )
    min_chars: int = pydantic.Field(
        20, ge=0, description="Text with fewer letters has no language (letters; ours)"
    )
    min_probability: float = pydantic.Field(
        0.5,
        ge=0,
        le=1,
        description="Below this, on either side, nobody knows whether they agree (0..1; ours)",
    )

    def fingerprint(self) -> dict[str, str]:
        return ENGINES[self.engine].fingerprint()

    def load(self) -> LanguageEngine:
        return ENGINES[self.engine]()

    def __call__(
        self, records: Sequence[Clip], model: LanguageEngine, scope: Scope
    ) -> Iterator[Scores]:
        by_text = Language(engine=self.engine, min_words=self.min_words, min_chars=self.min_chars)(
            records, model, scope
        )
        for clip, scores in zip(records, by_text, strict=True):
            text, chance = scores.values
            heard = clip.language if clip.language_probability is not None else None
            sure = clip.language_probability
            agrees = None
            if (
                heard is not None
                and sure is not None
                and isinstance(text, str)
                and isinstance(chance, float)
                and min(sure, chance) >= self.min_probability
            ):
                agrees = _plain(heard) == _plain(text)
            yield Scores(id=clip.id, values=(heard, sure, text, agrees))


def _plain(code: str) -> str:
    """A language tag without its region, related languages under one name."""
    first = code.lower().replace("_", "-").partition("-")[0]
    return _AS_ONE.get(first, first)
