"""Commits: one Parquet per part, written last with create-if-absent, and nothing else counts.

A commit holds five kinds of rows side by side, each in a nullable struct column: `done` (the
records that this part accounts for), `row` (what they became), `drop` (what left, and why), `tally`
(what each step took and gave) and `preview` (where to hear some of what left). A part's tar, if
any, is stored before under the digest of its bytes, so the rows of a losing attempt can never point
into the winner's audio: the loser's commit is not created and its tar is garbage that
`speechloom gc` removes.

Reading a phase means: list its commits, ask which record ids are done and by which commit. That
map is compacted into `manifests/` (`pipeline/manifests.py`) and held as columns
(`pipeline/accounts.py`).
"""

import dataclasses
import functools
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import layout, notes
from pipeline.accounts import (
    Accounts,
    CommitOf,
    DeadIn,
    Fresh,
    Names,
    Rows,
    SecondsOf,
    account,
)
from pipeline.manifests import (
    ROWS_PER_MANIFEST,
    SCHEMA,
    Manifest,
    manifest_rows,
    manifests,
    merge,
    numbers,
    opened,
    source_of,
)
from pipeline.spilling import Texts, texts_of
from pipeline.sums import DROP, TALLY
from schemas.records import AudioRef, Drop
from schemas.store import Store
from schemas.tables import arrow_schema, from_row, to_row, to_table

R = TypeVar("R")

FORMAT = 1
READ_AT_ONCE = 512  # commits
READERS = 16  # of commits on a remote store, which are waited for


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
        "row": [r if isinstance(r, dict) else _row(r) for r in content.rows],
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


def _row(row: Any) -> dict[str, Any]:
    return dict(row) if isinstance(row, Mapping) else to_row(row)


def about(store: Store, name: str) -> dict[str, Any]:
    """The header of a commit: format, tar, phase, key, part."""
    raw = pq.read_schema(source_of(store, name)).metadata[b"speechloom"]
    return dict(json.loads(raw))


def column(store: Store, name: str, kind: str, fields: Sequence[str] | None = None) -> pa.Table:
    """One kind of a commit's rows as a flat table; `fields` projects before reading."""
    return columns(store, name, {kind: fields})[kind]


def columns(
    store: Store, name: str, kinds: Mapping[str, Sequence[str] | None]
) -> dict[str, pa.Table]:
    """Several kinds, read at once."""
    wanted = [
        name
        for kind, fields in kinds.items()
        for name in ([kind] if fields is None else [f"{kind}.{field}" for field in fields])
    ]
    with opened(store, name) as file:
        table = file.read(columns=wanted, use_threads=False)
    found = {}
    for kind in kinds:
        structs = table.column(kind).combine_chunks()
        found[kind] = pa.Table.from_struct_array(structs.filter(pc.is_valid(structs)))
    return found


def records(
    store: Store,
    name: str,
    kind: str,
    record: type[R],
    chosen: tuple[str, AbstractSet[str]] | None = None,
) -> list[R]:
    """One kind of a commit's rows as records; `chosen`: a field ("id", "document.id") and the
    values to take, for a few of many rows."""
    table = column(store, name, kind)
    if chosen is not None:
        path, values = chosen
        field: Any = pc.struct_field(
            table.to_struct_array().combine_chunks(), indices=path.split(".")
        )
        table = table.filter(pc.is_in(field, pa.array(sorted(values), pa.string())))
    return [from_row(record, row) for row in table.to_pylist()]


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
    name = layout.commit_name(phase, key, part)
    won = store.put_if_absent(name, data)
    if won and notes.telling():
        rows = {
            "done": to_table(content.done, Done),
            "tally": to_table(content.tallies, Tally),
            "drop": to_table(content.drops, Drop),
        }
        notes.took(store, phase, key, name, rows)
    return won


