"""Commits: one Parquet per part, written last with create-if-absent, and nothing else counts.

A commit holds five kinds of rows side by side, each in a nullable struct column: `done` (the
records that this part accounts for), `row` (what they became), `drop` (what left, and why), `tally`
(what each step took and gave) and `preview` (where to hear some of what left). A part's tar, if
any, is stored before under the digest of its bytes, so the rows of a losing attempt can never point
into the winner's audio: the loser's commit is not created and its tar is garbage that
`speechloom gc` removes.

Reading a phase means: list its commits, ask which record ids are done and by which commit. That
map is compacted into `manifests/`, one file for every batch of new commits.
"""

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import layout
from schemas.ids import set_digest
from schemas.records import AudioRef, Drop
from schemas.store import Store
from schemas.tables import arrow_schema, from_row, to_row

R = TypeVar("R")

FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A record that a part accounts for, with its seconds of audio at the phase's entrance."""

    id: str
    seconds: float
    dead: bool = False  # it could not be worked on: a dead letter, which `retry` may forget


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What one step took and gave for one root. Drops are counted from the drops themselves."""

    root: str  # recording or task: so that any set of them can be summed
    step: str
    items_in: int
    items_out: int
    seconds_in: float
    seconds_out: float
    compute_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The beginning of something that was dropped before its audio was stored, for the report."""

    drop: str  # `drop_key`
    audio: AudioRef


def drop_key(drop: Drop) -> str:
    """What tells drops of one phase apart: the record, and the stretch of it."""
    return f"{drop.id}:{drop.step}:{drop.start}:{drop.end}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """All that a commit says."""

    done: tuple[Done, ...]
    rows: tuple[Any, ...] = ()
    drops: tuple[Drop, ...] = ()
    tallies: tuple[Tally, ...] = ()
    previews: tuple[Preview, ...] = ()
    tar: str | None = None
    spent: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    """On generated text, by step: the fields of `Spent`. In the header: `about`."""


def _schema(row_schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            pa.field("done", pa.struct(list(arrow_schema(Done)))),
            pa.field("row", pa.struct(list(row_schema))),
            pa.field("drop", pa.struct(list(arrow_schema(Drop)))),
            pa.field("tally", pa.struct(list(arrow_schema(Tally)))),
            pa.field("preview", pa.struct(list(arrow_schema(Preview)))),
        ]
    )


def encode_schema(kind: str) -> pa.Schema:
    """The columns of one kind of a commit's rows, for the kinds that every phase shares."""
    return arrow_schema({"done": Done, "drop": Drop, "tally": Tally}[kind])


def encode(content: Content, row_schema: pa.Schema, about: Mapping[str, Any]) -> bytes:
    """The bytes of a commit; rows are records, or plain mappings that fit `row_schema`."""
    schema = _schema(row_schema)
    columns: dict[str, list[Any]] = {
        "done": [to_row(item) for item in content.done],
        "row": [dict(r) if isinstance(r, Mapping) else to_row(r) for r in content.rows],
        "drop": [to_row(item) for item in content.drops],
        "tally": [to_row(item) for item in content.tallies],
        "preview": [to_row(item) for item in content.previews],
    }
    total = sum(len(values) for values in columns.values())
    arrays, before = [], 0
    for field in schema:
        values = columns[field.name]
        padded = [None] * before + values + [None] * (total - before - len(values))
        arrays.append(pa.array(padded, field.type))
        before += len(values)
    meta = json.dumps({"format": FORMAT, "tar": content.tar, **about}, sort_keys=True)
    table = pa.Table.from_arrays(arrays, schema=schema).replace_schema_metadata(
        {"speechloom": meta}
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=1 << 16)
    return sink.getvalue()


def _open(store: Store, name: str) -> Any:
    local = store.local(name)
    return str(local) if local is not None else io.BytesIO(store.get(name))


def about(store: Store, name: str) -> dict[str, Any]:
    """The header of a commit: format, tar, phase, key, part."""
    raw = pq.read_schema(_open(store, name)).metadata[b"speechloom"]
    return dict(json.loads(raw))


