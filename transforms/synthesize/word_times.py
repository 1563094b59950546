"""When each word of a text is said, from the engine's marks; between them, by length.

Words are those of `dealing.spread`: parted by blanks, and single signs where none are written.
"""

import difflib
import re
from collections.abc import Sequence

from schemas.records import TimesOrigin, Word
from transforms.engines.dealing import spread
from transforms.engines.synthesizer import Mark

_Span = tuple[float, float]
_NO_TIME = 0.01  # seconds for which nothing is said


def units(text: str) -> list[tuple[int, str]]:
    """The words of a text and where each begins in it."""
    found, cursor = [], 0
    for word in spread(text, 1.0):
        place = text.index(word.text, cursor)
        cursor = place + len(word.text)
        found.append((place, word.text))
    return found


def timed(
    text: str, said: str, marks: Sequence[Mark], seconds: float
) -> tuple[tuple[Word, ...], TimesOrigin]:
    """The words of `text` with times in 0..seconds. `said`: what the marks are of."""
    if not marks:
        return spread(text, seconds), "estimated"
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
    ordered = sorted(marks, key=lambda mark: mark.place)
    at = 0
    for place, word in words:
        while at < len(ordered) and ordered[at].place < place:
            at += 1
        first = at
        while at < len(ordered) and ordered[at].place < place + len(word):
            at += 1
        inside = ordered[first:at]
        spans.append((inside[0].start, inside[-1].end) if inside else None)
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


def _filled(spans: list[_Span | None], texts: list[str], seconds: float) -> tuple[Word, ...]:
    """Words without a time share what lies between those around them, by length.

    Where nothing lies between (an engine says "of the" in one breath and marks the first word),
    they share the time of the word before them.
    """
    words: list[Word] = []
    at = 0
    while at < len(texts):
        span = spans[at]
        before = words[-1].end if words else 0.0
        if span is not None:
            start = min(max(span[0], before), seconds)
            words.append(Word(text=texts[at], start=start, end=min(max(span[1], start), seconds)))
            at += 1
            continue
        until = at
        while until < len(texts) and spans[until] is None:
            until += 1
        following = spans[until] if until < len(texts) else None
        limit = max(before, min(following[0] if following else seconds, seconds))
        if words and limit - before < _NO_TIME:
            at -= 1
            before = words.pop().start
        words += _shared(texts[at:until], before, limit)
        at = until
    return tuple(words)


def _shared(texts: list[str], start: float, end: float) -> list[Word]:
    total = sum(len(text) for text in texts)
    words, done = [], 0
    for text in texts:
        first = start + (end - start) * done / total
        done += len(text)
        last = min(start + (end - start) * done / total, end)
        words.append(Word(text=text, start=first, end=max(first, last)))
    return words