@dataclasses.dataclass(frozen=True, slots=True)
class Ledger:
    """Which records of a phase are done, and which commit says so."""

    done: Mapping[str, str]  # record id -> commit name
    seconds: Mapping[str, float]  # record id -> seconds at the phase's entrance
    commits: Sequence[str]  # sorted
    uncovered: Sequence[str] = ()  # commits that no manifest holds yet
    dead: AbstractSet[str] = frozenset()  # of `done`: nothing comes after them
    accounts: Accounts | None = dataclasses.field(default=None, compare=False, repr=False)
    """Where it was read from a store: the columns behind `done`, `seconds` and `dead`."""

    def by_commit(self, ids: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
        """The commits that account for any of `ids`, by name, with those that they do."""
        if self.accounts is not None:
            yield from self.accounts.grouped(self.accounts.rows(ids))
            return
        found: dict[str, list[str]] = {}
        for record_id in ids:
            name = self.done.get(record_id)
            if name is not None:
                found.setdefault(name, []).append(record_id)
        yield from sorted(found.items())

    def commits_of(self, ids: Iterable[str]) -> dict[str, set[str]]:
        """Commit name -> those of `ids` that it accounts for."""
        return {name: set(mine) for name, mine in self.by_commit(ids)}

    def lacking(self, ids: Iterable[str]) -> Iterator[str]:
        """Those of `ids` that are not done."""
        if self.accounts is not None:
            return self.accounts.lacking(ids)
        return (record_id for record_id in ids if record_id not in self.done)


def ledger(store: Store, phase: str, key: str) -> Ledger:
    """Read what a phase has done. Where two commits hold one id, the first by name counts."""
    return _ledger(store, phase, key, {"done": None}, lambda rows: None)


def compact(store: Store, phase: str, key: str) -> Ledger:
    """`ledger`, and write manifests of the commits that none holds yet. Safe to repeat, to race
    and to kill: a manifest only repeats what its commits say."""
    waiting = Manifest()

    def keep(rows: dict[str, pa.Table]) -> None:
        nonlocal waiting
        waiting.take(rows)
        if waiting.rows >= ROWS_PER_MANIFEST:
            waiting.write(store, phase, key)
            waiting = Manifest()

    known = _ledger(store, phase, key, {"done": None, "tally": TALLY, "drop": DROP}, keep)
    if waiting.rows:
        waiting.write(store, phase, key)
    merge(store, phase, key)
    return dataclasses.replace(known, uncovered=())


def _ledger(
    store: Store,
    phase: str,
    key: str,
    kinds: Mapping[str, Sequence[str] | None],
    keep: Callable[[dict[str, pa.Table]], None],
) -> Ledger:
    """`ledger`; `keep` is given these kinds of rows of the commits that no manifest holds."""
    folder = layout.commits_folder(phase, key)

    def read(names: Names) -> Iterator[Fresh]:
        for first, some in _read(store, names, kinds):
            rows = {kind: pa.concat_tables(one[kind] for one in some) for kind in kinds}
            held = [one["done"].num_rows for one in some]
            number = np.repeat(np.arange(first, first + len(some)), held)
            commit = pa.array(names[first : first + len(some)]).take(pa.array(number - first))
            done = rows["done"]
            told = [commit, done["id"], done["seconds"], done["dead"]]
            keep({**rows, "done": pa.table(told, schema=SCHEMA)})
            yield number, texts_of(done["id"]), *numbers(done)

    told = _manifests(store, phase, key)
    accounts, uncovered = account(folder, _listed(store, folder), told, read)
    return Ledger(
        done=CommitOf(accounts),
        seconds=SecondsOf(accounts),
        commits=Names(folder, accounts.files),
        uncovered=uncovered,
        dead=DeadIn(accounts),
        accounts=accounts,
    )


def _listed(store: Store, folder: str) -> Iterator[Texts]:
    """The names of commits that are there, without their folder."""
    for names in store.names(folder):
        found = [name[len(folder) + 1 :] for name in names if name.endswith(".parquet")]
        yield texts_of(found)


def _manifests(store: Store, phase: str, key: str) -> Iterator[Rows]:
    """What manifests tell, piece by piece."""
    start = len(layout.commits_folder(phase, key)) + 1
    for _, file in manifests(store, phase, key):
        for batch in file.iter_batches(1 << 16, use_threads=False):
            yield manifest_rows(batch, start)


def _read(
    store: Store, names: Sequence[str], kinds: Mapping[str, Sequence[str] | None]
) -> Iterator[tuple[int, list[dict[str, pa.Table]]]]:
    """Rows of commits, some hundred at a time, with the place of the first."""
    for first in range(0, len(names), READ_AT_ONCE):
        yield first, read_some(store, names[first : first + READ_AT_ONCE], kinds)


def read_some(
    store: Store, names: Sequence[str], kinds: Mapping[str, Sequence[str] | None]
) -> list[dict[str, pa.Table]]:
    """`columns` of some commits; remote ones, which are waited for, at the same time."""
    read = functools.partial(_columns, store, kinds=kinds)
    if not store.remote:
        return [read(name) for name in names]
    with ThreadPoolExecutor(READERS, "reader") as pool:
        return list(pool.map(read, names))


def _columns(
    store: Store, name: str, kinds: Mapping[str, Sequence[str] | None]
) -> dict[str, pa.Table]:
    found = columns(store, name, kinds)
    if "done" in found:
        if "dead" not in found["done"].column_names:  # of an older version
            nobody = pa.array([False] * found["done"].num_rows)
            found["done"] = found["done"].append_column("dead", nobody)
        found["done"] = found["done"].select(["id", "seconds", "dead"])
    return found
