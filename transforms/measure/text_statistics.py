"""What the quality rules of text corpora count, as pure functions over one text.

For transcripts and for pages: lines, words, symbols, stop words, sentence marks, repetition. What
cannot be said of a text is None: ends of sentences where nothing has sentence marks (many
recognizers write none), lengths of words in scripts without spaces, shares of lines of one line.
Sources of what is counted: Gopher (Rae et al. 2021, appendix A1.1), C4 (Raffel et al. 2020, section
2.2), FineWeb (Penedo et al. 2024, section 3.6).
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from transforms.measure.stop_words import STOP_WORDS
from transforms.measure.wording import unspaced_share, words_of

_LINES = re.compile(r"[\r\n\u2028\u2029]+")
_PARAGRAPHS = re.compile(r"\r?\n[ \t]*\r?\n\s*")
_SYMBOLS = re.compile(r"#|\.\.\.|\u2026")
SENTENCE_MARKS = ".!?\u2026\u3002\uff01\uff1f\u0964\u06d4\u061f\u17d4\u104b\u1362"
_ENDS = tuple(SENTENCE_MARKS)
_CLOSING = "\"'\u201d\u2019\u00bb)]}\u300d\u300f"
_MARK = re.compile(
    rf"[{re.escape(SENTENCE_MARKS)}]+(?=\s|$|[{re.escape(_CLOSING)}])|[\u3002\uff01\uff1f]"
)
_BULLETS = ("\u2022", "\u2023", "\u25aa", "\u25cf", "\u25e6", "*", "-", "\u2013", "\u00b7")
_CONTROLS = dict.fromkeys(  # zero-width and bidirectional: nobody sees them
    (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF)
)
_SHORT = 30  # characters: FineWeb's short line
TOP = (2, 3, 4)  # words of the n-grams whose commonest counts (Gopher)
DUPLICATE = (5, 6, 7, 8, 9, 10)  # words of the n-grams whose repeats count (Gopher)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Counts and shares (0..1) of one text; None where they do not apply."""

    words: int
    lines: int
    punctuated: bool  # it has a sentence mark somewhere
    sentences: int  # ends of sentences; 0 where it is not punctuated
    mean_word_length: float | None  # characters
    symbol_ratio: float | None  # "#" and ellipses per word
    alphabetic_share: float | None  # of words with a letter
    stop_words: int | None  # distinct ones of its language
    digit_share: float | None  # of characters that are no space
    upper_share: float | None  # of letters that have a case
    bullet_lines: float | None
    ellipsis_lines: float | None
    terminal_lines: float | None  # that end in a sentence mark
    short_lines: float | None  # of at most 30 characters
    newlines_per_word: float | None
    duplicate_lines: float | None
    duplicate_line_characters: float | None
    duplicate_paragraphs: float | None
    duplicate_paragraph_characters: float | None
    top_ngrams: tuple[float | None, ...]  # characters of the commonest n-gram, per `TOP`
    duplicate_ngrams: tuple[float | None, ...]  # characters in repeated n-grams, per `DUPLICATE`


def statistics(text: str, language: str | None = None) -> Statistics:
    """Everything counted, in time linear in the text. `language`: ISO 639, for its stop words."""
    text = text.translate(_CONTROLS)
    words = words_of(text)
    lines = [line.strip() for line in _LINES.split(text) if line.strip()]
    paragraphs = [part.strip() for part in _PARAGRAPHS.split(text) if part.strip()]
    several = len(lines) if len(lines) > 1 else 0
    sentences = len(_MARK.findall(text))
    solid = "".join(text.split())
    cased = [letter for letter in solid if letter.islower() or letter.isupper()]
    return Statistics(
        words=len(words),
        lines=len(lines),
        punctuated=sentences > 0,
        sentences=sentences,
        mean_word_length=_share(sum(map(len, words)), len(words))
        if unspaced_share(text) <= 0.5
        else None,
        symbol_ratio=_share(len(_SYMBOLS.findall(text)), len(words)),
        alphabetic_share=_share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        stop_words=_stop_words(words, language),
        digit_share=_share(sum(map(str.isdecimal, solid)), len(solid)),
        upper_share=_share(sum(map(str.isupper, cased)), len(cased)),
        bullet_lines=_share(sum(line.startswith(_BULLETS) for line in lines), several),
        ellipsis_lines=_share(sum(line.endswith(("...", "\u2026")) for line in lines), several),
        terminal_lines=_share(
            sum(line.rstrip(_CLOSING).endswith(_ENDS) for line in lines),
            len(lines) if sentences else 0,
        ),
        short_lines=_share(sum(len(line) <= _SHORT for line in lines), several),
        newlines_per_word=_share(len(lines) - 1, len(words)),
        duplicate_lines=_share(len(lines) - len(set(lines)), several),
        duplicate_line_characters=_duplicate_characters(lines),
        duplicate_paragraphs=_share(
            len(paragraphs) - len(set(paragraphs)), len(paragraphs) if len(paragraphs) > 1 else 0
        ),
        duplicate_paragraph_characters=_duplicate_characters(paragraphs),
        top_ngrams=tuple(top_ngram(words, size) for size in TOP),
        duplicate_ngrams=tuple(duplicate_ngram(words, size) for size in DUPLICATE),
    )


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _stop_words(words: Sequence[str], language: str | None) -> int | None:
    known = STOP_WORDS.get((language or "").lower().replace("_", "-").partition("-")[0])
    return None if known is None else len(known.intersection(words))


def _duplicate_characters(parts: Sequence[str]) -> float | None:
    """The share of characters in parts that stood before; None for a single part."""
    if len(parts) < 2:
        return None
    seen: set[str] = set()
    repeated = 0
    for part in parts:
        repeated += len(part) if part in seen else 0
        seen.add(part)
    return repeated / sum(map(len, parts))


def top_ngram(words: Sequence[str], size: int) -> float | None:
    """The share of characters in the commonest n-gram; 0 where none stands twice."""
    if len(words) < size:
        return None
    counts = Counter(zip(*(words[start:] for start in range(size)), strict=False))
    most = max(counts.values())
    if most == 1:
        return 0.0
    longest = max(sum(map(len, gram)) for gram, count in counts.items() if count == most)
    # Where an n-gram overlaps itself ("no no no") its characters are counted once only.
    return min(1.0, longest * most / max(sum(map(len, words)), 1))


def duplicate_ngram(words: Sequence[str], size: int) -> float | None:
    """The share of characters in n-grams that stood before, each character once."""
    if len(words) < size:
        return None
    seen: set[tuple[str, ...]] = set()
    repeated = at = 0
    covered = 0  # words up to here are counted
    while at + size <= len(words):
        gram = tuple(words[at : at + size])
        if gram in seen:
            repeated += sum(map(len, words[max(at, covered) : at + size]))
            covered = at + size
        seen.add(gram)
        at += 1
    return repeated / max(sum(map(len, words)), 1)
