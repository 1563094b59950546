"""What a near-duplicate kind is to whoever runs it: sketches by block, candidates by key, verdicts.

A `Matcher` turns a block of rows into a `Sketch` (features that similarity is computed from, and
keys by which similar rows meet), proposes pairs from all entries of some keys, and verifies pairs.
Where entries wait meanwhile is the runner's business (`near_here` in memory, the pipeline in OUT).
Rows are known by their number, the place in the set ordered by task and index: an order of the set
alone, however it is cut into blocks.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.select.shingles import I64, U64, Ragged

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]

BOTH, LOW_INSIDE, HIGH_INSIDE = 0, 1, 2  # what of a pair is contained in the other


@dataclasses.dataclass(frozen=True, slots=True)
class Entries:
    """Rows under keys; shapes [n]. `at` is a place inside the row (audio: a frame; text: 0)."""

    key: U64
    row: I64
    at: I32

    def __len__(self) -> int:
        return len(self.key)

    def where(self, flags: npt.NDArray[np.bool_]) -> "Entries":
        return Entries(self.key[flags], self.row[flags], self.at[flags])


@dataclasses.dataclass(frozen=True, slots=True)
class Sketch:
    """A block of rows: features of each row that has any, and its entries."""

    rows: I64  # numbers of the rows that have features, ascending
    features: Ragged  # one per element of `rows`
    entries: Entries


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """Candidates, the smaller number first, and the places in both at which they met."""

    low: I64
    high: I64
    low_at: I32
    high_at: I32

    def __len__(self) -> int:
        return len(self.low)


@dataclasses.dataclass(frozen=True, slots=True)
class Links:
    """Verified pairs: how similar (0..1), and which side is contained in the other."""

    low: I64
    high: I64
    score: F32
    inside: npt.NDArray[np.int8]  # BOTH, LOW_INSIDE, HIGH_INSIDE

    def __len__(self) -> int:
        return len(self.low)


Features = Callable[[I64], Ragged]  # the features of some rows, by their numbers
Failed = npt.NDArray[np.uint64]  # pairs that failed (`packed_pairs`), ascending


class Matcher(abc.ABC):
    """One kind of near-duplicates."""

    reason: ClassVar[str]
    again: ClassVar[int] = 1  # how often rows whose pair failed are paired anew within their keys

    threshold: float

    @abc.abstractmethod
    def sketch(self, rows: pa.Table, numbers: I64) -> Sketch:
        """The sketch of a block whose rows have these numbers."""

    @abc.abstractmethod
    def pairs(self, entries: Entries) -> Pairs:
        """Candidates among entries that are all those of their keys; linear in their number."""

    @abc.abstractmethod
    def verify(self, pairs: Pairs, features: Features) -> Links:
        """Those of the pairs that are near-duplicates; all candidates of a pair are among them."""

    def left(self, entries: Entries, failed: Failed) -> Entries:
        """The entries that are paired anew, because their pair was none."""
        return entries.where(np.zeros(len(entries), np.bool_))


def failed_pairs(pairs: Pairs, links: Links) -> Failed:
    """The candidates that are no links, once each, packed and ascending."""
    return np.setdiff1d(packed_pairs(pairs.low, pairs.high), packed_pairs(links.low, links.high))


def packed_pairs(low: I64, high: I64) -> U64:
    """A pair of row numbers (below 2^32) as one number."""
    return (low.astype(np.uint64) << np.uint64(32)) | high.astype(np.uint64)
