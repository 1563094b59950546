"""Columns that may be larger than memory: rows dealt into buckets, and columns that only grow.

Both are plain numpy arrays until they are large; then they lie in a temporary file that has no name
and ends with the process. Buckets are ranges of texts (ids, names of commits), so that sorting and
joining go bucket by bucket, in the order of the texts, with one bucket in memory: an external sort
by distribution. It rests on texts being digests: others are sorted right as well, but may all fall
into one bucket. The price is a copy of the rows on the local disk while they are sorted.
"""

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HELD_BYTES = 32 << 20  # of rows, or of a column, before they go to the disk
BUCKETS = 64

Texts: TypeAlias = npt.NDArray[np.bytes_]
Columns: TypeAlias = tuple[npt.NDArray[Any], ...]


def nameless_file() -> BinaryIO:
    """A temporary file that ends with its holder, and with the process however that ends."""
    return tempfile.TemporaryFile(prefix="speechloom-")


def texts_of(values: pa.Array | pa.ChunkedArray | Sequence[str]) -> Texts:
    """Texts as fixed-width bytes, of one width where all are equally long."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array):
        return np.array([value.encode() for value in values], "S" if len(values) else "S1")
    if not len(values):
        return np.zeros(0, "S1")
    values = values.cast(pa.large_binary())
    offsets = np.frombuffer(values.buffers()[1], np.int64, len(values) + 1, 8 * values.offset)
    widths = np.diff(offsets)
    if len(widths) and widths[0] and (widths == widths[0]).all():
        return np.frombuffer(values.buffers()[2], f"S{widths[0]}", len(values), offsets[0])
    return np.array(values.to_pylist(), "S")


def keys_of(texts: Texts) -> npt.NDArray[np.uint64]:
    """The first eight bytes as a number: sorts as the texts do, as far as it tells them apart."""
    return texts.astype("S8").view(">u8").astype(np.uint64)


_BORDER_TEXTS = np.array([b"%02x" % (256 // BUCKETS * bucket) for bucket in range(1, BUCKETS)], "S")
_BORDERS = keys_of(_BORDER_TEXTS)


def order_of(texts: Texts, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """The stable order of texts, by their keys and where these are equal by all of them."""
    order = np.argsort(keys, kind="stable")
    found = keys[order]
    same = np.flatnonzero(found[1:] == found[:-1])
    if len(same):
        breaks = np.flatnonzero(np.diff(same) > 1) + 1
        for run in np.split(same, breaks):
            first, last = run[0], run[-1] + 2
            among = order[first:last]
            order[first:last] = among[np.argsort(texts[among], kind="stable")]
    return order


class Buckets:
    """Rows of parallel columns, the first of which are texts that say into which bucket."""

    def __init__(self, held: int | None = None):
        self.width = 1  # of the widest text
        self.rows = 0
        self._held = HELD_BYTES if held is None else held
        self._waiting: list[Columns] = []
        self._bytes = 0
        self._file: BinaryIO | None = None
        self._placed: list[list[list[tuple[int, int, np.dtype[Any]]]]] = []

    def add(self, *columns: npt.NDArray[Any]) -> None:
        """Rows, in any order. Columns keep their type; texts may be wider than before."""
        if not len(columns[0]):
            return
        self.width = max(self.width, columns[0].dtype.itemsize)
        self.rows += len(columns[0])
        self._waiting.append(columns)
        self._bytes += sum(column.nbytes for column in columns)
        if self._bytes > self._held:
            self.spill()

    @property
    def spilled(self) -> bool:
        return self._file is not None

    def spill(self) -> None:
        """Write what waits to the file, bucket by bucket."""
        if self._file is None:
            self._file = nameless_file()
            self._placed = [[] for _ in range(BUCKETS)]
        if not self._waiting:
            return
        columns = _joined(self._waiting)
        self._waiting, self._bytes = [], 0
        bucket = np.searchsorted(_BORDERS, keys_of(columns[0]), "right").astype(np.uint8)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket, minlength=BUCKETS))
        for number, (low, high) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            if low < high:
                rows = order[low:high]
                self._placed[number].append([self._put(column[rows]) for column in columns])

    def _put(self, column: npt.NDArray[Any]) -> tuple[int, int, np.dtype[Any]]:
        assert self._file is not None
        place = self._file.tell()
        self._file.write(column.tobytes())
        return place, len(column), column.dtype

    def each(self) -> Iterator[Columns]:
        """Bucket by bucket in the order of texts, unsorted within; one where none was spilled.

        Empty ones are given too, as no columns.
        """
        if self._file is None:
            yield _joined(self._waiting)
            return
        self.spill()
        self._file.flush()
        for number in range(BUCKETS):
            parts = [tuple(self._got(*one) for one in placed) for placed in self._placed[number]]
            yield _joined(parts)
        self._file.close()
        pa.default_memory_pool().release_unused()  # what rows came from: 180 MB of 4x10^6

    def _got(self, place: int, count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        assert self._file is not None
        data = os.pread(self._file.fileno(), count * dtype.itemsize, place)
        return np.frombuffer(data, dtype)


def _joined(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def together(a: Buckets, b: Buckets) -> Iterator[tuple[Columns, Columns]]:
    """The buckets of both, range by range; () stands for no rows."""
    if a.spilled or b.spilled:
        a.spill()
        b.spill()
    return zip(a.each(), b.each(), strict=True)


class Column:
    """Values that are appended and then read at random: an array, or one mapped from a file."""

    def __init__(self, dtype: npt.DTypeLike, held: int | None = None):
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._held = HELD_BYTES if held is None else held
        self._parts: list[npt.NDArray[Any]] = []
        self._bytes = 0
        self._file: BinaryIO | None = None
        self._map: mmap.mmap | None = None

    def add(self, values: npt.NDArray[Any]) -> None:
        values = values.astype(self._dtype, copy=False)
        if self._file is not None:
            self._file.write(np.ascontiguousarray(values).data)
            return
        self._parts.append(values)
        self._bytes += values.nbytes
        if self._bytes > self._held:
            self._file = nameless_file()
            for part in self._parts:
                self._file.write(np.ascontiguousarray(part).data)
            self._parts = []

    def values(self) -> npt.NDArray[Any]:
        """All of them; nothing may be added any more."""
        if self._file is None:
            return np.concatenate(self._parts) if self._parts else np.zeros(0, self._dtype)
        self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file.close()  # the map keeps it
        return np.frombuffer(self._map, self._dtype)

    def release(self) -> None:
        """Let go of what was read of a mapped file: it is read again where it is needed."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


def bucket_ends(texts: Texts) -> list[int]:
    """Where each bucket ends among sorted texts."""
    return [*np.searchsorted(texts, _BORDER_TEXTS).tolist(), len(texts)]


def sorted_columns(rows: Iterable[Columns], *types: npt.DTypeLike) -> tuple[Any, ...]:
    """Rows sorted by their texts: the texts, their keys, and the other columns, of these types.

    What is mapped of them stays mapped for as long as anybody holds the arrays.
    """
    held = Buckets()
    for columns in rows:
        held.add(*columns)
    found = [Column(f"S{held.width}"), Column(np.uint64), *(Column(one) for one in types)]
    for bucket in held.each():
        if bucket:
            keys = keys_of(bucket[0])
            order = order_of(bucket[0], keys)
            for column, values in zip(found, (bucket[0], keys, *bucket[1:]), strict=True):
                column.add(values[order])
    return tuple(column.values() for column in found)
