"""Near-duplicates of sets that do not fit in memory: rounds over partitions, committed in OUT.

Sketches are cut by key into partitions and written as packed Arrow blocks; candidates are paired
partition by partition and gathered anew by row, verified, and joined to components by rounds of
large-star and small-star until no edge changes. Every step of that is one pass over partitions; a
partition's results are written, then a note that it is done, so a run that was killed goes on with
the partition that it was at. Nothing but the numbers of clustered rows is ever held as a whole.

Blocks travel through OUT and not through the runner's group-by: the local one keeps all bytes in
memory four times over and never spills. What a runner deals are the partitions' names.
"""

import dataclasses
import functools
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.store import Store
from transforms.select.components import I64, large_star, small_star, unique_edges
from transforms.select.matching import Entries, Links, Matcher, Pairs, Sketch, failed_pairs
from transforms.select.near import both_ways, join_links
from transforms.select.near_text import joined
from transforms.select.shingles import Ragged, mixed

ROWS_PER_PARTITION = 1 << 14  # of keys, and of pairs: some 200,000 entries each
MOST_PARTITIONS = 128  # pairs are written in the square of as many blocks
ENTRIES_AT_ONCE = 1 << 21  # are held before they are cut by key and written: 40 MB
EDGES_AT_ONCE = 1 << 21  # in one partition of a star round

Each: TypeAlias = Callable[[str, Sequence[str], Callable[[str], None]], None]
"""`each(label, items, work)`: calls `work` once per item, anywhere, in any order."""


def each_here(label: str, items: Sequence[str], work: Callable[[str], None]) -> None:
    """One after the other, in this process."""
    for item in items:
        work(item)


