"""Manifests: which commit accounts for which record, and sums over commits.

Some hundred thousand rows are in a file, so that a run need not open every commit.

A manifest only repeats what its commits say. It is written after them, by create-if-absent, under
the digest of their names, and counts for a commit as long as that is there. Small ones are merged:
the merged one is written before they are removed, so whoever is killed in between leaves rows
twice, which are read once. Whoever rewrites a commit removes the manifests that name it first.
"""

import dataclasses
import io
import json
from collections.abc import Iterator
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
from schemas.store import Store

ROWS_PER_MANIFEST = 1 << 18  # at least, where there are more
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


def manifests(store: Store, phase: str, key: str) -> Iterator[tuple[str, pq.ParquetFile]]:
    """The manifests of a phase, each open until the next is asked for."""
    for entry in store.list(layout.manifests_folder(phase, key)):
        try:
            file = opened(store, entry.name)
        except FileNotFoundError:
            continue  # merged meanwhile: its commits are told elsewhere, or read one by one
        with file:
            yield entry.name, file


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
    small = [entry.name for entry in listed if entry.size < SMALL_BYTES]
    if len(small) <= FEW_MANIFESTS:
        return
    merged, sources = Manifest(), list[str]()
    for name in small:
        try:
            file = opened(store, name)
        except FileNotFoundError:
            continue  # another run merges too
        with file:
            merged.merge(file)
        sources.append(name)
        if merged.rows >= ROWS_PER_MANIFEST or name == small[-1]:
            _replace(store, phase, key, merged, sources)
            merged, sources = Manifest(), []


def _replace(store: Store, phase: str, key: str, merged: Manifest, sources: list[str]) -> None:
    if len(sources) > 1:
        written = merged.write(store, phase, key)
        store.delete(*(name for name in sources if name != written))
