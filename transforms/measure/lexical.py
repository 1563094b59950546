"""How rich the words of a text are: types over tokens, freed of the text's length.

Longer text repeats more words, so the plain ratio falls with length and compares nothing. MATTR is
its mean over all windows of a fixed length (Covington and McFall 2010); MTLD the mean length of
stretches that keep the ratio above 0.72, read forwards and backwards (McCarthy and Jarvis 2010).
Texts shorter than the window have neither. Each character of Han and kana is a word.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, Scores
from transforms.measure.wording import words_of
from transforms.step import Measure, Scope

_FACTOR = 0.72  # McCarthy and Jarvis 2010, section 2


class Lexical(Measure):
    """Lexical diversity of a text: distinct words, MATTR, MTLD, entropy of its words."""

    columns: ClassVar[dict[str, type]] = {
        "distinct_share": float,
        "mattr": float,
        "mtld": float,
        "entropy": float,
    }
    needs_audio: ClassVar[bool] = False

    window: int = pydantic.Field(
        25, ge=2, description="Words of a window, and fewest words judged (words; a clip's length)"
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            words = words_of(clip.text)
            long = len(words) >= self.window
            yield Scores(
                id=clip.id,
                values=(
                    len(set(words)) / len(words) if words else None,
                    mattr(words, self.window) if long else None,
                    mtld(words) if long else None,
                    entropy(words) if words else None,
                ),
            )


def mattr(words: Sequence[str], window: int) -> float:
    """Mean share of distinct words over all windows (0..1); at least `window` words."""
    inside = Counter(words[:window])
    total = distinct = len(inside)
    for old, new in zip(words, words[window:], strict=False):
        inside[new] += 1
        distinct += inside[new] == 1
        inside[old] -= 1
        distinct -= inside[old] == 0
        total += distinct
    return total / (window * (len(words) - window + 1))


def mtld(words: Sequence[str]) -> float:
    """Mean words of a stretch whose share of distinct words stays above 0.72, both ways."""
    return (_stretch(words) + _stretch(words[::-1])) / 2


def _stretch(words: Sequence[str]) -> float:
    factors, seen, length = 0.0, set[str](), 0
    for word in words:
        seen.add(word)
        length += 1
        if len(seen) / length <= _FACTOR:
            factors, seen, length = factors + 1, set(), 0
    if length:
        factors += (1 - len(seen) / length) / (1 - _FACTOR)
    return len(words) / factors if factors else float(len(words))


def entropy(words: Sequence[str]) -> float:
    """Bits per word of the text's own distribution of words."""
    total = len(words)
    return abs(math.fsum(-n / total * math.log2(n / total) for n in Counter(words).values()))
