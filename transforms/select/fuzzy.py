"""Evaluation texts inside transcripts that a recognizer got partly wrong.

Evaluation texts are cut into pieces of some words. Pairs of words (neighbours, and with one word
between) are looked up like n-grams; where several of one piece lie on one diagonal (the same
distance between their places in the piece and in the row), the stretch there is laid beside the
piece, letter by letter without spaces, and what counts is the similarity of the best part of it:
1 - insertions and deletions / letters of both, as `rapidfuzz` computes it. Letters, since
recognizers write what sounds alike ("their" for "there") and split words. Of a question with other
words in it (the same template, another filling) much is alike, too, but what is not is whole words:
so words without likeness may make up but a small share of a piece.

Trade-off: pairs that very many pieces hold are no sign of anything and are not looked up; a piece
in which hardly two words in a row are right is not found, and a paraphrase mostly is not either.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from transforms.select.overlap import Postings, Runs
from transforms.select.shingles import I64, U64, Ragged, mixed, plain, words

_STRIDE = 4  # words between the starts of pieces
_COMMON = 64  # pieces that may share a pair of words
_BAND = 6  # words by which pairs on one diagonal may be apart
_SEEDS = 3  # pairs that must lie on it
_AROUND = 3  # words looked at before and behind
_LIKE = 0.66  # of a word's letters: less is another word, not one heard wrongly
_PAST = 64  # words by which a piece may begin before its stretch: no piece is longer
_HITS_AT_ONCE = 1 << 15


@dataclasses.dataclass(frozen=True, slots=True)
class Likeness:
    """A piece of an evaluation text in a stretch: words [at, at + length) of all stretches."""

    text: int
    at: int
    length: int
    score: float


class Fuzzy:
    """Pieces of evaluation texts of `size` words (texts of `least` to `size` words whole)."""

    def __init__(self, texts: Sequence[str], threshold: float, lost: float, least: int, size: int):
        self.threshold, self._most_lost = threshold, lost
        self.pieces: list[str] = []
        self._words: list[I64] = []  # of each piece: the word that each letter is of
        owner: list[int] = []
        lengths: list[int] = []
        for number, text in enumerate(texts):
            spelled = plain(text).split()
            if len(spelled) < least:
                continue
            last = max(0, len(spelled) - size)
            for start in sorted({*range(0, last, _STRIDE), last}):
                piece = spelled[start : start + size]
                self.pieces.append("".join(piece))
                self._words.append(np.repeat(np.arange(len(piece)), [len(w) for w in piece]))
                owner.append(number)
                lengths.append(len(piece))
        self.owner = np.array(owner, np.int64)
        self.lengths = np.array(lengths, np.int64)
        self._size = size
        spans = [" ".join(plain(t).split()) for t in texts]
        self.postings = self._seeds(spans, least)

    def _seeds(self, spans: Sequence[str], least: int) -> Postings:
        known = words(pa.array(spans, pa.string()))
        starts, piece_of = [], []
        number = 0
        for text, count in enumerate(known.lengths):
            if count < least:
                continue
            last = max(0, int(count) - self._size)
            for start in sorted({*range(0, last, _STRIDE), last}):
                starts.append(int(known.offsets[text]) + start)
                piece_of.append(number)
                number += 1
        offsets = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(self.lengths, out=offsets[1:])
        at = np.repeat(np.array(starts, np.int64) - offsets[:-1], self.lengths)
        values = known.values[at + np.arange(int(offsets[-1]))] if starts else known.values[:0]
        hashes, piece, place = pairs(Ragged(values, offsets))
        found = Postings.of(hashes, piece, place - offsets[piece])
        rare = np.repeat(np.diff(found.offsets) <= _COMMON, np.diff(found.offsets))
        kept = np.repeat(found.keys, np.diff(found.offsets))[rare]
        return Postings.of(kept, found.text[rare], found.at[rare])

    def find(self, runs: Runs, spelled: Callable[[int, int], list[str]]) -> list[Likeness]:
        """Where pieces are found. `spelled(first, last)`: words [first, last) of the stretches."""
        from rapidfuzz import fuzz

        found = []
        for piece, at in self._candidates(runs):
            size = int(self.lengths[piece])
            stretch = int(np.searchsorted(runs.words.offsets, at, side="right")) - 1
            first = max(int(runs.words.offsets[stretch]), at - _AROUND)
            last = min(int(runs.words.offsets[stretch + 1]), at + size + _BAND + _AROUND)
            here = spelled(first, last)
            text, wanted = "".join(here), self.pieces[piece]
            if len(text) < self.threshold * len(wanted) / 2:
                continue  # too little to be much of it
            if len(text) <= len(wanted):
                score = fuzz.ratio(wanted, text) / 100
                start, end = 0, len(text)
            else:
                best = fuzz.partial_ratio_alignment(wanted, text, score_cutoff=100 * self.threshold)
                if best is None:
                    continue
                score, start, end = best.score / 100, best.dest_start, best.dest_end
            if score >= self.threshold and self._lost(piece, text[start:end]) <= self._most_lost:
                ends = np.cumsum([len(word) for word in here])
                one = int(np.searchsorted(ends, start, side="right"))
                other = int(np.searchsorted(ends, end, side="left")) + 1
                length = max(1, min(other, len(here)) - one)
                found.append(Likeness(int(self.owner[piece]), first + one, length, round(score, 4)))
        return found

    def _lost(self, piece: int, text: str) -> float:
        """The share of a piece's letters in words of which hardly anything is in the text."""
        from rapidfuzz.distance import Indel

        words = self._words[piece]
        kept = np.zeros(len(words), np.bool_)
        for block in Indel.opcodes(self.pieces[piece], text):
            if block.tag == "equal":
                kept[block.src_start : block.src_end] = True
        sizes = np.bincount(words)
        unlike = np.bincount(words, weights=kept) < _LIKE * sizes
        return float(sizes[unlike].sum() / len(words))

    def _candidates(self, runs: Runs) -> list[tuple[int, int]]:
        """Pieces and the words at which they would begin, where enough pairs agree."""
        hashes, stretch, at = pairs(runs.words)
        hit, key = self.postings.find(hashes)
        # Counted from the start of the stretch, so that nothing depends on what is before it.
        inside = at - runs.words.offsets[stretch]
        groups: set[tuple[int, int, int]] = set()
        for first in range(0, len(hit), _HITS_AT_ONCE):
            last = first + _HITS_AT_ONCE  # and on to the end of the stretch
            while last < len(hit) and stretch[hit[last]] == stretch[hit[last - 1]]:
                last += 1
            some = hit[first:last]
            groups |= self._agreeing(stretch[some], inside[some], key[first:last])
        best: dict[tuple[int, int, int], int] = {}
        for run, piece, begin in sorted(groups):
            best.setdefault((run, piece, begin // _BAND), begin)
        offsets = runs.words.offsets
        return [(piece, int(offsets[run]) + begin) for (run, piece, _), begin in best.items()]

    def _agreeing(self, stretch: I64, at: I64, key: I64) -> set[tuple[int, int, int]]:
        """(stretch, piece, word of the stretch at which the piece would begin)."""
        which, place = self.postings.places(key, len(self.postings.text))
        piece, inside = self.postings.text[place], self.postings.at[place]
        run, begin = stretch[which], at[which] - inside
        found: set[tuple[int, int, int]] = set()
        if not len(run):
            return found
        for shift in (0, _BAND // 2):
            band = (begin + shift + _PAST) // _BAND
            order = np.lexsort((inside, band, piece, run))
            a, b, c, d = run[order], piece[order], band[order], inside[order]
            new = np.append(True, (a[1:] != a[:-1]) | (b[1:] != b[:-1]) | (c[1:] != c[:-1]))
            once = new | np.append(True, d[1:] != d[:-1])
            counts = np.bincount(np.cumsum(new) - 1, weights=once)
            firsts = np.flatnonzero(new)
            need = np.minimum(_SEEDS, np.maximum(1, self.lengths[b[firsts]] - 2))
            for index in firsts[counts >= need]:
                first = max(0, int(c[index]) * _BAND - shift - _PAST)
                found.add((int(a[index]), int(b[index]), first))
        return found


def pairs(stretches: Ragged) -> tuple[U64, I64, I64]:
    """Hashes of words with the next, and with the one after it: stretch and first word of each."""
    values = stretches.values.astype(np.uint64)
    stretch = np.repeat(np.arange(len(stretches.offsets) - 1, dtype=np.int64), stretches.lengths)
    hashes, owners, places = [], [], []
    for gap in (1, 2):
        if len(values) > gap:
            at = np.flatnonzero(stretch[gap:] == stretch[:-gap]).astype(np.int64)
            left, right = values[at], values[at + gap]
            hashes.append(mixed(left * np.uint64(0x9E3779B97F4A7C15) + mixed(right + np.uint64(1))))
            owners.append(stretch[at])
            places.append(at)
    if not hashes:
        none = np.empty(0, np.int64)
        return np.empty(0, np.uint64), none, none
    owner, place = np.concatenate(owners), np.concatenate(places)
    order = np.argsort(place, kind="stable")
    return np.concatenate(hashes)[order], owner[order], place[order]