def column(store: Store, name: str, kind: str, fields: Sequence[str] | None = None) -> pa.Table:
    """One kind of a commit's rows as a flat table; `fields` projects before reading."""
    wanted = [f"{kind}.{field}" for field in fields] if fields is not None else [kind]
    with pq.ParquetFile(_open(store, name)) as file:  # read_table would lose the struct around
        table = file.read(columns=wanted, use_threads=False)
    structs = table.column(kind).combine_chunks()
    structs = structs.filter(pc.is_valid(structs))
    return pa.Table.from_struct_array(structs)


def records(store: Store, name: str, kind: str, record: type[R]) -> list[R]:
    """One kind of a commit's rows as records."""
    return [from_row(record, row) for row in column(store, name, kind).to_pylist()]


def write(
    store: Store,
    phase: str,
    key: str,
    part: str,
    content: Content,
    row_schema: pa.Schema,
    run: str,
) -> bool:
    """Commit a part. False where another attempt committed it first; its commit stands."""
    head: dict[str, Any] = {"phase": phase, "key": key, "part": part, "run": run}
    if content.spent:
        head["spent"] = content.spent
    data = encode(content, row_schema, head)
    return store.put_if_absent(layout.commit_name(phase, key, part), data)


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """Which records of a phase are done, and which commit says so."""

    done: Mapping[str, str]  # record id -> commit name
    seconds: Mapping[str, float]  # record id -> seconds at the phase's entrance
    commits: tuple[str, ...]
    uncovered: tuple[str, ...] = ()  # commits that no manifest holds yet
    dead: frozenset[str] = frozenset()  # of `done`: nothing comes after them

    def commits_of(self, ids: Iterable[str]) -> dict[str, set[str]]:
        """Commit name -> those of `ids` that it accounts for."""
        found: dict[str, set[str]] = {}
        for record_id in ids:
            name = self.done.get(record_id)
            if name is not None:
                found.setdefault(name, set()).add(record_id)
        return found


_MANIFEST = pa.schema(
    [
        pa.field("commit", pa.string(), False),
        pa.field("id", pa.string(), False),
        pa.field("seconds", pa.float64(), False),
        pa.field("dead", pa.bool_()),
    ]
)


def ledger(store: Store, phase: str, key: str) -> Ledger:
    """Read what a phase has done. Where two commits hold one id, the first by name counts."""
    names = [
        entry.name
        for entry in store.list(layout.commits_folder(phase, key))
        if entry.name.endswith(".parquet")
    ]
    present = set(names)
    tables = []
    for entry in store.list(f"{layout.phase_folder(phase, key)}/manifests"):
        with pq.ParquetFile(_open(store, entry.name)) as file:  # read_table imports pandas
            table = file.read(use_threads=False)
        tables.append(table.filter(pc.is_in(table["commit"], pa.array(names, pa.string()))))
    covered = {name for table in tables for name in set(table["commit"].to_pylist())}
    uncovered = [name for name in names if name not in covered]
    for name in uncovered:
        rows = column(store, name, "done")
        named = pa.array([name] * rows.num_rows, pa.string())
        tables.append(rows.append_column("commit", named))
    done: dict[str, str] = {}
    seconds: dict[str, float] = {}
    dead: set[str] = set()
    for table in tables:
        lost = table["dead"].to_pylist() if "dead" in table.column_names else [False] * len(table)
        for name, record_id, length, is_dead in zip(
            *(table[c].to_pylist() for c in ("commit", "id", "seconds")), lost, strict=True
        ):
            if name in present and (record_id not in done or name < done[record_id]):
                done[record_id], seconds[record_id] = name, length
                (dead.add if is_dead else dead.discard)(record_id)
    return Ledger(done, seconds, tuple(names), tuple(uncovered), frozenset(dead))


def compact(store: Store, phase: str, key: str) -> None:
    """Write the manifest of the commits that none holds yet. Safe to repeat and to race."""
    current = ledger(store, phase, key)
    if not current.uncovered:
        return
    rows = [
        {"commit": name, "dead": False, **row}
        for name in current.uncovered
        for row in column(store, name, "done").to_pylist()
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_MANIFEST), sink, compression="zstd")
    name = set_digest(current.uncovered)
    store.put_if_absent(
        f"{layout.phase_folder(phase, key)}/manifests/{name}.parquet", sink.getvalue()
    )
