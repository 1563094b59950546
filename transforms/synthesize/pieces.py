"""A text cut into what one call of a synthesizer takes: at sentences, else clauses, else blanks.

The pieces are slices that hold every character once, in order, so nothing is lost or said twice.
"""

import re
from collections.abc import Iterator

# Where a text may be cut, the best place first; each pattern ends at the place.
_CLOSING = "\"')\\]\u201d\u2019"  # may stand between a sentence's mark and the blank after it
_CUTS = (
    re.compile(rf"[.!?\u2026]+[{_CLOSING}]*\s+|[\u3002\uff01\uff1f]|\n\s*\n\s*"),
    re.compile(r"[,;:\u2013\u2014]\s+|[\u3001\uff0c\uff1b\uff1a]|\n\s*"),
    re.compile(r"\s+"),
)


def pieces(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Start and end of each piece, of at most `most` characters."""
    start = 0
    while len(text) - start > most:
        end = _cut(text, start, start + most)
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _cut(text: str, start: int, end: int) -> int:
    """The last good place in the second half of what may be taken; else its end."""
    for pattern in _CUTS:
        found = [match.end() for match in pattern.finditer(text, start, end)]
        if found and found[-1] > start + (end - start) // 2:
            return found[-1]
    return _whole(text, start, end)


def _whole(text: str, start: int, end: int) -> int:
    """`end`, or a little before it: a base character keeps the marks that follow it."""
    import unicodedata

    at = end
    while (
        at > start + 1
        and at > end - 8
        and (unicodedata.combining(text[at]) or text[at] == "\u200d")
    ):
        at -= 1
    return at if at > start + 1 else end
