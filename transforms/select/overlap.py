"""Runs of words that rows share with evaluation items: exact n-grams, hashed and looked up packed.

An overlap of any length from `least` to `most` words holds one of `least`, so only runs of `least`
words are looked up; the longest run is then found by comparing the words behind them. Texts are
spelled as near-duplicates are (case, punctuation and marks forgotten, one word per Han sign), in
64-bit hashes: of 10^9 looked-up runs against 10^6 of evaluation sets, fewer than one is expected to
be equal by chance.

Trade-off: a run that many items hold (a template) is followed to `_FOLLOWED` of them; the others
are flagged all the same, with `least` as the length of what they share.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.select.shingles import I64, U64, Ragged, ends, shingles, words

_FOLLOWED = 32
_PAIRS_AT_ONCE = 1 << 18
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Postings:
    """Which texts hold a hash, and where: like a dictionary from hash to places, but packed."""

    keys: U64  # [keys], ascending
    offsets: I64  # [keys + 1]
    text: I64  # [places]
    at: I64  # [places], words from the start of the text
    seen: Mask  # [2^k]: whether any key ends in these bits

    @staticmethod
    def of(hashes: U64, text: I64, at: I64) -> "Postings":
        order = np.lexsort((at, text, hashes))
        hashes, text, at = hashes[order], text[order], at[order]
        first = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])) if len(hashes) else text
        bits = max(12, len(first).bit_length() + 4)
        seen = np.zeros(1 << min(bits, 27), np.bool_)
        keys = hashes[first]
        seen[keys & np.uint64(len(seen) - 1)] = True
        return Postings(keys, np.append(first, len(hashes)).astype(np.int64), text, at, seen)

    def find(self, hashes: U64) -> tuple[I64, I64]:
        """Places in `hashes` that are known, and the number of the key of each."""
        maybe = np.flatnonzero(self.seen[hashes & np.uint64(len(self.seen) - 1)])
        if not len(maybe) or not len(self.keys):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        key = np.minimum(np.searchsorted(self.keys, hashes[maybe]), len(self.keys) - 1)
        same = self.keys[key] == hashes[maybe]
        return maybe[same], key[same].astype(np.int64)

    def counts(self, key: I64) -> I64:
        return self.offsets[key + 1] - self.offsets[key]

    def places(self, key: I64, most: int) -> tuple[I64, I64]:
        """For some keys their first `most` places: the number among `key`, and the place."""
        counts = np.minimum(self.counts(key), most)
        which = np.repeat(np.arange(len(key), dtype=np.int64), counts)
        inside = np.arange(int(counts.sum())) - np.repeat(ends(counts)[:-1], counts)
        return which, self.offsets[key][which] + inside


@dataclasses.dataclass(frozen=True, slots=True)
class Runs:
    """The words of rows, row after row, in stretches that are one text when they are read."""

    words: Ragged  # one row per stretch
    owner: I64  # [words]: the row that each word is of


@dataclasses.dataclass(frozen=True, slots=True)
class Shared:
    """What stretches and items share; shapes [pairs], in the order of `at`."""

    text: I64  # number of the evaluation text
    at: I64  # first word that is shared, in the words of all stretches
    length: I64  # words


def runs_of(rows: pa.Table) -> Runs:
    """Stretches of rows: consecutive clips of a task, as they will stand in a document.

    `rows` are in the order of task and index; a clip that is not there ends a stretch.
    """
    texts = rows["text"].combine_chunks().fill_null("")
    found = words(pa.array(texts) if isinstance(texts, pa.ChunkedArray) else texts)
    task = rows["task"].combine_chunks().dictionary_encode().indices.to_numpy()
    index = rows["index"].to_numpy()
    if len(task):
        new = np.append(True, (task[1:] != task[:-1]) | (index[1:] != index[:-1] + 1))
    else:
        new = np.empty(0, np.bool_)
    offsets = np.append(found.offsets[:-1][new], found.offsets[-1]).astype(np.int64)
    owner = np.repeat(np.arange(len(task), dtype=np.int64), found.lengths)
    return Runs(Ragged(found.values, offsets), owner)


def grams(stretches: Ragged, size: int) -> tuple[U64, I64, I64]:
    """Hashes of all runs of `size` words: each with its stretch and its first word."""
    long = np.flatnonzero(stretches.lengths >= size).astype(np.int64)
    found = shingles(stretches.take(long), size)
    stretch = np.repeat(long, found.lengths)
    inside = np.arange(len(found.values)) - np.repeat(found.offsets[:-1], found.lengths)
    return found.values.astype(np.uint64), stretch, stretches.offsets[stretch] + inside


class Grams:
    """The n-grams of evaluation texts."""

    def __init__(self, texts: Sequence[str], least: int, most: int):
        self.least, self.most = least, most
        self.words = words(pa.array(texts, pa.string()))
        hashes, text, at = grams(self.words, least)
        self.postings = Postings.of(hashes, text, at - self.words.offsets[text])
        self.short = self.words.lengths < least  # texts too short to be found

    def find(self, runs: Runs) -> tuple[Shared, Shared]:
        """What is shared by the texts that were followed; and by every text the first run."""
        hashes, stretch, at = grams(runs.words, self.least)
        hit, key = self.postings.find(hashes)
        if not len(hit):
            none = np.empty(0, np.int64)
            return Shared(none, none, none), Shared(none, none, none)
        parts = []
        keys, first_hit = np.unique(key, return_index=True)
        which, place = self.postings.places(keys, len(self.postings.text))
        text, where = self.postings.text[place], at[hit[first_hit]][which]
        order = np.lexsort((where, text))
        text, where = text[order], where[order]
        once = np.append(True, text[1:] != text[:-1])
        length = np.full(int(once.sum()), self.least, np.int64)
        every = Shared(text[once], where[once], length)
        for first in range(0, len(hit), _PAIRS_AT_ONCE // _FOLLOWED):
            some = slice(first, first + _PAIRS_AT_ONCE // _FOLLOWED)
            which, place = self.postings.places(key[some], _FOLLOWED)
            parts.append(self._followed(runs, stretch[hit[some]], at[hit[some]], which, place))
        fields = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Shared(*fields), every

    def _followed(
        self, runs: Runs, stretch: I64, at: I64, which: I64, place: I64
    ) -> tuple[I64, I64, I64]:
        text, inside = self.postings.text[place], self.postings.at[place]
        here, there = at[which], self.words.offsets[text] + inside
        last_here = runs.words.offsets[stretch[which] + 1]
        last_there = self.words.offsets[text + 1]
        length = np.full(len(which), self.least, np.int64)
        on = np.ones(len(which), np.bool_)
        for step in range(self.least, self.most):
            on &= (here + step < last_here) & (there + step < last_there)
            one = runs.words.values[np.minimum(here + step, len(runs.words.values) - 1)]
            other = self.words.values[np.minimum(there + step, len(self.words.values) - 1)]
            on &= one == other
            if not on.any():
                break
            length[on] = step + 1
        return text, here, length
