"""The rows of an index as columns: what `read_index` gives, outlines aside, made when asked for.

A general codec turns each row into a mapping and each mapping into a record; for short clips that
weighed as much as reading their tokens. Here columns are turned into plain lists at once, all rows
are checked together, and a record is made only for who wants a whole row.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.shard_index import IndexRow, TokenMember, bad_index, check_rows
from schemas.tables import arrow_schema

PLAIN = (
    *("key", "flac_offset", "flac_size", "flac_crc32", "json_offset", "json_size", "json_crc32"),
    *("seconds", "chunks", "characters", "words"),
)
MEMBER = ("name", "offset", "size", "crc32", "positions")

Int64 = npt.NDArray[np.int64]


# where an array lies, what it sums to, and its positions: offset, size, crc32, positions
Member: TypeAlias = tuple[int, int, int, int]


class Rows(Sequence[IndexRow]):
    """The rows of an index."""

    def __init__(self, table: pa.Table) -> None:
        """Raises `pa.ArrowException`, ValueError or KeyError for what is no index."""
        self._arrays = {name: column_of(table, name) for name in PLAIN}
        self._lists: dict[str, list[Any]] = {}
        self.keys: list[str] = self.column("key")
        # of each row's members in the columns of all members; and their number
        self._firsts: Int64 = np.zeros(len(self.keys) + 1, np.int64)
        self._members: dict[str, Any] = {}
        if "tokens" in table.column_names:
            column = column_of(table, "tokens")
            flat = column.flatten()
            self._members = {n: _whole(flat.field(n), f"tokens.{n}") for n in MEMBER}
            borders = column.offsets.to_numpy().astype(np.int64)
            self._firsts = borders - borders[0]

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> IndexRow: ...
    @overload
    def __getitem__(self, place: slice) -> list[IndexRow]: ...
    def __getitem__(self, place: int | slice) -> IndexRow | list[IndexRow]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        plain = {name: self.column(name)[place] for name in PLAIN}
        return IndexRow(**plain, tokens=self._tokens(place))

    def __iter__(self) -> Iterator[IndexRow]:
        return map(self.__getitem__, range(len(self)))

    def column(self, name: str) -> list[Any]:
        """A column of `PLAIN` as a list."""
        if name not in self._lists:
            self._lists[name] = _list(self._arrays[name])
        return self._lists[name]

    def array(self, name: str) -> npt.NDArray[Any]:
        """A column of numbers."""
        found: npt.NDArray[Any] = self._arrays[name].to_numpy()
        return found

    def total(self, name: str) -> int:
        """The sum of a column of counts."""
        return int(self.array(name).sum())

    @property
    def end(self) -> int:
        """Where the last member ends: they ascend."""
        return self.column("json_offset")[-1] + self.column("json_size")[-1] if self.keys else 0

    def heard(self) -> npt.NDArray[np.bool_]:
        """Which rows have a FLAC or tokens."""
        found: npt.NDArray[np.bool_] = self.array("flac_size") != 0
        return found | (np.diff(self._firsts) > 0)

    def members(self, name: str) -> list[Member]:
        """The arrays of one tokenizer, row by row; -1 for all four where there is none."""
        found = np.full(len(self), -1, np.int64)
        own = np.empty(0, np.int64)
        if self._members:
            own = np.flatnonzero([name == other for other in self._members["name"].to_pylist()])
            rows = np.repeat(np.arange(len(self)), np.diff(self._firsts))[own]
            found[rows[::-1]] = own[::-1]  # a name that stands twice: the first, as `token_member`
        if not len(own):
            return [(-1, -1, -1, -1)] * len(self)
        columns = [self._members[field].to_numpy()[found] for field in MEMBER[1:]]
        return list(zip(*[np.where(found < 0, -1, own).tolist() for own in columns], strict=True))

    def in_order(self) -> bool:
        """Whether keys ascend and members follow one another; False: ask `check_rows`."""
        counts = np.diff(self._firsts)
        if len(self) and (counts != counts[0]).any():
            return False
        each = int(counts[0]) if len(self) else 0
        members = [self._members[name].to_numpy() for name in ("offset", "size")] if each else []
        spans = [[values[place::each] for values in members] for place in range(each)]
        for kind in ("flac", "json"):
            spans.append([self.array(f"{kind}_{end}") for end in ("offset", "size")])
        laid = [[offset, offset + size] for offset, size in spans]
        if len(self):  # a row without a FLAC has 0 for it: it lies nowhere
            first, last = laid[-2]
            before = laid[-3][1] if each else laid[-1][0]
            none = first == last
            laid[-2] = [np.where(none, before, first), np.where(none, before, last)]
        ends = np.array(laid, np.int64).transpose(2, 0, 1).reshape(-1)
        ascending = all(map(str.__lt__, self.keys, self.keys[1:])) and "" not in self.keys[:1]
        return ascending and bool((np.diff(ends, prepend=0) >= 0).all())

    def _tokens(self, place: int) -> tuple[TokenMember, ...]:
        own = range(self._firsts[place], self._firsts[place + 1])
        return tuple(
            TokenMember(**{name: values[at].as_py() for name, values in self._members.items()})
            for at in own
        )


def read_rows(table: pa.Table, where: str) -> Rows:
    """The rows of an index, their `outline` left out. Raises `ShardError` for what is no index."""
    try:
        rows = Rows(table)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise bad_index(where, error) from error
    if not rows.in_order():
        check_rows(rows, where)
    return rows


def column_of(table: pa.Table, name: str) -> Any:
    """A column of an index as one array of the type that it should have, without gaps.

    Raises `pa.ArrowException`, ValueError or KeyError for any other.
    """
    column, kind = table.column(name), _kind(name)
    found = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        found = pa.concat_arrays(found.chunks)
    return _whole(found if found.type.equals(kind) else found.cast(kind), name)


@functools.cache
def _kind(name: str) -> pa.DataType:
    return arrow_schema(IndexRow).field(name).type


def _whole(column: Any, name: str) -> Any:
    if column.null_count:
        raise ValueError(f"{name} has gaps")
    return column


def _list(column: Any) -> list[Any]:
    text = pa.types.is_string(column.type)
    found: list[Any] = column.to_pylist() if text else column.to_numpy().tolist()
    return found
