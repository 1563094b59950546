"""Which records are done, and by which commit: as sorted columns, for tens of millions of them.

A record costs 250 bytes in dictionaries; here it is its id's text and some twenty bytes, sorted by
id in buckets (`pipeline/spilling.py`) and mapped from a temporary file once there are many, so that
what a driver holds does not grow with them. Look-ups are binary searches, some microseconds each:
many are asked for at once (`places`). What reads like a dictionary (`CommitOf`, `SecondsOf`) is for
those who ask for few.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pipeline.spilling import Buckets, Column, Texts, keys_of, order_of, texts_of, together

AT_ONCE = 1 << 16  # ids that are looked up, or rows that are read, together
FEW = 1 << 16  # rows for which a dictionary is made when they are asked for one by one

T = TypeVar("T")

Places: TypeAlias = npt.NDArray[np.intp]
Rows: TypeAlias = tuple[Texts, Texts, npt.NDArray[np.float64], npt.NDArray[np.bool_]]
"""Names of commits, ids that they account for, seconds, and whether it is as a dead letter."""
Fresh: TypeAlias = tuple[Places, Texts, npt.NDArray[np.float64], npt.NDArray[np.bool_]]
"""The same, with places among the names that were asked for in place of names."""


def places(texts: Texts, keys: npt.NDArray[np.uint64], wanted: Texts) -> Places:
    """Where each wanted text stands among sorted ones; -1 where it does not."""
    if not len(texts):
        return np.full(len(wanted), -1)
    asked = keys_of(wanted)
    at = np.minimum(np.searchsorted(keys, asked, "left"), len(texts) - 1)
    found = np.where(texts[at] == wanted, at, -1)
    following = np.minimum(at + 1, len(texts) - 1)
    unsure = np.flatnonzero((found < 0) & (keys[following] == asked) & (following > at))
    if len(unsure):  # several begin alike, and it is not the first of them
        at = np.minimum(np.searchsorted(texts, wanted[unsure]), len(texts) - 1)
        found[unsure] = np.where(texts[at] == wanted[unsure], at, -1)
    return found


def batches(items: Iterable[T], size: int | None = None) -> Iterator[list[T]]:
    """Items some at a time."""
    rest = iter(items)
    while batch := list(itertools.islice(rest, size or AT_ONCE)):
        yield batch


def spans(count: int) -> Iterator[slice]:
    """Rows some at a time."""
    return (slice(at, at + 16 * AT_ONCE) for at in range(0, count, 16 * AT_ONCE))


@dataclasses.dataclass(frozen=True, eq=False)
class Accounts:
    """The columns, sorted by id; `commit` says which of `files`, which are sorted too."""

    folder: str
    files: Texts
    ids: Texts
    keys: npt.NDArray[np.uint64]
    commit: npt.NDArray[np.int32]
    seconds: npt.NDArray[np.float64]
    dead: npt.NDArray[np.bool_]
    columns: tuple[Column, ...] = ()  # that these are mapped from

    def places(self, ids: Sequence[str]) -> Places:
        """The row of each id; -1 where it is not done."""
        return places(self.ids, self.keys, texts_of(ids))

    @functools.cached_property
    def _few(self) -> dict[str, int]:
        return {name.decode(): row for row, name in enumerate(self.ids.tolist())}

    def find(self, record: str) -> int:
        """`places` of one id."""
        if len(self.ids) <= FEW:
            return self._few.get(record, -1)
        return int(self.places([record])[0])

    def name(self, row: int) -> str:
        """The commit that accounts for the record of a row."""
        return self.file(int(self.commit[row]))

    def file(self, number: int) -> str:
        """The name of a commit by its place among all."""
        return f"{self.folder}/{self.files[number].decode()}"

    def each(self) -> Iterator[tuple[str, int]]:
        """Every id with its row, in order."""
        for at in range(0, len(self.ids), AT_ONCE):
            yield from zip(_texts(self.ids[at : at + AT_ONCE]), itertools.count(at))
            self.release()

    def release(self) -> None:
        """Let go of what was read; it is read again where it is needed."""
        for column in self.columns:
            column.release()

    def lacking(self, ids: Iterable[str]) -> Iterator[str]:
        """Those of some ids that are not done."""
        for batch in batches(ids):
            for place in np.flatnonzero(self.places(batch) < 0):
                yield batch[place]
            self.release()

    def rows(self, ids: Iterable[str]) -> npt.NDArray[np.int32]:
        """The rows of those of some ids that are done, in the order of the ids."""
        found = [np.zeros(0, np.int32)]
        for batch in batches(ids):
            at = self.places(batch)
            found.append(at[at >= 0].astype(np.int32))
            self.release()
        return np.concatenate(found)

    def flags(self, ids: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Of every row, whether it is one of some ids'."""
        found = np.zeros(len(self.ids), np.bool_)
        for batch in batches(ids):
            at = self.places(batch)
            found[at[at >= 0]] = True
            self.release()
        return found

    def grouped(self, rows: npt.NDArray[np.int32]) -> Iterator[tuple[str, list[str]]]:
        """The commits of some rows, by name, with the ids of those rows."""
        commit = self.commit[rows]
        order = np.argsort(commit, kind="stable")
        mine, commit = rows[order], commit[order]
        del order
        at = 0
        while at < len(mine):
            end = int(np.searchsorted(commit, commit[min(at + AT_ONCE, len(mine)) - 1], "right"))
            names = _texts(self.ids[mine[at:end]])
            ends = [*(np.flatnonzero(np.diff(commit[at:end])) + 1).tolist(), end - at]
            first = 0
            for last in ends:
                yield self.file(int(commit[at + first])), names[first:last]
                first = last
            self.release()
            at = end


