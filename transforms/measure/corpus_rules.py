"""The rules of Gopher, C4 and FineWeb over `Statistics`, for pages and adapted to speech.

Adapted means: a clip is short, so nothing asks for a length; what a share says of a short text is
chance, so repetition and stop words are judged from `LONG` words on; and a text without any
sentence mark is what a recognizer wrote, not a list of keywords, so no rule asks it for sentence
ends. Each rule has a name; a text is judged by naming those that it breaks.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

from transforms.measure.text_statistics import Statistics

Kind = Literal["speech", "page"]
FAMILIES = ("gopher", "gopher_repetition", "c4", "fineweb")
LONG = 50  # words: below this, shares of repetition and counts of stop words say nothing of speech

Value = float | int | None


@dataclasses.dataclass(frozen=True)
class CorpusRule:
    """Broken where `value` lies outside `least`..`most`; unknown values break nothing."""

    family: str
    name: str
    value: Callable[[Statistics], Value]
    least: float | None = None
    most: float | None = None
    long: bool = False  # of speech, judged from `LONG` words on
    page: bool = False  # not asked of speech

    def broken(self, found: Statistics, kind: Kind) -> bool:
        if kind == "speech" and (self.page or (self.long and found.words < LONG)):
            return False
        value = self.value(found)
        if value is None:
            return False
        return (self.least is not None and value < self.least) or (
            self.most is not None and value > self.most
        )


def _top(place: int) -> Callable[[Statistics], Value]:
    return lambda found: found.top_ngrams[place]


def _duplicate(place: int) -> Callable[[Statistics], Value]:
    return lambda found: found.duplicate_ngrams[place]


RULES: tuple[CorpusRule, ...] = (
    # Rae et al. 2021, appendix A1.1, quality.
    CorpusRule("gopher", "words", lambda s: s.words, 50, 100_000, page=True),
    CorpusRule("gopher", "word_length", lambda s: s.mean_word_length, 3, 10, long=True),
    CorpusRule("gopher", "symbols", lambda s: s.symbol_ratio, most=0.1),
    CorpusRule("gopher", "bullets", lambda s: s.bullet_lines, most=0.9),
    CorpusRule("gopher", "ellipses", lambda s: s.ellipsis_lines, most=0.3),
    CorpusRule("gopher", "alphabetic", lambda s: s.alphabetic_share, 0.8, long=True),
    CorpusRule("gopher", "stop_words", lambda s: s.stop_words, 2, long=True),
    # Rae et al. 2021, table A1, repetition.
    CorpusRule("gopher_repetition", "lines", lambda s: s.duplicate_lines, most=0.30),
    CorpusRule("gopher_repetition", "paragraphs", lambda s: s.duplicate_paragraphs, most=0.30),
    CorpusRule("gopher_repetition", "line_text", lambda s: s.duplicate_line_characters, most=0.20),
    CorpusRule(
        "gopher_repetition", "paragraph_text", lambda s: s.duplicate_paragraph_characters, most=0.20
    ),
    *(
        CorpusRule("gopher_repetition", f"top_{size}gram", _top(place), most=most, long=True)
        for place, (size, most) in enumerate(((2, 0.20), (3, 0.18), (4, 0.16)))
    ),
    *(
        CorpusRule(
            "gopher_repetition", f"repeated_{size}gram", _duplicate(place), most=most, long=True
        )
        for place, (size, most) in enumerate(
            ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
        )
    ),
    # Raffel et al. 2020, section 2.2; phrases are looked for in `breaks`.
    CorpusRule("c4", "sentences", lambda s: s.sentences if s.punctuated else None, 3, page=True),
    # Penedo et al. 2024, section 3.6.
    CorpusRule("fineweb", "sentence_ends", lambda s: s.terminal_lines, 0.12),
    CorpusRule("fineweb", "line_text", lambda s: s.duplicate_line_characters, most=0.1),
    CorpusRule("fineweb", "short_lines", lambda s: s.short_lines, most=0.67, page=True),
    CorpusRule("fineweb", "newlines", lambda s: s.newlines_per_word, most=0.3, page=True),
)
_PHRASES = ("lorem ipsum", "{")  # C4: text of a template, or code
_PAGE_PHRASES = ("javascript", "terms of use", "privacy policy", "cookie policy", "uses cookies")


def breaks(text: str, found: Statistics, kind: Kind) -> Iterator[str]:
    """The rules that a text breaks, as `family:name`, in a fixed order."""
    for rule in RULES:
        if rule.broken(found, kind):
            yield f"{rule.family}:{rule.name}"
    lower = text.lower()
    phrases = _PHRASES if kind == "speech" else (*_PHRASES, *_PAGE_PHRASES)
    if any(phrase in lower for phrase in phrases):
        yield "c4:phrases"
