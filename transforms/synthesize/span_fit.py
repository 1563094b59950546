"""Pieces of a text that a voice can say in one go: not too long, not too short, cut where it fits.

A piece is a range of words. Too long ones are cut at the best border near their middle, so that
the parts are alike; too short ones join a neighbour.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from transforms.synthesize.span_units import PARAGRAPH, Span, Worded


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What a piece must keep to; None: off."""

    min_words: int = 1
    max_words: int | None = None
    max_weight: float | None = None  # characters, as `Worded.weight` counts them

    def fits(self, text: Worded, start: int, end: int) -> bool:
        """Whether words [start, end) are not too long; one word always fits."""
        if end - start <= 1:
            return True
        if self.max_words is not None and end - start > self.max_words:
            return False
        return self.max_weight is None or text.weight(start, end) <= self.max_weight


def between(text: Worded, rank: int) -> list[Span]:
    """The ranges of words between borders of at least this rank."""
    edges = [place for place, found in enumerate(text.ranks) if found >= rank]
    return list(itertools.pairwise([*edges, len(text.words)]))


def cut(text: Worded, pieces: Sequence[Span], fit: Fit) -> list[Span]:
    """The pieces, with those that are too long in parts: at the best border that there is inside
    (sentence, clause, word), of equals the one nearest the middle, until all fit."""
    found: list[Span] = []
    todo = list(reversed(pieces))
    while todo:
        start, end = todo.pop()
        if fit.fits(text, start, end):
            found.append((start, end))
            continue
        place = _best(text, start, end)
        todo += [(place, end), (start, place)]
    return found


def _best(text: Worded, start: int, end: int) -> int:
    """Where to cut: by rank, but never a crumb where a plainer border would share evenly."""
    whole = text.weight(start, end)
    middle = text.weights[start] + text.weights[end]

    def crumb(place: int) -> bool:
        return min(text.weight(start, place), text.weight(place, end)) * 8 < whole

    return min(
        range(start + 1, end),
        key=lambda p: (crumb(p), -text.ranks[p], abs(2 * text.weights[p] - middle), p),
    )


def joined(text: Worded, pieces: Sequence[Span], fit: Fit) -> list[Span]:
    """The pieces, each of at least `min_words` words with letters or digits, as far as they fit.

    A short paragraph, such as a heading, joins what follows; any other short piece what it follows.
    What holds no letter or digit joins a neighbour whatever its length, for it takes no time.
    """
    found: list[Span] = []
    for start, end in pieces:
        if found and _joins(text, found[-1], (start, end), fit):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return _without_mute(text, found)


def _joins(text: Worded, before: Span, after: Span, fit: Fit) -> bool:
    if not fit.fits(text, before[0], after[1]):
        return False
    if text.count(*before) < fit.min_words:
        return True
    return text.count(*after) < fit.min_words and not _is_heading(text, after)


def _is_heading(text: Worded, piece: Span) -> bool:
    """Whether a piece is a paragraph with others behind it."""
    start, end = piece
    return text.ranks[start] == PARAGRAPH and end < len(text.words) and text.ranks[end] == PARAGRAPH


def _without_mute(text: Worded, pieces: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for start, end in pieces:
        mute = text.count(start, end) == 0 or (found and text.count(*found[-1]) == 0)
        if found and mute:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
