"""How much of a text is the same words over and over, beyond what people say.

A recognizer that is stuck repeats a phrase until it runs out of tokens. People repeat, too: "no,
no, no", a refrain, "left, right, left, right". So a loop is an n-gram repeated back to back *more
often than people do*, and only the repeats beyond that count. Trade-off: a chant with more repeats
than `free_repeats` reads as a loop, and a recognizer that is stuck for fewer does not; the
compression ratio of `text_rate` tells the two apart less well (`benchmarks/guard.py`).

`repeated_share` sees loops that vary a little, which never repeat back to back: the share of the
text's n-grams that stood in it before.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, Scores
from transforms.measure.wording import words_of
from transforms.step import Measure, Scope


class Repetition(Measure):
    """Share of a text inside loops, its longest run of repeats, and the share of it said before."""

    columns: ClassVar[dict[str, type]] = {
        "loop_share": float,
        "longest_run": int,
        "repeated_share": float,
    }
    needs_audio: ClassVar[bool] = False

    max_ngram: int = pydantic.Field(
        24, ge=1, le=100, description="Longest phrase whose repeats are looked for (words; ours)"
    )
    free_repeats: int = pydantic.Field(
        4,
        ge=1,
        description="Repeats of a phrase in a row that are not counted (times; a refrain, ours)",
    )
    free_word_repeats: int = pydantic.Field(
        8,
        ge=1,
        description="Repeats of a single word in a row that are not counted (times; 'no no no', "
        "laughter; ours)",
    )
    ngram: int = pydantic.Field(
        4, ge=1, description="Length of the n-grams of repeated_share (words; ours)"
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            words = words_of(clip.text)
            share, longest = self.loops(words)
            yield Scores(id=clip.id, values=(share, longest, repeated_share(words, self.ngram)))

    def loops(self, words: Sequence[str]) -> tuple[float | None, int]:
        """The share of words that are repeats beyond the free ones, and the longest run (times).

        A text without words has no share, and 0 as its longest run. Each word counts once, in the
        shortest phrase that loops there.
        """
        if not words:
            return None, 0
        excess = bytearray(len(words))
        longest = 1
        # From short to long: a loop of "no" is one of "no no" as well, and has its own freedom.
        taken = bytearray(len(words))
        for size in range(1, min(self.max_ngram, len(words) // 2) + 1):
            free = self.free_word_repeats if size == 1 else self.free_repeats
            for start, times in _runs(words, size):
                end = start + times * size
                if all(taken[start:end]):
                    continue
                longest = max(longest, times)
                taken[start:end] = b"\1" * (end - start)
                first = start + free * size
                if first < end:
                    excess[first:end] = b"\1" * (end - first)
        return sum(excess) / len(words), longest


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[int, int]]:
    """Start and repeats (at least 2) of every maximal run of one phrase of `size` words."""
    at, last = 0, len(words) - size
    while at < last:
        equal = 0
        while at + equal < last and words[at + equal] == words[at + equal + size]:
            equal += 1
        if equal >= size:
            yield at, equal // size + 1
        at += equal + 1


def repeated_share(words: Sequence[str], size: int) -> float | None:
    """The share of n-grams of `size` words that stood in the text before; None: too short."""
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None