@dataclasses.dataclass(frozen=True)
class Spill:
    """A folder of OUT with what near-duplicates of one round need."""

    store: Store
    folder: str
    partitions: int = 1

    @classmethod
    def of(cls, store: Store, folder: str, rows: int) -> "Spill":
        """A folder for so many rows."""
        wanted = -(-rows // ROWS_PER_PARTITION)
        return cls(store, folder, max(1, min(MOST_PARTITIONS, wanted)))

    def write(self, name: str, **columns: npt.NDArray[Any]) -> None:
        """Arrays as one Arrow block; a block that is there already is the same one."""
        table = pa.table({key: pa.array(values) for key, values in columns.items()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self.store.put_if_absent(f"{self.folder}/{name}.arrow", sink.getvalue().to_pybytes())

    def read(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a block, mapped into memory where the store is local."""
        full = f"{self.folder}/{name}"
        local = self.store.local(full)
        source = (
            pa.memory_map(str(local), "r")
            if local is not None
            else io.BytesIO(self.store.get(full))
        )
        table = pa.ipc.open_file(source).read_all()
        return {key: table[key].to_numpy() for key in table.column_names}

    def names(self, folder: str) -> list[str]:
        """The blocks of a folder, sorted."""
        at = len(self.folder) + 1
        return [
            entry.name[at:]
            for entry in self.store.list(f"{self.folder}/{folder}")
            if entry.name.endswith(".arrow")
        ]

    def gathered(self, folder: str, columns: Sequence[str]) -> list[npt.NDArray[Any]]:
        """The arrays of all blocks of a folder, one after the other; shapes [n] each."""
        blocks = [self.read(name) for name in self.names(folder)]
        return [
            np.concatenate([block[column] for block in blocks]) if blocks else np.empty(0, np.int64)
            for column in columns
        ]

    def is_done(self, stage: str) -> bool:
        return self.store.size(f"{self.folder}/done/{stage}") is not None

    def done(self, stage: str, said: object = None) -> None:
        self.store.put_if_absent(f"{self.folder}/done/{stage}", json.dumps(said).encode())

    def said(self, stage: str) -> Any:
        return json.loads(self.store.get(f"{self.folder}/done/{stage}"))

    def over(
        self, each: Each, stage: str, items: Sequence[str], work: Callable[["Spill", str], Any]
    ) -> None:
        """`work` over those items that no earlier attempt finished."""
        found = self.store.list(f"{self.folder}/done/{stage}")
        finished = {entry.name.rsplit("/", 1)[-1] for entry in found}
        todo = [item for item in items if item not in finished]
        if todo:
            each(f"{self.folder}/{stage}", todo, functools.partial(_noted, self, stage, work))

    def clear(self) -> None:
        """Remove all of it: what it led to is written elsewhere."""
        remove_folder(self.store, self.folder)


def remove_folder(store: Store, folder: str) -> None:
    """Remove a folder's objects and, on a local disk, the empty folders they leave."""
    local = store.local(folder)
    if local is not None:
        shutil.rmtree(local, ignore_errors=True)
        return
    store.delete_all([entry.name for entry in store.list(folder)])


def _noted(spill: Spill, stage: str, work: Callable[[Spill, str], Any], item: str) -> None:
    spill.done(f"{stage}/{item}", work(spill, item))


def partition_names(count: int) -> list[str]:
    return [f"{number:03d}" for number in range(count)]


def _cut(key: npt.NDArray[np.uint64], count: int) -> Iterator[tuple[str, I64]]:
    """Which elements go to which partition; partitions without any are left out."""
    part = (key % np.uint64(count)).astype(np.int64)
    order = np.argsort(part, kind="stable")
    starts = np.searchsorted(part[order], np.arange(count + 1))
    for number, name in enumerate(partition_names(count)):
        if starts[number] < starts[number + 1]:
            yield name, order[starts[number] : starts[number + 1]]


def write_sketches(spill: Spill, sketches: Iterable[Sketch]) -> None:
    """Features by chunks of rows, entries by the prefix of their keys."""
    if spill.is_done("sketch"):
        return
    waiting: list[Sketch] = []
    number = 0
    for sketch in sketches:
        waiting.append(sketch)
        if sum(len(one.entries) for one in waiting) >= ENTRIES_AT_ONCE:
            _flush(spill, number, waiting)
            waiting, number = [], number + 1
    if waiting:
        _flush(spill, number, waiting)
    spill.done("sketch")


def _flush(spill: Spill, number: int, sketches: Sequence[Sketch]) -> None:
    rows = np.concatenate([sketch.rows for sketch in sketches])
    if not len(rows):
        return
    features = joined([sketch.features for sketch in sketches])
    name = f"{number:06d}"
    spill.write(f"features/{name}/rows", row=rows, end=features.offsets[1:])
    spill.write(f"features/{name}/values", value=features.values)
    key, row, at = (
        np.concatenate([getattr(sketch.entries, column) for sketch in sketches])
        for column in ("key", "row", "at")
    )
    for part, some in _cut(key >> np.uint64(32), spill.partitions):
        spill.write(f"keys-0/{part}/{name}", key=key[some], row=row[some], at=at[some])


class Stored:
    """The features of all rows, where they were written."""

    def __init__(self, spill: Spill):
        self._chunks = []
        firsts = []
        for name in spill.names("features"):
            if name.endswith("/rows.arrow"):
                about = spill.read(name)
                values = spill.read(name.replace("/rows.", "/values."))["value"]
                offsets = np.concatenate([np.zeros(1, np.int64), about["end"]])
                self._chunks.append((about["row"], Ragged(values, offsets)))
                firsts.append(about["row"][0])
        self._firsts = np.array(firsts, np.int64)

    def __call__(self, rows: I64) -> Ragged:
        chunk = np.searchsorted(self._firsts, rows, side="right") - 1
        parts, order = [], []
        for number in np.unique(chunk):
            mine = np.flatnonzero(chunk == number)
            known, features = self._chunks[number]
            parts.append(features.take(np.searchsorted(known, rows[mine]).astype(np.int64)))
            order.append(mine)
        if len(parts) == 1:
            return parts[0]
        back = np.argsort(np.concatenate(order), kind="stable").astype(np.int64)
        return joined(parts).take(back)


def _entries(spill: Spill, turn: int, part: str) -> Entries:
    key, row, at = spill.gathered(f"keys-{turn}/{part}", ("key", "row", "at"))
    return Entries(key.astype(np.uint64), row.astype(np.int64), at.astype(np.int32))


def _pair(matcher: Matcher, turn: int, spill: Spill, part: str) -> None:
    pairs = matcher.pairs(_entries(spill, turn, part))
    for to, some in _cut(mixed(pairs.high.astype(np.uint64)), spill.partitions):
        spill.write(
            f"pairs-{turn}/{to}/{part}",
            low=pairs.low[some],
            high=pairs.high[some],
            low_at=pairs.low_at[some],
            high_at=pairs.high_at[some],
        )


def _verify(matcher: Matcher, turn: int, spill: Spill, part: str) -> int:
    """Links of the pairs of a partition; says how many pairs failed."""
    columns = ("low", "high", "low_at", "high_at")
    low, high, low_at, high_at = spill.gathered(f"pairs-{turn}/{part}", columns)
    if not len(low):
        return 0
    pairs = Pairs(low, high, low_at.astype(np.int32), high_at.astype(np.int32))
    links = matcher.verify(pairs, Stored(spill))
    if len(links):
        spill.write(f"links/{turn}-{part}", **_columns(links))
    if turn + 1 == matcher.again:
        return 0
    failed = failed_pairs(pairs, links)
    spill.write(f"failed-{turn}/{part}", pair=failed)
    return len(failed)


def _left(matcher: Matcher, turn: int, spill: Spill, part: str) -> None:
    entries = _entries(spill, turn, part)
    (failed,) = spill.gathered(f"failed-{turn}", ("pair",))
    left = matcher.left(entries, np.sort(failed.astype(np.uint64)))
    if len(left):
        spill.write(f"keys-{turn + 1}/{part}/0", key=left.key, row=left.row, at=left.at)


def _columns(links: Links) -> dict[str, npt.NDArray[Any]]:
    return {field.name: getattr(links, field.name) for field in dataclasses.fields(links)}


def find_links(spill: Spill, matcher: Matcher, each: Each) -> Links:
    """The links among all sketches that `write_sketches` wrote."""
    parts = partition_names(spill.partitions)
    for turn in range(matcher.again):
        spill.over(each, f"pair-{turn}", parts, functools.partial(_pair, matcher, turn))
        spill.over(each, f"verify-{turn}", parts, functools.partial(_verify, matcher, turn))
        failed = sum(spill.said(f"verify-{turn}/{part}") for part in parts)
        if not failed:
            break
        spill.over(each, f"left-{turn}", parts, functools.partial(_left, matcher, turn))
    low, high, score, inside = spill.gathered("links", ("low", "high", "score", "inside"))
    return join_links([Links(low, high, score.astype(np.float32), inside.astype(np.int8))])


def find_stars(spill: Spill, links: Links, each: Each) -> tuple[I64, I64]:
    """The stars (centre, member) of the links that go both ways, sorted by member."""
    low, high = both_ways(links)
    count = max(1, -(-2 * len(low) // EDGES_AT_ONCE))
    if not spill.is_done("edges"):
        _write_edges(spill, "round-0", "0", low, high, count)
        spill.done("edges")
    parts = partition_names(count)
    before: Any = None
    for number in range(64):  # more than the base-2 logarithm of any number of rows
        large = functools.partial(_large, number, count)
        spill.over(each, f"large-{number}", parts, large)
        said = [spill.said(f"large-{number}/{part}") for part in parts]
        now = [sum(one[0] for one in said), sum(one[1] for one in said) % (1 << 64)]
        if now == before:
            break
        before = now
        small = functools.partial(_small, number, count)
        spill.over(each, f"small-{number}", parts, small)
    else:
        raise RuntimeError("components did not settle in 64 rounds: a bug in components.py")
    node, other = spill.gathered(f"round-{number}", ("node", "other"))
    centre, member = unique_edges(node, other)
    order = np.argsort(member, kind="stable")
    return centre[order], member[order]


def _write_edges(spill: Spill, folder: str, name: str, low: I64, high: I64, count: int) -> None:
    """Edges in both directions, by their first node."""
    node, other = np.concatenate([low, high]), np.concatenate([high, low])
    for to, some in _cut(mixed(node.astype(np.uint64)), count):
        spill.write(f"{folder}/{to}/{name}", node=node[some], other=other[some])


def _large(number: int, count: int, spill: Spill, part: str) -> tuple[int, int]:
    """Large-star over one partition. Says how many edges there were, and a digest of their set."""
    node, other = spill.gathered(f"round-{number}/{part}", ("node", "other"))
    if not len(node):
        return 0, 0
    order = np.lexsort((other, node))
    node, other = node[order], other[order]
    first = np.append(True, (node[1:] != node[:-1]) | (other[1:] != other[:-1]))
    node, other = node[first], other[first]
    low, high = large_star(node, other)
    for to, some in _cut(mixed(high.astype(np.uint64)), count):
        spill.write(f"large-{number}/{to}/{part}", low=low[some], high=high[some])
    packed = mixed(mixed(node.astype(np.uint64)) + other.astype(np.uint64))
    return len(node), int(packed.sum(dtype=np.uint64))


def _small(number: int, count: int, spill: Spill, part: str) -> None:
    """Small-star over one partition; its edges are those of the next round."""
    low, high = spill.gathered(f"large-{number}/{part}", ("low", "high"))
    if len(low):
        low, high = unique_edges(*small_star(*unique_edges(low, high)))
        _write_edges(spill, f"round-{number + 1}", part, low, high, count)
