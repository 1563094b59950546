"""Near-duplicate sound: clips whose fingerprints agree over most of one of them.

Rows meet under the keys of their landmarks. Each is paired with the next few rows of its key, not
with all (a jingle that a million clips hold costs some million pairs, and the chain still holds it
together). A pair is looked at where two landmarks or more agree on where one lies in the other, at
one of five speeds; then the words of both are laid side by side there and counted where they
differ (Haitsma and Kalker's bit error rate: half of the bits for sounds that have nothing to do
with each other, up to a quarter for noisy copies).

Where either clip is quiet and they do not agree, that is no evidence: noise came with a copy.

What counts is the share of each clip that is heard in the other: a copy covers both, a jingle is
inside a longer one. Trade-off: of a pair only its best alignment counts, so a clip that holds two
pieces of another, in another order, is covered by the larger one.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.engines.print_code import (
    BITS,
    FRAME_SECONDS,
    QUIET,
    WORD_FRAMES,
    Print,
    from_codes,
)
from transforms.select.matching import (
    BOTH,
    HIGH_INSIDE,
    LOW_INSIDE,
    Entries,
    Features,
    Links,
    Matcher,
    Pairs,
    Sketch,
)
from transforms.select.shingles import I64, Ragged, ends, mixed

COLUMNS = ("fingerprint.code",)

_NEXT = 3  # rows of the same key that each is paired with
_SPEEDS = np.array([1.0, 0.98, 0.99, 1.01, 1.02])
_VOTES = 2
_NEAR = 3  # frames (of 32 ms) by which votes for one alignment may differ
_SHIFTS = (-1, 0, 1)  # words around the voted alignment
_SMOOTH = 16  # words (1 s) over which errors are averaged
_ERRORS = 0.34  # of the bits, on average over a second: heard in the other
_LEAST_SECONDS = 1.5  # of agreement; shorter ones happen by chance
_PAIRS_AT_ONCE = 4096

F64 = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Shared:
    """What two clips have in common; shapes [pairs], rows by number, the smaller first."""

    low: I64
    high: I64
    of_low: F64  # share of low that is heard in high
    of_high: F64
    seconds: F64  # of agreement
    low_start: F64  # seconds from the start of the clip at which the agreement begins
    high_start: F64


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioMatcher(Matcher):
    """Clips of which at least `threshold` is heard in the other, or the other in them."""

    reason: ClassVar[str] = "near_audio"

    threshold: float

    def sketch(self, rows: pa.Table, numbers: I64) -> Sketch:
        codes = rows[COLUMNS[0]].combine_chunks()
        at = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
        return sketch_prints(from_codes(codes.drop_null().to_pylist()), numbers[at])

    def pairs(self, entries: Entries) -> Pairs:
        order = np.lexsort((entries.at, entries.row, entries.key))
        key, row, at = entries.key[order], entries.row[order], entries.at[order]
        found = []
        for step in range(1, _NEXT + 1):
            one, other = slice(None, -step or None), slice(step, None)
            meet = (key[one] == key[other]) & (row[one] != row[other])
            found.append((row[one][meet], row[other][meet], at[one][meet], at[other][meet]))
        low, high, low_at, high_at = (np.concatenate(c) for c in zip(*found, strict=True))
        return Pairs(low, high, low_at, high_at)

    def verify(self, pairs: Pairs, features: Features) -> Links:
        shared = common(pairs, features)
        low_in, high_in = shared.of_low >= self.threshold, shared.of_high >= self.threshold
        inside = np.where(low_in & high_in, BOTH, np.where(low_in, LOW_INSIDE, HIGH_INSIDE))
        near = low_in | high_in
        score = np.maximum(shared.of_low, shared.of_high)
        return Links(
            shared.low[near],
            shared.high[near],
            score[near].astype(np.float32),
            inside[near].astype(np.int8),
        )


def sketch_prints(prints: Sequence[Print], rows: I64) -> Sketch:
    """Fingerprints as a sketch; `rows` are their numbers."""
    lengths = np.fromiter((len(p.words) for p in prints), np.int64, len(prints))
    words = np.concatenate([p.words for p in prints]) if prints else np.empty(0, np.uint16)
    marks = np.fromiter((len(p.keys) for p in prints), np.int64, len(prints))
    none = np.empty(0, np.uint32)
    keys = np.concatenate([none, *(p.keys for p in prints)]).astype(np.uint64)
    weak = np.concatenate([none, *(p.weak for p in prints)]).astype(np.uint64)
    at = np.concatenate([none, *(p.frames for p in prints)]).astype(np.int32)
    row = np.repeat(rows, marks)
    both = np.concatenate([keys, keys ^ (np.uint64(1) << weak)])
    entries = Entries(mixed(both), np.tile(row, 2), np.tile(at, 2))
    return Sketch(rows, Ragged(words, ends(lengths)), entries)


def common(pairs: Pairs, features: Features) -> Shared:
    """What the rows of each candidate pair have in common, where they have anything."""
    parts = [_aligned(low, high, first, features) for low, high, first in _voted(pairs)]
    fields = [field.name for field in dataclasses.fields(Shared)]
    if not parts:
        none, nought = np.empty(0, np.int64), np.empty(0, np.float64)
        return Shared(none, none, nought, nought, nought, nought, nought)
    return Shared(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in fields})


def _voted(pairs: Pairs) -> list[tuple[I64, I64, F64]]:
    """Pairs on whose alignment landmarks agree: low, high, and by speed (shape [speeds, pairs])
    the frame of high at which low would begin; nan where too few agree."""
    order = np.lexsort((pairs.high_at, pairs.low_at, pairs.high, pairs.low))
    low, high = pairs.low[order], pairs.high[order]
    at, other = pairs.low_at[order].astype(np.float64), pairs.high_at[order].astype(np.float64)
    if not len(low):
        return []
    new = np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))
    # The same landmark under both of its keys is one vote.
    once = new | np.append(True, (at[1:] != at[:-1]) | (other[1:] != other[:-1]))
    low, high, at, other = low[once], high[once], at[once], other[once]
    pair = np.cumsum(new)[once] - 1
    many = np.bincount(pair)[pair] >= _VOTES
    low, high, at, other, pair = low[many], high[many], at[many], other[many], pair[many]
    if not len(low):
        return []
    first = np.append(True, pair[1:] != pair[:-1])
    number = np.cumsum(first) - 1
    begins = np.full((len(_SPEEDS), int(number[-1]) + 1), np.nan)
    for speed, factor in enumerate(_SPEEDS):
        _mode(number, other - at / factor, begins[speed])
    agreed = ~np.isnan(begins).all(axis=0)
    low, high, begins = low[first][agreed], high[first][agreed], begins[:, agreed]
    return [
        (
            low[i : i + _PAIRS_AT_ONCE],
            high[i : i + _PAIRS_AT_ONCE],
            begins[:, i : i + _PAIRS_AT_ONCE],
        )
        for i in range(0, len(low), _PAIRS_AT_ONCE)
    ]


def _mode(pair: I64, begin: F64, into: F64) -> None:
    """For each pair the middle of the fullest window of `_NEAR` frames with at least `_VOTES`."""
    spread = pair * 4e6 + begin  # far more frames than a clip has: windows stay in their pair
    order = np.argsort(spread, kind="stable")
    spread, pair, begin = spread[order], pair[order], begin[order]
    last = np.searchsorted(spread, spread + _NEAR, side="right")
    votes = last - np.arange(len(spread))
    best = np.lexsort((np.arange(len(spread)), -votes, pair))
    best = best[np.append(True, pair[best][1:] != pair[best][:-1])]
    best = best[votes[best] >= _VOTES]
    into[pair[best]] = begin[(best + last[best] - 1) // 2]


def _aligned(low: I64, high: I64, begins: F64, features: Features) -> Shared:
    """The words of each pair side by side, at the speed and shift that leave the most agreeing."""
    one, other = features(low), features(high)
    count = len(low)
    best = np.zeros(count, np.int64)
    unsure = np.zeros(count, np.int64)
    start = np.zeros((2, count))
    for speed, factor in enumerate(_SPEEDS):
        for shift in _SHIFTS:
            begin = begins[speed] / WORD_FRAMES + shift
            agree, blank, at_one, at_other = _agreement(one, other, begin, factor)
            better = agree > best
            best = np.where(better, agree, best)
            unsure = np.where(better, blank, unsure)
            start[0] = np.where(better, at_one, start[0])
            start[1] = np.where(better, at_other, start[1])
    word = FRAME_SECONDS * WORD_FRAMES
    seconds = best.astype(np.float64) * word
    good = seconds >= _LEAST_SECONDS
    return Shared(
        low[good],
        high[good],
        np.minimum(1.0, best / np.maximum(one.lengths - unsure, 1))[good],
        np.minimum(1.0, best / np.maximum(other.lengths - unsure, 1))[good],
        seconds[good],
        start[0][good] * word,
        start[1][good] * word,
    )


def _agreement(one: Ragged, other: Ragged, begin: F64, factor: float) -> tuple[I64, I64, F64, F64]:
    """How many words of each row agree with the other row laid beside it, how many are no evidence,
    and where the agreement begins in both."""
    count = len(begin)
    owner = np.repeat(np.arange(count), one.lengths)
    place = np.arange(len(one.values)) - np.repeat(one.offsets[:-1], one.lengths)
    known = np.where(np.isnan(begin), np.inf, begin)
    target = np.rint(place / factor + known[owner])
    fits = (target >= 0) & (target < other.lengths[owner])
    owner, place, target = owner[fits], place[fits], target[fits].astype(np.int64)
    if not len(owner):
        nought = np.zeros(count, np.int64)
        return nought, nought, np.zeros(count), np.zeros(count)
    mine = one.values[one.offsets[owner] + place].astype(np.uint16)
    theirs = other.values[other.offsets[owner] + target].astype(np.uint16)
    quiet = ((mine | theirs) & QUIET) != 0
    differ = np.bitwise_count((mine ^ theirs) & np.uint16(QUIET - 1)).astype(np.float64)
    offsets = ends(np.bincount(owner, minlength=count).astype(np.int64))
    everywhere = _around(differ, offsets, owner)
    words = _around(np.ones(len(differ)), offsets, owner)
    aloud = _around(np.where(quiet, 0.0, differ), offsets, owner)
    loud_words = _around((~quiet).astype(np.float64), offsets, owner)
    heard = everywhere <= _ERRORS * BITS * words
    heard |= ~quiet & (aloud <= _ERRORS * BITS * loud_words)
    blank = quiet & ~heard
    agree = np.bincount(owner[heard], minlength=count)
    unsure = np.bincount(owner[blank], minlength=count)
    first_at, first_other = np.zeros(count), np.zeros(count)
    back = np.flatnonzero(heard)[::-1]  # assigned backwards, the first one stays
    first_at[owner[back]] = place[back]
    first_other[owner[back]] = target[back]
    return agree.astype(np.int64), unsure.astype(np.int64), first_at, first_other


def _around(values: F64, offsets: I64, owner: npt.NDArray[np.int64]) -> F64:
    """The sum of each row's values over `_SMOOTH` around each, cut at the row's ends."""
    total = np.concatenate([np.zeros(1), np.cumsum(values)])
    at = np.arange(len(values))
    first = np.maximum(at - _SMOOTH // 2, offsets[owner])
    last = np.minimum(at + _SMOOTH // 2, offsets[owner + 1])
    sums: F64 = total[last] - total[first]
    return sums


def copies(prints: Sequence[Print], others: Sequence[Print]) -> Shared:
    """What of `prints` is heard in `others`: rows of `low` count the former, of `high` the latter.

    For sets that fit in memory, such as the questions of an evaluation set beside a block of clips.
    """
    count = len(prints)
    sketch = sketch_prints([*prints, *others], np.arange(count + len(others), dtype=np.int64))
    pairs = _across(sketch.entries, count)
    shared = common(pairs, sketch.features.take)
    return dataclasses.replace(shared, high=shared.high - count)


def _across(entries: Entries, count: int) -> Pairs:
    """Every meeting of one of the first `count` rows with one of the others."""
    mine = entries.row < count
    order = np.lexsort((entries.row[~mine], entries.key[~mine]))
    key, row, at = (c[~mine][order] for c in (entries.key, entries.row, entries.at))
    asked, asking, asked_at = (c[mine] for c in (entries.key, entries.row, entries.at))
    first, last = np.searchsorted(key, asked, "left"), np.searchsorted(key, asked, "right")
    lengths = (last - first).astype(np.int64)
    place = np.arange(int(lengths.sum())) - np.repeat(ends(lengths)[:-1], lengths)
    met = np.repeat(first, lengths) + place
    return Pairs(np.repeat(asking, lengths), row[met], np.repeat(asked_at, lengths), at[met])
