"""Which language a clip's text is in, and how surely; nothing where the text is too short to say.

Short text is where language identification guesses: on declarations in Spanish and French, lid.176
is right for 61 % of single words, 93 % of three words and 98 % of five, and it is confident when
wrong. So there is a gate on length, and below it both columns are None. Chinese and other scripts
without spaces have no words to count; they need `min_chars` letters.

The text is judged as it was heard: a recognizer forced to one language writes that language.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import pydantic

from schemas.records import Clip, Scores
from transforms.engines.language import ENGINES, LanguageEngine
from transforms.measure.wording import count_letters, count_words, unspaced_share
from transforms.step import Measure, Scope


class Language(Measure):
    """Language of a clip's text (ISO code) and its probability (0..1)."""

    columns: ClassVar[dict[str, type]] = {"language": str, "probability": float}
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

    def fingerprint(self) -> dict[str, str]:
        return ENGINES[self.engine].fingerprint()

    def load(self) -> LanguageEngine:
        return ENGINES[self.engine]()

    def __call__(
        self, records: Sequence[Clip], model: LanguageEngine, scope: Scope
    ) -> Iterator[Scores]:
        judged = [clip for clip in records if self.long_enough(clip.text)]
        # Upper case is common in given transcripts and misleads the model: it learnt from prose.
        guesses = model.guess([clip.text.lower() for clip in judged])
        found = {clip.id: guess for clip, guess in zip(judged, guesses, strict=True)}
        for clip in records:
            guess = found.get(clip.id)
            values = (guess.language, guess.probability) if guess else (None, None)
            yield Scores(id=clip.id, values=values)

    def long_enough(self, text: str) -> bool:
        """Whether a text is long enough to tell its language."""
        letters = count_letters(text)
        if letters == 0 or letters < self.min_chars:
            return False
        return count_words(text) >= self.min_words or unspaced_share(text) > 0.5
