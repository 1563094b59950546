"""How hard a text is to read: lengths of words and sentences, and two indices made of them.

LIX (words per sentence plus the percentage of words over six letters; Bjornsson 1968) needs no
syllables and so serves any language with an alphabet; the Flesch-Kincaid grade (Kincaid et al.
1975) counts syllables and is given for English only, with a rule of thumb for syllables. Where a
text has no sentence marks nobody knows its sentences: only the share of long words is left.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, Scores
from transforms.measure.text_statistics import statistics
from transforms.measure.wording import unspaced_share, words_of
from transforms.step import Measure, Scope

_LONG = 6  # letters: a longer word is long (LIX)
_VOWELS = re.compile(r"[aeiouy]+")


class Readability(Measure):
    """Share of long words, words per sentence, LIX, and the grade by Flesch and Kincaid."""

    columns: ClassVar[dict[str, type]] = {
        "long_words": float,
        "words_per_sentence": float,
        "lix": float,
        "grade": float,
    }
    needs_audio: ClassVar[bool] = False

    min_words: int = pydantic.Field(
        10, ge=1, description="Shorter text has no readability (words; ours)"
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            yield Scores(id=clip.id, values=self.indices(clip.text, clip.language))

    def indices(self, text: str, language: str | None) -> tuple[float | None, ...]:
        """The columns for one text."""
        words = words_of(text)
        if len(words) < self.min_words or unspaced_share(text) > 0.5:
            return None, None, None, None
        long = sum(len(word) > _LONG for word in words) / len(words)
        found = statistics(text)
        if not found.sentences:
            return long, None, None, None
        per_sentence = len(words) / found.sentences
        grade = None
        if (language or "").lower().startswith("en"):
            per_word = sum(map(syllables, words)) / len(words)
            grade = 0.39 * per_sentence + 11.8 * per_word - 15.59
        return long, per_sentence, per_sentence + 100 * long, grade


def syllables(word: str) -> int:
    """About how many syllables an English word has: its groups of vowels, less a silent e."""
    groups = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1
    return max(1, groups - silent)
