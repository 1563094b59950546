"""The words of a text as places in it, and the borders between them by how well a voice can stop.

Words tile the text: every character that is no blank belongs to exactly one word, so any way to
deal words out keeps the text whole. Scripts written without blanks (Han, kana) have one word per
character, with the signs that lean on it; methods e.1 counts words, and such a character takes a
voice about as long as a short word. Thai, Lao, Khmer and Burmese write phrases without blanks:
there a word here is a phrase.
"""

import bisect
import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

Splitter = Callable[[str, str], list[str]]  # language, text -> its sentences, in order
Span = tuple[int, int]  # half-open

WORD, CLAUSE, SENTENCE, PARAGRAPH = 0, 1, 2, 3  # ranks of borders
UNSPACED_WEIGHT = 3  # characters of English that take as long as one of Han or kana

_TOKEN = re.compile(r"\S+")
_PARAGRAPHS = re.compile(r"\n[^\S\n]*\n")
_CLAUSE_END = re.compile(
    "[,;:\u2013\u2014\u060c\u061b\u3001\uff0c\uff1b\uff1a][\"'\\)\\]\u2019\u201d\u00bb\u300d]*$"
)
_LEANS_BACK = frozenset(("Pc", "Pd", "Pe", "Pf", "Po", "Mn", "Mc", "Me", "Cf", "Lm", "Sk"))
_OPENS = frozenset(("Ps", "Pi"))


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script written without blanks between words."""
    return (
        "\u3040" <= character <= "\u30ff"
        or "\u3400" <= character <= "\u4dbf"
        or "\u4e00" <= character <= "\u9fff"
        or "\uf900" <= character <= "\ufaff"
        or "\U00020000" <= character <= "\U0003ffff"
    )


def units(text: str) -> list[Span]:
    """The words of a text, as half-open ranges of characters, ascending and disjoint."""
    found: list[Span] = []
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        if token[0].isascii():
            found.append((start, end))
            continue
        for place in range(start + 1, end):
            if _parts(text[place - 1], text[place]):
                found.append((start, place))
                start = place
        found.append((start, end))
    return found


def _parts(before: str, after: str) -> bool:
    """Whether a word ends between two characters of one token."""
    if not (is_unspaced(before) or is_unspaced(after)):
        return False
    return (
        unicodedata.category(after) not in _LEANS_BACK
        and unicodedata.category(before) not in _OPENS
        and before != "\u200d"
    )


def is_speakable(text: str) -> bool:
    """Whether there is a letter or a digit in a text."""
    return any(character.isalnum() for character in text)


@dataclasses.dataclass(frozen=True, slots=True)
class Worded:
    """A text, its words, and how well a voice stops before each of them."""

    text: str
    words: tuple[Span, ...]
    ranks: tuple[int, ...]  # of the border before each word; the first's is PARAGRAPH
    weights: tuple[int, ...]  # running sums, one more than words: characters to be said
    speakable: tuple[int, ...]  # running counts, one more than words

    def slice(self, start: int, end: int) -> str:
        """The text of words [start, end), as it stands."""
        return self.text[self.words[start][0] : self.words[end - 1][1]]

    def weight(self, start: int, end: int) -> int:
        """Characters that words [start, end) take to say, blanks between them included."""
        return self.weights[end] - self.weights[start]

    def count(self, start: int, end: int) -> int:
        """Words of [start, end) that have a letter or a digit."""
        return self.speakable[end] - self.speakable[start]


def worded(text: str, language: str, split: Splitter) -> Worded:
    """The words and borders of one line of a script."""
    words = units(text)
    weights, speakable = [0], [0]
    for start, end in words:
        word = text[start:end]
        unspaced = 0 if word.isascii() else sum(map(is_unspaced, word))
        blank = int(end < len(text) and text[end].isspace())
        weights.append(weights[-1] + len(word) + (UNSPACED_WEIGHT - 1) * unspaced + blank)
        speakable.append(speakable[-1] + is_speakable(word))
    ranks = [WORD] * len(words)
    for place, (before, _) in enumerate(itertools.pairwise(words), 1):
        if _CLAUSE_END.search(text[before[0] : before[1]]):
            ranks[place] = CLAUSE
    for place in sentence_places(text, words, language, split):
        ranks[place] = SENTENCE
    for start, _ in _paragraphs(text):
        place = bisect.bisect_left(words, (start, 0))
        if place < len(words):
            ranks[place] = PARAGRAPH
    if ranks:
        ranks[0] = PARAGRAPH
    return Worded(text, tuple(words), tuple(ranks), tuple(weights), tuple(speakable))


def sentence_places(text: str, words: Sequence[Span], language: str, split: Splitter) -> list[int]:
    """The words that begin a sentence of a paragraph. A border inside a word is none.

    The splitter is asked paragraph by paragraph and its sentences are looked for in the text: of a
    long text sentencex 1.0 leaves out blank lines. Raises `ValueError` where anything but blanks is
    missing: a bug of a splitter.
    """
    found = []
    for start, end in _paragraphs(text):
        cursor = start
        for sentence in split(language, text[start:end]):
            core = sentence.strip()
            border = text.find(core, cursor, end)
            if border < 0 or text[cursor:border].strip():
                raise ValueError(f"the splitter lost characters of a text in {language!r}")
            cursor = border + len(core)
            place = bisect.bisect_left(words, (border, 0))
            if core and 0 < place < len(words) and words[place - 1][1] <= border:
                found.append(place)
        if text[cursor:end].strip():
            raise ValueError(f"the splitter lost characters of a text in {language!r}")
    return found


def _paragraphs(text: str) -> Iterator[Span]:
    """Where the paragraphs of a text lie, the blanks between them left out."""
    start = 0
    for found in _PARAGRAPHS.finditer(text):
        yield start, found.start()
        start = found.end()
    yield start, len(text)
