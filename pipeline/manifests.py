"""Manifests: which commit accounts for which record, and sums over commits.

Some hundred thousand rows are in a file, so that a run need not open every commit.

A manifest only repeats what its commits say. It is written after them, by create-if-absent, under
the digest of their names, and counts for a commit as long as that is there. Small ones are merged:
the merged one is written before they are removed, so whoever is killed in between leaves rows
twice, which are read once. Whoever rewrites a commit removes the manifests that name it first.
"""

import dataclasses
import functools
import io
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import layout
from pipeline.accounts import Rows
from pipeline.spilling import texts_of
from pipeline.sums import Sums
from schemas.ids import set_digest
from schemas.store import Entry, Store

ROWS_PER_MANIFEST = 1 << 18  # at least, where there are more
FETCHED, FETCHED_BYTES = 32, 64 << 20  # manifests of a remote store at the same time
SMALL_BYTES = 8 << 20  # below which a manifest may be merged with others
FEW_MANIFESTS = 16  # small ones that are left as they are

SCHEMA = pa.schema(
    [
        pa.field("commit", pa.string(), False),
        pa.field("id", pa.string(), False),
        pa.field("seconds", pa.float64(), False),
        pa.field("dead", pa.bool_()),
    ]
)


def source_of(store: Store, name: str) -> str | io.BytesIO:
    """What pyarrow reads a file of a store from."""
    local = store.local(name)
    return str(local) if local is not None else io.BytesIO(store.get(name))


def opened(store: Store, name: str) -> pq.ParquetFile:
    """A Parquet file of a store, to be closed."""
    return pq.ParquetFile(source_of(store, name))  # read_table loses structs and imports pandas


def manifests(
    store: Store, phase: str, key: str, below: int | None = None
) -> Iterator[tuple[str, pq.ParquetFile]]:
    """The manifests of a phase, or those of less than `below` bytes, each open until the next is
    asked for. Remote ones, which are waited for, are fetched some at a time."""
    fetch = functools.partial(_opened, store)
    listed = store.list(layout.manifests_folder(phase, key))
    with ThreadPoolExecutor(FETCHED, "manifests") as pool:
        for some in _together(entry for entry in listed if below is None or entry.size < below):
            found = pool.map(fetch, some) if store.remote else map(fetch, some)
            for name, file in zip(some, found, strict=True):
                if file is not None:
                    with file:
                        yield name, file


def _together(entries: Iterable[Entry]) -> Iterator[list[str]]:
    """Names of objects that may be held at the same time."""
    some: list[str] = []
    size = 0
    for entry in entries:
        if some and (size + entry.size > FETCHED_BYTES or len(some) == FETCHED):
            yield some
            some, size = [], 0
        some.append(entry.name)
        size += entry.size
    if some:
        yield some


def _opened(store: Store, name: str) -> pq.ParquetFile | None:
    """None where it was merged meanwhile: its commits are told elsewhere, or read one by one."""
    try:
        return opened(store, name)
    except FileNotFoundError:
        return None


def manifest_rows(batch: pa.RecordBatch, start: int) -> Rows:
    """Rows of a manifest; names of commits begin at `start`, after their folder's."""
    rows = pa.table(batch)
    names = pc.utf8_slice_codeunits(rows["commit"], start)
    return texts_of(names), texts_of(rows["id"]), *numbers(rows)


def numbers(rows: pa.Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Seconds and dead letters; manifests of older versions do not tell the latter."""
    if "dead" not in rows.column_names:
        return rows["seconds"].to_numpy(), np.zeros(rows.num_rows, np.bool_)
    return rows["seconds"].to_numpy(), rows["dead"].fill_null(False).to_numpy()


def sums_in(file: pq.ParquetFile) -> dict[str, Any] | None:
    """What `Sums.read` takes; None where a manifest does not tell."""
    about = (file.schema_arrow.metadata or {}).get(b"speechloom")  # not in those of older versions
    found: dict[str, Any] | None = None if about is None else json.loads(about)["sums"]
    return found


@dataclasses.dataclass
class Manifest:
    """One that is being put together."""

    rows: int = 0
    tables: list[pa.Table] = dataclasses.field(default_factory=list)
    sums: Sums | None = dataclasses.field(default_factory=Sums)

    def take(self, rows: dict[str, pa.Table]) -> None:
        """Add the rows of some commits: `SCHEMA`, and what `Sums.fold` takes."""
        self._add(rows["done"])
        told = [*rows["tally"]["root"].chunks, *rows["drop"]["root"].chunks]
        ids = rows["done"]["id"].combine_chunks()
        if not pc.all(pc.is_in(pa.chunked_array(told, pa.string()), value_set=ids)).as_py():
            self.sums = None  # of roots that are not records of this phase: none asks for these
        if self.sums is not None:
            self.sums.fold(rows["tally"], rows["drop"])

    def merge(self, file: pq.ParquetFile) -> None:
        """Add another manifest; of a commit that two tell of, the rows of one."""
        table = file.read(use_threads=False)
        if "dead" not in table.column_names:
            table = table.append_column("dead", pa.array(numbers(table)[1]))
        table = table.select(SCHEMA.names).cast(SCHEMA)
        held = pa.chunked_array([c for t in self.tables for c in t["commit"].chunks], pa.string())
        known = pc.is_in(table["commit"], value_set=held.combine_chunks())
        more = sums_in(file)
        if self.sums is None or more is None or pc.any(known).as_py():
            self.sums = None
        else:
            self.sums.add(Sums.read(more))
        self._add(table.filter(pc.invert(known)))

    def _add(self, table: pa.Table) -> None:
        self.tables.append(table.replace_schema_metadata(None))
        self.rows += table.num_rows

    def write(self, store: Store, phase: str, key: str) -> str:
        """Store it, and give its name."""
        about = json.dumps({"sums": None if self.sums is None else self.sums.told()})
        table = pa.concat_tables(self.tables).replace_schema_metadata({"speechloom": about})
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd", row_group_size=1 << 16)
        digest = set_digest(table["commit"].unique().to_pylist())
        name = f"{layout.manifests_folder(phase, key)}/{digest}.parquet"
        store.put_if_absent(name, sink.getvalue())
        return name


def merge(store: Store, phase: str, key: str) -> None:
    """Merge small manifests where there are many."""
    listed = store.list(layout.manifests_folder(phase, key))
    if sum(entry.size < SMALL_BYTES for entry in listed) <= FEW_MANIFESTS:
        return
    merged, sources = Manifest(), list[str]()
    for name, file in manifests(store, phase, key, SMALL_BYTES):
        merged.merge(file)
        sources.append(name)
        if merged.rows >= ROWS_PER_MANIFEST:
            _replace(store, phase, key, merged, sources)
            merged, sources = Manifest(), []
    _replace(store, phase, key, merged, sources)


def _replace(store: Store, phase: str, key: str, merged: Manifest, sources: list[str]) -> None:
    if len(sources) > 1:
        written = merged.write(store, phase, key)
        store.delete(*(name for name in sources if name != written))
