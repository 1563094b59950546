"""Near-duplicate texts: MinHash candidates, verified by the Jaccard similarity of their shingles.

Within a bucket every row is paired with the first one only (a star), so a bucket of a million
copies costs a million pairs. A row that turns out not to be like the first (a false candidate) is
paired anew with the first of those that failed; the price is that after `again` such rounds what
still fails is let go, which matters only where several clusters meet in all of their bands.
"""

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa

from transforms.select import minhash
from transforms.select.matching import (
    BOTH,
    Entries,
    Failed,
    Features,
    Links,
    Matcher,
    Pairs,
    Sketch,
    packed_pairs,
)
from transforms.select.shingles import I64, Ragged, characters, distinct, shingles, words

_TEXTS_AT_ONCE = 8192
_PAIRS_AT_ONCE = 16384


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextMatcher(Matcher):
    """Texts whose sets of shingles have a Jaccard similarity of at least `threshold`."""

    reason: ClassVar[str] = "near_text"
    again: ClassVar[int] = 4

    threshold: float
    unit: str  # "words" or "characters"
    size: int
    permutations: int
    min_words: int

    def sketch(self, rows: pa.Table, numbers: I64) -> Sketch:
        bands, per_band = minhash.choose(self.threshold, self.permutations)
        parts = []
        texts = rows["text"].combine_chunks()
        for first in range(0, max(1, len(texts)), _TEXTS_AT_ONCE):
            found = self._sketch(texts.slice(first, _TEXTS_AT_ONCE), bands, per_band)
            parts.append((numbers[first : first + _TEXTS_AT_ONCE], found))
        kept = np.concatenate([of[at] for of, (at, _, _, _) in parts])
        keys = np.concatenate([key for _, (_, _, key, _) in parts])
        owners = np.concatenate([of[at][row] for of, (at, _, _, row) in parts])
        entries = Entries(keys, owners, np.zeros(len(keys), np.int32))
        return Sketch(kept, joined([sets for _, (_, sets, _, _) in parts]), entries)

    def _sketch(
        self, texts: pa.Array, bands: int, per_band: int
    ) -> tuple[I64, Ragged, np.typing.NDArray[np.uint64], I64]:
        texts = pa.array(texts.fill_null("")) if texts.null_count else texts
        spoken = words(texts)
        at = np.flatnonzero(spoken.lengths >= self.min_words).astype(np.int64)
        units = spoken if self.unit == "words" else characters(texts)
        sets = distinct(shingles(units.take(at), self.size))
        if not len(at):
            return at, sets, np.empty(0, np.uint64), at
        minima = minhash.signatures(sets, bands * per_band)
        keys, row = minhash.band_keys(minima, bands, per_band)
        return at, sets, keys, row

    def pairs(self, entries: Entries) -> Pairs:
        hub, at_hand = _hubs(entries)
        other = hub != at_hand.row
        nowhere = np.zeros(int(other.sum()), np.int32)
        return Pairs(hub[other], at_hand.row[other], nowhere, nowhere)

    def left(self, entries: Entries, failed: Failed) -> Entries:
        hub, at_hand = _hubs(entries)
        return at_hand.where(np.isin(packed_pairs(hub, at_hand.row), failed))

    def verify(self, pairs: Pairs, features: Features) -> Links:
        order = np.lexsort((pairs.high, pairs.low))
        low, high = pairs.low[order], pairs.high[order]
        if len(low):
            first = np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))
            low, high = low[first], high[first]
        scores = np.empty(len(low), np.float64)
        for start in range(0, len(low), _PAIRS_AT_ONCE):
            some = slice(start, start + _PAIRS_AT_ONCE)
            scores[some] = jaccard(features(low[some]), features(high[some]))
        near = scores >= self.threshold
        return Links(
            low[near],
            high[near],
            scores[near].astype(np.float32),
            np.full(int(near.sum()), BOTH, np.int8),
        )


def _hubs(entries: Entries) -> tuple[I64, Entries]:
    """Entries by key and row, and for each the first row of its key."""
    order = np.lexsort((entries.row, entries.key))
    at_hand = Entries(entries.key[order], entries.row[order], entries.at[order])
    key, row = at_hand.key, at_hand.row
    if not len(key):
        return row, at_hand
    first = np.append(True, key[1:] != key[:-1])
    return row[np.maximum.accumulate(np.where(first, np.arange(len(row)), 0))], at_hand


def joined(parts: list[Ragged]) -> Ragged:
    """Rows of several ragged arrays, one after the other."""
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Ragged(np.concatenate([part.values for part in parts]), offsets)


def jaccard(one: Ragged, other: Ragged) -> np.typing.NDArray[np.float64]:
    """|A & B| / |A | B| of sets of 32-bit values, row by row; no row is empty on both sides."""
    count = len(one.offsets) - 1
    packed = np.concatenate([_owned(one), _owned(other)])
    packed.sort()
    twice = packed[1:][packed[1:] == packed[:-1]]
    shared = np.bincount((twice >> np.uint64(32)).astype(np.int64), minlength=count)
    share: np.typing.NDArray[np.float64] = shared / np.maximum(
        one.lengths + other.lengths - shared, 1
    )
    return share


def _owned(rows: Ragged) -> np.typing.NDArray[np.uint64]:
    owner = np.repeat(np.arange(len(rows.offsets) - 1, dtype=np.uint64), rows.lengths)
    return (owner << np.uint64(32)) | rows.values.astype(np.uint64)
