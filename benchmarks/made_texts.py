"""Made transcripts with planted near-copies, by the million: words of a Zipf vocabulary, in Arrow.

A copy is an earlier text with some words replaced, so its Jaccard similarity spreads around the
thresholds that one would set. The same arguments always make the same texts.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

VOCABULARY = 50_000
LEAST_WORDS, MOST_WORDS = 20, 100
COPIES = 0.1  # of the texts
AT_ONCE = 50_000


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    texts: pa.ChunkedArray
    of: npt.NDArray[np.int64]  # for each text the one that it is a copy of; -1: of none


def vocabulary(rng: np.random.Generator) -> pa.Array:
    lengths = rng.integers(2, 11, VOCABULARY)
    letters = rng.integers(97, 123, (VOCABULARY, 10)).astype(np.uint8)
    return pa.array([bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)])


def made_texts(count: int, seed: int = 0) -> Made:
    rng = np.random.default_rng(seed)
    words = vocabulary(rng)
    weight = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    weight /= weight[-1]
    chunks: list[pa.Array] = []
    of = np.full(count, -1, np.int64)
    for first in range(0, count, AT_ONCE):
        size = min(AT_ONCE, count - first)
        lengths = rng.integers(LEAST_WORDS, MOST_WORDS + 1, size)
        ids = np.searchsorted(weight, rng.random((size, MOST_WORDS))).astype(np.int32)
        # Copies are of texts of the same chunk, which is then shuffled by nobody: order is random.
        copied = np.flatnonzero(rng.random(size) < COPIES)
        copied = copied[copied > 0]
        origin = (rng.random(len(copied)) * copied).astype(np.int64)
        for one, source in zip(copied.tolist(), origin.tolist(), strict=True):
            ids[one], lengths[one] = ids[source], lengths[source]
            places = rng.integers(0, lengths[one], rng.integers(0, 5))
            ids[one, places] = rng.integers(0, VOCABULARY, len(places))
        of[first + copied] = first + origin
        keep = np.arange(MOST_WORDS)[None, :] < lengths[:, None]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), words.take(pa.array(ids[keep])))
        chunks.append(pc.binary_join(lists, " "))
    return Made(pa.chunked_array(chunks), of)


def similarity(one: str, other: str, size: int) -> float:
    """The Jaccard similarity of two texts' word shingles, plainly."""
    a, b = (shingles(text, size) for text in (one, other))
    return len(a & b) / len(a | b)


def shingles(text: str, size: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + size]) for at in range(max(1, len(words) - size + 1))}