def _texts(values: Texts) -> list[str]:
    return [value.decode() for value in values.tolist()]


def account(
    folder: str,
    listed: Iterable[Texts],
    told: Iterable[Rows],
    read: Callable[["Names"], Iterable[Fresh]],
) -> tuple[Accounts, "Names"]:
    """Join the commits that are there with what manifests tell of them.

    `listed` are their names in `folder`; `told` rows of manifests, also of commits that are gone:
    these do not count. `read` reads the commits of which no manifest tells. Returns the accounts
    and the names of these. Where several commits hold an id, the first by name counts.
    """
    names, known, found = Buckets(), Buckets(), Buckets()
    for some in listed:
        names.add(some)
    for rows in told:
        known.add(*rows)
    files, fresh = Column(f"S{names.width}"), Column(np.int32)
    base = 0
    for here, rows_here in together(names, known):
        if not here:
            continue
        keys = keys_of(here[0])
        order = order_of(here[0], keys)
        sorted_names = here[0][order]
        untold = np.ones(len(order), np.bool_)
        if rows_here:
            at = places(sorted_names, keys[order], rows_here[0])
            there = at >= 0
            untold[at[there]] = False
            commit = (base + at[there]).astype(np.int32)
            found.add(rows_here[1][there], commit, *(one[there] for one in rows_here[2:]))
        files.add(sorted_names)
        fresh.add(np.flatnonzero(untold) + base)
        base += len(order)
    all_files = files.values()
    untold_rows = fresh.values()
    uncovered = Names(folder, all_files, untold_rows)
    for number, ids, *rest in read(uncovered):
        found.add(ids, untold_rows[number], *rest)
    return _sorted(folder, all_files, found, (files, fresh)), uncovered


def _sorted(folder: str, files: Texts, found: Buckets, held: tuple[Column, ...]) -> Accounts:
    """Rows of ids, commits, seconds and dead letters, each id once, by its first commit."""
    columns = tuple(
        Column(one) for one in (f"S{found.width}", np.uint64, np.int32, np.float64, np.bool_)
    )
    for bucket in found.each():
        if not bucket:
            continue
        ids, commit, seconds, dead = bucket
        keys = keys_of(ids)
        order = order_of(ids, keys)
        same = ids[order][1:] == ids[order][:-1]
        if same.any():
            by_commit = np.argsort(commit, kind="stable")
            order = by_commit[order_of(ids[by_commit], keys[by_commit])]
            order = order[np.concatenate([[True], ids[order][1:] != ids[order][:-1]])]
        for column, values in zip(columns, (ids, keys, commit, seconds, dead), strict=True):
            column.add(values[order])
    ids, keys, commit, seconds, dead = (column.values() for column in columns)
    return Accounts(folder, files, ids, keys, commit, seconds, dead, (*held, *columns))


class CommitOf(Mapping[str, str]):
    """Record id -> name of its commit."""

    def __init__(self, accounts: Accounts):
        self._accounts = accounts

    def __getitem__(self, record: str) -> str:
        row = self._accounts.find(record)
        if row < 0:
            raise KeyError(record)
        return self._accounts.name(row)

    def __contains__(self, record: object) -> bool:
        return isinstance(record, str) and self._accounts.find(record) >= 0

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._accounts.each())

    def __len__(self) -> int:
        return len(self._accounts.ids)


class SecondsOf(Mapping[str, float]):
    """Record id -> seconds at the phase's entrance."""

    def __init__(self, accounts: Accounts):
        self._accounts = accounts

    def __getitem__(self, record: str) -> float:
        row = self._accounts.find(record)
        if row < 0:
            raise KeyError(record)
        return float(self._accounts.seconds[row])

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._accounts.each())

    def __len__(self) -> int:
        return len(self._accounts.ids)


class DeadIn(AbstractSet[str]):
    """The records that are done as dead letters."""

    def __init__(self, accounts: Accounts):
        self._accounts = accounts

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> frozenset[Any]:
        return frozenset(it)

    def __contains__(self, record: object) -> bool:
        row = self._accounts.find(record) if isinstance(record, str) else -1
        return row >= 0 and bool(self._accounts.dead[row])

    def __iter__(self) -> Iterator[str]:
        rows = np.flatnonzero(self._accounts.dead)
        for at in range(0, len(rows), AT_ONCE):
            yield from _texts(self._accounts.ids[rows[at : at + AT_ONCE]])

    def __len__(self) -> int:
        return int(np.count_nonzero(self._accounts.dead))


class Names(Sequence[str]):
    """Names of commits: some of a folder's, or all."""

    def __init__(self, folder: str, files: Texts, rows: npt.NDArray[np.int32] | None = None):
        self._folder, self._files, self._rows = folder, files, rows

    def __len__(self) -> int:
        return len(self._files if self._rows is None else self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if not isinstance(place, slice):
            row = place if self._rows is None else int(self._rows[place])
            return f"{self._folder}/{self._files[row].decode()}"
        chosen = self._files[place if self._rows is None else self._rows[place]]
        return [f"{self._folder}/{name}" for name in _texts(chosen)]

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), AT_ONCE):
            yield from self[at : at + AT_ONCE]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list: Python takes None for "none"
