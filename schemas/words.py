"""Where the words of a transcript stand in its text, and what belongs to a run of them.

Every character and every frame of a chunk belongs to exactly one word: what lies between two words
goes to the earlier one (characters: a comma stays with its word) or is shared halfway (frames: a
pause is cut in its middle). So any way to deal a chunk's words into runs deals out the whole chunk.
"""

import itertools
from collections.abc import Sequence

from schemas.records import Chunk, Word, frames

Span = tuple[int, int]  # half-open


def word_ranges(text: str, words: Sequence[Word]) -> tuple[Span, ...] | None:
    """The half-open character range of each word in `text`, in order, without overlap.

    A word is looked for as it is spelt, then without regard to case; where that fails and `text`
    has as many blank-separated tokens as there are words, they are paired in order. None where the
    words cannot be placed: a caller must then not cut inside this text.
    """
    return _search(text, words) or _pair(text, words)


def _search(text: str, words: Sequence[Word]) -> tuple[Span, ...] | None:
    lower = text.lower()
    if len(lower) != len(text):  # a letter that changes its length with its case, as in Turkish
        lower = text
    found, cursor = [], 0
    for word in words:
        spelt = word.text.strip()
        start = text.find(spelt, cursor)
        if start < 0:
            start = lower.find(spelt.lower(), cursor)
        # words in order leave little text between them; a far hit is another word spelt alike
        if not spelt or start < 0 or len(text[cursor:start].split()) > 1:
            return None
        found.append((start, start + len(spelt)))
        cursor = start + len(spelt)
    return tuple(found)


def _pair(text: str, words: Sequence[Word]) -> tuple[Span, ...] | None:
    found, cursor = [], 0
    for token in text.split():
        start = text.index(token, cursor)
        cursor = start + len(token)
        found.append((start, cursor))
    return tuple(found) if len(found) == len(words) else None


def run_characters(chunk: Chunk, ranges: Sequence[Span], first: int, last: int) -> Span:
    """The characters that belong to words [first, last) of a chunk, given their `word_ranges`."""
    begin = 0 if first == 0 else ranges[first][0]
    end = len(chunk.text) if last == len(ranges) else ranges[last][0]
    return begin, end


def word_borders(chunk: Chunk, rate: int) -> tuple[int, ...]:
    """The frames (of the document) at which each word's stretch of a chunk begins, and its end.

    One more border than words, ascending whatever the words' times claim: word i holds the frames
    [borders[i], borders[i + 1]).
    """
    low, high = frames(chunk.start, rate), frames(chunk.end, rate)
    borders = [low]
    for before, after in itertools.pairwise(chunk.words):
        middle = (frames(before.end, rate) + frames(after.start, rate)) // 2
        borders.append(min(max(middle, borders[-1]), high))
    return (*borders, high)
