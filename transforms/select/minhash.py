"""MinHash signatures of sets of shingles, cut into bands (Broder 1997; Leskovec et al., ch. 3).

Hash family: h_k(x) = (a_k x + b_k) mod 2^64, a_k odd, both drawn from SHA-256 of k, over shingles x
that went through the finalizer of MurmurHash3; the high bits decide the order, so the minimum is
that of Dietzfelbinger's multiply-shift. Two sets agree in one minimum with a probability near their
Jaccard similarity J, and in one band of r minima with J^r.

Candidates are verified with the true similarity, so bands may be generous: `choose` takes the
longest bands that still bring together `RECALL` of the pairs right at the threshold. Longer bands
mean fewer false candidates; precision does not depend on them.
"""

import functools

import numpy as np

from schemas.ids import digest_of
from transforms.select.shingles import I64, U64, Ragged, mixed

RECALL = 0.975  # of pairs whose similarity is the threshold itself; above it, more
_ROWS_AT_ONCE = 2048  # about a megabyte of hashes for short texts: they stay in the cache


def reached(threshold: float, bands: int, rows: int) -> float:
    """The probability that a pair of this similarity agrees in at least one band."""
    return float(1.0 - (1.0 - threshold**rows) ** bands)


def choose(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows per band. Raises `ValueError` where so few permutations cannot do it."""
    for rows in range(permutations, 0, -1):
        if reached(threshold, permutations // rows, rows) >= RECALL:
            return permutations // rows, rows
    raise ValueError(
        f"{permutations} permutations bring together only "
        f"{reached(threshold, permutations, 1):.0%} of pairs of similarity {threshold:g}; raise "
        "`permutations` or `similarity`"
    )


@functools.cache
def _family(count: int) -> tuple[tuple[np.uint64, np.uint64], ...]:
    digests = [int(digest_of("minhash", number), 16) for number in range(count)]
    return tuple((np.uint64((d >> 64) | 1), np.uint64(d & ((1 << 64) - 1))) for d in digests)


def signatures(sets: Ragged, permutations: int) -> U64:
    """Minima, shape [rows, permutations]. Rows must not be empty."""
    count = len(sets.offsets) - 1
    found = np.empty((permutations, count), np.uint64)
    for first in range(0, count, _ROWS_AT_ONCE):
        last = min(first + _ROWS_AT_ONCE, count)
        low, high = sets.offsets[first], sets.offsets[last]
        hashes = mixed(sets.values[low:high].astype(np.uint64))
        starts = sets.offsets[first:last] - low
        room = np.empty_like(hashes)
        for number, (factor, shift) in enumerate(_family(permutations)):
            np.multiply(hashes, factor, out=room)
            np.add(room, shift, out=room)
            np.minimum.reduceat(room, starts, out=found[number, first:last])
    return found.T


def band_keys(minima: U64, bands: int, rows: int) -> tuple[U64, I64]:
    """One key per row and band, and the row that each is of; shapes [rows * bands]."""
    count = len(minima)
    keys = np.empty((bands, count), np.uint64)
    for band in range(bands):
        found = np.full(count, band + 1, np.uint64)
        for place in range(band * rows, (band + 1) * rows):
            found = mixed(found * np.uint64(0x9E3779B97F4A7C15) + minima[:, place])
        keys[band] = found
    return keys.ravel(), np.tile(np.arange(count, dtype=np.int64), bands)
