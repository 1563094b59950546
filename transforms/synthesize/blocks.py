"""A long text in blocks that a generator can take: whole paragraphs, else sentences, else words.

Joined again in their order, with what stood between them, the blocks are the text: nothing is lost
and nothing doubled.
"""

import re
from collections.abc import Iterator

_PARAGRAPH = re.compile(r"(\n\s*\n)")
_SENTENCE = re.compile(r"((?<=[.!?\u2026\u3002\uff01\uff1f])\s+)")
_WORD = re.compile(r"(\s+)")


def blocks(text: str, most: int) -> list[tuple[str, str]]:
    """Blocks of at most `most` characters, each with what stands between it and the next."""
    return list(_packed(_parts(text, most, (_PARAGRAPH, _SENTENCE, _WORD)), most))


def _parts(text: str, most: int, cuts: tuple[re.Pattern[str], ...]) -> Iterator[tuple[str, str]]:
    """Pieces that fit, as coarse as can be, each with what follows it."""
    if len(text) <= most:
        yield text, ""
    elif not cuts:  # one word longer than a block
        for start in range(0, len(text), most):
            yield text[start : start + most], ""
    else:
        found = cuts[0].split(text)
        for piece, gap in zip(found[::2], [*found[1::2], ""], strict=True):
            inner = list(_parts(piece, most, cuts[1:]))
            yield from inner[:-1]
            yield inner[-1][0], gap


def _packed(parts: Iterator[tuple[str, str]], most: int) -> Iterator[tuple[str, str]]:
    """Neighbours that fit together, together."""
    held, after = next(parts)
    for piece, gap in parts:
        if len(held) + len(after) + len(piece) <= most:
            held, after = held + after + piece, gap
        else:
            yield held, after
            held, after = piece, gap
    yield held, after
