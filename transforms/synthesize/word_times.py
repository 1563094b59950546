"""When each word of a text is said, from the engine's marks; between them, by length.

Words are those of `dealing.spread`: parted by blanks, and single signs where none are written.
"""

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from schemas.records import TimesOrigin
from transforms.engines.dealing import spread, units
from transforms.engines.synthesizer import Mark

_Span = tuple[float, float]
_NO_TIME = 0.01  # seconds for which nothing is said


class Timed(NamedTuple):
    """A word with its times; not yet a record, as its place among other words is still open."""

    text: str
    start: float
    end: float


def timed(
    text: str, said: str, marks: Sequence[Mark], seconds: float
) -> tuple[tuple[Timed, ...], TimesOrigin]:
    """The words of `text` with times in 0..seconds. `said`: what the marks are of."""
    if not marks:
        evenly = spread(text, seconds)
        return tuple(Timed(word.text, word.start, word.end) for word in evenly), "estimated"
    wanted = units(text)
    read = wanted if said == text else units(said)
    spans = _of_units(read, marks)
    if said != text:
        spans = _carried(spans, read, wanted)
    whole = all(
        span is not None or not re.search(r"\w", word)
        for span, (_, word) in zip(spans, wanted, strict=True)
    )
    words = _filled(spans, [word for _, word in wanted], seconds)
    return words, "measured" if whole else "estimated"


def _of_units(words: list[tuple[int, str]], marks: Sequence[Mark]) -> list[_Span | None]:
    """Of each word, from its first mark's start to its last mark's end."""
    spans: list[_Span | None] = []
    ordered = sorted(marks)  # by place
    at = 0
    for place, word in words:
        while at < len(ordered) and ordered[at].place < place:
            at += 1
        first, stop = at, place + len(word)
        while at < len(ordered) and ordered[at].place < stop:
            at += 1
        spans.append((ordered[first].start, ordered[at - 1].end) if at > first else None)
    return spans


def _carried(
    spans: list[_Span | None], said: list[tuple[int, str]], wanted: list[tuple[int, str]]
) -> list[_Span | None]:
    """The times of words that stand in both texts."""
    here_keys, there_keys = ([_key(word) for _, word in side] for side in (said, wanted))
    found: list[_Span | None] = [None] * len(wanted)
    matcher = difflib.SequenceMatcher(a=here_keys, b=there_keys, autojunk=False)
    for here, there, length in matcher.get_matching_blocks():
        found[there : there + length] = spans[here : here + length]
    return found


def _key(word: str) -> str:
    return re.sub(r"\W", "", word).casefold() or word


def _filled(spans: list[_Span | None], texts: list[str], seconds: float) -> tuple[Timed, ...]:
    """Words without a time share what lies between those around them, by length.

    Where nothing lies between (an engine says "of the" in one breath and marks the first word),
    they share the time of the word before them.
    """
    words: list[Timed] = []
    waiting: list[str] = []
    before = 0.0  # what is told up to here; comparisons, as calls of min and max take longer
    for text, span in zip(texts, spans, strict=True):
        if span is None:
            waiting.append(text)
            continue
        start, end = span
        start = before if start < before else start
        start = seconds if start > seconds else start
        if waiting:
            _share(words, waiting, before, start)
            waiting = []
        end = start if end < start else end
        before = seconds if end > seconds else end
        words.append(Timed(text, start, before))
    if waiting:
        _share(words, waiting, before, max(before, seconds))
    return tuple(words)


def _share(words: list[Timed], texts: list[str], start: float, end: float) -> None:
    """Add words that share a time; that of the last word, too, where there is none."""
    if words and end - start < _NO_TIME:
        last = words.pop()
        texts, start = [last.text, *texts], last.start
    total, done = sum(map(len, texts)), 0
    at = start
    for text in texts:
        done += len(text)
        until = max(at, min(start + (end - start) * done / total, end))
        words.append(Timed(text, at, until))
        at = until
