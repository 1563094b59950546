"""Purge: rewrite what is stored so that nothing of what is to be forgotten remains in an OUT.

Commits lose the rows, tars the audio; what others of the same part became stays, at new places of a
new tar, so nothing of them is transcribed again. Shards are rewritten in place with their indexes
and manifests. What judges whole sets (select), joins rows or shows people something (reports,
cards) is removed where it speaks of it: the next run writes it anew.

A note of what goes (ids and digests only) is written first and removed last, and every step may be
repeated: a purge that was killed goes on by the same command. Old tars go after all that points
into them.
"""

import dataclasses
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import layout
from pipeline.commits import drop_key
from pipeline.forgetting import whole
from pipeline.phases import fetch_notes
from pipeline.phases.fetch import body_name, fetch_key
from schemas import shard_tar
from schemas.checksums import crc32
from schemas.ids import bytes_digest
from schemas.manifest import NAME, index_name, manifest_files, read_manifest
from schemas.records import Drop
from schemas.shard_forget import without
from schemas.shard_index import read_index
from schemas.store import Store
from schemas.tables import from_row
from transforms.engines.generator_cache import CACHE, folder_of

STORED = ("hear", "synthesize")  # phases that store audio
FOLDER = "purge"
PLAN = f"{FOLDER}/plan.json"
_REF = frozenset(("tar", "offset", "size", "start", "end", "rate"))
Row: TypeAlias = dict[str, Any]
Changed = list[tuple[str, str, str]]  # name, digest before, digest after ("" where it is gone)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gone:
    """What goes, by id."""

    uris: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    bytes: frozenset[str] = frozenset()  # recordings, and other bodies
    tasks: frozenset[str] = frozenset()
    clips: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()

    def __or__(self, other: "Gone") -> "Gone":
        fields = (field.name for field in dataclasses.fields(self))
        return Gone(**{name: getattr(self, name) | getattr(other, name) for name in fields})


def planned(store: Store, gone: Gone) -> Gone:
    """All that goes with some bytes: tasks, clips and documents, as commits and shards tell."""
    # a page is its own task, its own row and its own recording
    pages, others = _pages(store, gone.bytes)
    tasks, clips = set(gone.tasks | pages), set(gone.clips | pages)
    documents = set(gone.documents)
    for name in _commits(store, "annotate"):
        for row in _rows(store, name):
            if row["row"] is not None and row["row"]["recording"] in gone.bytes:
                tasks.add(row["row"]["task"])
                clips.add(row["row"]["id"])
    for phase in ("annotate", "synthesize"):
        for name in _commits(store, phase):
            for row in _rows(store, name):
                if row["drop"] is not None and row["drop"]["root"] in tasks:
                    clips.add(row["drop"]["id"])
                if row["row"] is not None and row["row"]["task"] in pages:
                    clips.add(row["row"]["id"])
    held = (gone.bytes - others) | pages  # a file of plain text has the digest of its page
    for name in _commits(store, "arrange"):
        for row in _rows(store, name):
            if row["row"] is not None and row["row"]["document"]["recording"] in held:
                documents.add(row["row"]["document"]["id"])
    for folder in _compositions(store):
        for name in _shards(store, folder):
            documents |= {key for key, recording in _held_by(store, name) if recording in held}
    found = Gone(tasks=frozenset(tasks), clips=frozenset(clips), documents=frozenset(documents))
    return gone | found


def _pages(store: Store, files: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The pages that stand in these files and in no other; and those that stand elsewhere."""
    found: set[str] = set()
    elsewhere: set[str] = set()
    for name in _commits(store, "extract"):
        for row in _rows(store, name):
            if row["row"] is not None:
                (found if row["row"]["root"] in files else elsewhere).add(row["row"]["id"])
    return frozenset(found - elsewhere), frozenset(elsewhere)


def _held_by(store: Store, name: str) -> list[tuple[str, str]]:
    """The documents of a shard and their recordings, by its index; by its members where a purge
    that did not finish wrote the shard anew and not its index."""
    found = []
    for row in read_index(store.get(index_name(name)), index_name(name)):
        if row.json_offset + row.json_size > (store.size(name) or 0):
            break
        data = store.get_range(name, row.json_offset, row.json_size)
        if crc32(data) != row.json_crc32:
            break
        found.append((row.key, _recording_of(data)))
    else:
        return found
    tar = shard_tar.members(io.BytesIO(store.get(name)), name)
    return [
        (member.name.removesuffix(".json"), _recording_of(member.data))
        for member in tar
        if member.name.endswith(".json")
    ]


def _recording_of(data: bytes) -> str:
    return str(json.loads(data)["recording"])


def interrupted(store: Store) -> Gone | None:
    """What a purge that did not finish was about."""
    try:
        told = json.loads(store.get(PLAN))
    except FileNotFoundError:
        return None
    return Gone(**{name: frozenset(values) for name, values in told.items()})


def purge(store: Store, gone: Gone) -> Changed:
    """Rewrite and remove. Returns the objects that have another digest now, or none."""
    note = {name: sorted(getattr(gone, name)) for name in Gone.__dataclass_fields__}
    store.replace(PLAN, json.dumps(note, sort_keys=True).encode())
    changed: Changed = []
    moved = _audio(store, gone, changed)
    for phase in (
        *("annotate", "synthesize", "measure", "arrange"),
        *("hear", "extract", "gather", "unpack", "fetch"),
    ):
        for name in _commits(store, phase):
            _commit(store, phase, name, gone, moved)
        _ledgers(store, phase, gone)
    _generated(store, gone)
    _notes(store, gone)
    _joined(store, gone)
    _judged(store, gone)
    touched = [
        folder for folder in _compositions(store) if _composition(store, folder, gone, changed)
    ]
    _shown(store, gone, set(touched))
    for digest in sorted(gone.bytes):
        name = body_name(fetch_key(), digest)
        if store.size(name) is not None:
            store.delete(name)
            changed.append((name, digest, ""))
    for tar in moved:
        store.delete(tar)
    store.delete(*(entry.name for entry in store.list(FOLDER) if entry.name != PLAN), PLAN)
    return changed


def _generated(store: Store, gone: Gone) -> None:
    """What a generator wrote about pages. A cache that a recipe has elsewhere is its owner's."""
    for page in sorted(gone.tasks):
        entries = store.list(f"{CACHE}/{folder_of(page)}")
        store.delete(*(entry.name for entry in entries))


# Commits.


def _commits(store: Store, phase: str) -> Iterator[str]:
    for entry in store.list(phase):
        if "/commits/" in entry.name and entry.name.endswith(".parquet"):
            yield entry.name


def _rows(store: Store, name: str) -> list[Row]:
    found: list[Row] = whole(store, name).to_pylist()
    return found


def _kept(phase: str, row: Row, gone: Gone) -> Row | None:
    """A line of a commit as it stays; None: it goes."""
    roots = gone.bytes if phase in ("hear", "extract") else gone.tasks
    if row["row"] is not None:
        return _kept_row(phase, row, gone)
    if phase in ("gather", "fetch", "unpack"):
        told = row["drop"]
        return None if told is not None and told["root"] in gone.sources else row
    for kind, field in (("done", "id"), ("drop", "root"), ("tally", "root")):
        if row[kind] is not None and row[kind][field] in roots:
            return None
    return row


def _kept_row(phase: str, row: Row, gone: Gone) -> Row | None:
    told = row["row"]
    if phase == "gather":
        return None if told["recording"]["id"] in gone.bytes else row
    if phase == "fetch":
        # how an owner opted out stays known; what was fetched does not
        away = told["sha256"] in gone.bytes or (
            told["url"] in gone.uris and told["reason"] != "opt_out"
        )
        return None if away else row
    if phase == "unpack":
        if told["sha256"] not in gone.bytes and told["url"] not in gone.uris:
            return row
        # its place is kept, or the records behind it would be others
        bare = {"url": "", "sha256": "", "detail": "", "content_type": "", "date": "", "bytes": 0}
        said = ("text", "speaker", "language", "licence", "feed")  # of a row of a data set
        bare |= {name: None for name in said if name in told}
        return {**row, "row": {**told, **bare, "reason": "suppressed"}}
    if phase == "measure":
        return None if told["id"] in gone.clips else row
    if phase == "extract":
        return None if told["root"] in gone.bytes else row
    if phase == "synthesize":
        return None if told["task"] in gone.tasks else row
    if phase == "arrange":
        return None if told["document"]["id"] in gone.documents else row
    return None if told["recording"] in gone.bytes else row


def _stays(phase: str, rows: list[Row], gone: Gone) -> list[Row]:
    found = [kept for row in rows if (kept := _kept(phase, row, gone)) is not None]
    if phase in ("gather", "fetch"):  # what is done is known by the ids of rows that went
        ids = {row["row"]["id"] for row in rows if row["row"] is not None}
        left = {row["row"]["id"] for row in found if row["row"] is not None}
        found = [r for r in found if r["done"] is None or r["done"]["id"] not in ids - left]
    lost = {
        drop_key(from_row(Drop, row["drop"]))
        for row in rows
        if row["drop"] is not None and _kept(phase, row, gone) is None
    }
    return [r for r in found if r["preview"] is None or r["preview"]["drop"] not in lost]


Moved: TypeAlias = Mapping[str, Mapping[str, Any]]  # tar name -> its successor, and its offsets


def _commit(store: Store, phase: str, name: str, gone: Gone, moved: Moved) -> None:
    table = whole(store, name)
    rows: list[Row] = table.to_pylist()
    left = _stays(phase, rows, gone)
    about = json.loads(table.schema.metadata[b"speechloom"])
    own = _tars_of(name) if phase in STORED else None
    patched = [_patched(row, moved, own) for row in left]
    tar = about.get("tar")
    after = moved.get(layout.tar_name(own, tar)) if own and tar else None
    if patched == rows and after is None:
        return
    if not any(row["done"] is not None for row in patched) and not any(
        row["row"] is not None for row in patched
    ):
        store.delete(name)
        return
    if after is not None:
        about["tar"] = after["tar"]
    meta = json.dumps(about, sort_keys=True)
    fresh = pa.Table.from_pylist(patched, schema=table.schema)
    fresh = fresh.replace_schema_metadata({"speechloom": meta})
    sink = io.BytesIO()
    pq.write_table(fresh, sink, compression="zstd", row_group_size=1 << 16)
    store.replace(name, sink.getvalue())


def _patched(value: Any, moved: Moved, key: str | None) -> Any:
    """A value with every reference into a tar that was rewritten turned to the new one.

    Tars of equal bytes lie under several keys only if they hold the same: the first is as good.
    """
    if isinstance(value, dict):
        if value.keys() >= _REF:
            for name, after in moved.items():
                if name.endswith(f"/{value['tar']}.tar") and str(value["offset"]) in after["at"]:
                    place = after["at"][str(value["offset"])]
                    return {**value, "tar": after["tar"], "offset": place}
            return value
        return {name: _patched(inner, moved, key) for name, inner in value.items()}
    if isinstance(value, list):
        return [_patched(inner, moved, key) for inner in value]
    return value


def _ledgers(store: Store, phase: str, gone: Gone) -> None:
    """Compactions that name what is gone; commits are read where none names them."""
    lost = gone.bytes | gone.tasks | gone.sources
    for entry in store.list(phase):
        if "/manifests/" not in entry.name:
            continue
        table = whole(store, entry.name)
        ids = set(table["id"].to_pylist())
        if phase in ("gather", "fetch", "unpack"):
            known = {
                row["done"]["id"]
                for name in set(table["commit"].to_pylist())
                if store.size(name) is not None
                for row in _rows(store, name)
                if row["done"] is not None
            }
            stale = bool(ids - known)
        else:
            stale = bool(ids & lost)
        if stale:
            store.delete(entry.name)


# Audio of segments.


def _audio(store: Store, gone: Gone, changed: Changed) -> dict[str, dict[str, Any]]:
    """Write the tars anew that hold what goes; where each member lies now, by old tar."""
    moved: dict[str, dict[str, Any]] = {}
    for entry in store.list(f"{FOLDER}/tars"):
        told = json.loads(store.get(entry.name))
        moved[told["name"]] = told
    for name in [one for phase in STORED for one in _commits(store, phase)]:
        table = whole(store, name)
        rows: list[Row] = table.to_pylist()
        left = _stays(name.split("/")[0], rows, gone)
        tar = json.loads(table.schema.metadata[b"speechloom"]).get("tar")
        if len(left) == len(rows) or not tar:
            continue
        old = layout.tar_name(_tars_of(name), tar)
        if old in moved:
            continue
        refs = sorted({(ref["offset"], ref["size"]) for ref in _refs(left)})
        digest, at = _tar_without(store, old, _tars_of(name), refs)
        told = {"name": old, "tar": digest, "at": at}
        store.replace(f"{FOLDER}/tars/{tar}.json", json.dumps(told, sort_keys=True).encode())
        moved[old] = told
    for old, told in moved.items():
        changed.append((old, old.rsplit("/", 1)[1].removesuffix(".tar"), told["tar"] or ""))
    return moved


def _tars_of(commit: str) -> str:
    """Where the tars of a commit's phase lie, as `layout.tar_name` takes it."""
    phase, key, _ = commit.split("/", 2)
    return key if phase == "hear" else layout.phase_folder(phase, key)


def _refs(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        for kind in ("row", "preview"):
            if row[kind] is not None and row[kind].get("audio") is not None:
                yield row[kind]["audio"]


def _tar_without(
    store: Store, old: str, key: str, refs: list[tuple[int, int]]
) -> tuple[str | None, dict[str, int]]:
    if not refs:
        return None, {}
    at: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="speechloom-") as folder:
        path = Path(folder) / "tar"
        with path.open("wb") as file:
            for offset, size in refs:
                head = store.get_range(old, offset - shard_tar.BLOCK, shard_tar.BLOCK + size)
                file.write(head[: shard_tar.BLOCK])
                at[str(offset)] = file.tell()
                file.write(head[shard_tar.BLOCK :] + shard_tar.padding(size))
            file.write(shard_tar.ending(file.tell()))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        store.take(layout.tar_name(key, digest), path)
    return digest, at


# Rows and verdicts that are made again.


def _notes(store: Store, gone: Gone) -> None:
    """Rows of rounds that were not committed."""

    def stays(row: Mapping[str, object]) -> bool:
        return _kept_row("fetch", {"row": row}, gone) is not None

    fetch_notes.purge(store, fetch_key(), stays)


def _joined(store: Store, gone: Gone) -> None:
    phases = ("annotate", "extract", "synthesize", "rows")
    for entry in [entry for phase in phases for entry in store.list(phase)]:
        if "/joined/" in entry.name:
            file = pq.ParquetFile(io.BytesIO(store.get(entry.name)))
            tasks = file.read(columns=["task"], use_threads=False)["task"]
            if not gone.tasks.isdisjoint(tasks.to_pylist()):
                store.delete(entry.name)


def _judged(store: Store, gone: Gone) -> None:
    """Select speaks of sets: a judgement in which what is gone had a part goes as a whole."""
    by: dict[str, list[str]] = {}
    for entry in store.list("select"):
        by.setdefault("/".join(entry.name.split("/")[:2]), []).append(entry.name)
    lost = [name.encode() for name in gone.tasks | gone.clips | gone.bytes]
    for names in by.values():
        mine = [n for n in names if "/locks/" not in n]
        if any(_speaks(store, name, gone, lost) for name in mine):
            first = [n for n in mine if n.endswith("/manifest.json")]
            store.delete(*first, *(n for n in mine if n not in first))


def _speaks(store: Store, name: str, gone: Gone, lost: list[bytes]) -> bool:
    data = store.get(name)
    if "/verdicts/" in name and name.endswith(".arrow"):
        table = pa.ipc.open_stream(data).read_all()
        return not gone.tasks.isdisjoint(table["task"].to_pylist())
    return any(one in data for one in lost)


# Compositions and reports.


def _compositions(store: Store) -> list[str]:
    names = [entry.name for entry in store.list("compose")]
    found = {"/".join(n.split("/")[:2]) for n in names if n.count("/") >= 2}
    return sorted(found - {"compose/entries", "compose/locks"})


def _shards(store: Store, folder: str) -> list[str]:
    names = {entry.name for entry in store.list(folder)}
    return sorted(n for n in names if n.endswith(".tar") and index_name(n) in names)


def _composition(store: Store, folder: str, gone: Gone, changed: Changed) -> bool:
    """Rewrite the shards of a composition that hold what goes. Whether there were any."""
    try:
        manifest = read_manifest(lambda name: store.get(f"{folder}/{name}"))
    except FileNotFoundError:  # of a run that did not finish: the next writes its shards anew
        return _loose(store, folder, gone, changed)
    before = {entry.name: entry for entry in manifest.shards}
    after = dict(before)
    for name, entry in before.items():
        place = f"{folder}/{name}"
        data = store.get(index_name(place)) if store.size(index_name(place)) is not None else b""
        rows = read_index(data, index_name(place)) if data else []
        held = gone.documents & {row.key for row in rows}
        whole_one = store.size(place) == entry.bytes and bytes_digest(data) == entry.index_sha256
        if not held and whole_one:
            continue
        found = _shard(store, place, rows, gone, entry) if rows else None
        if found is None:
            del after[name]
        else:
            after[name] = found
        changed.append((place, entry.sha256, found.sha256 if found else ""))
    if after == before:
        return False
    _unlink_entries(
        store, {before[name].sha256 for name in before if after.get(name) != before[name]}
    )
    shards = tuple(entry for _, entry in sorted(after.items()))
    if not shards:
        _pointers(store, folder.split("/")[1])
        names = [entry.name for entry in store.list(folder)]
        store.delete(f"{folder}/{NAME}", *names)
        return True
    files = manifest_files(dataclasses.replace(manifest, shards=shards))
    for name, data in files.items():
        store.replace(f"{folder}/{name}", data)
    keep = {*files, *after, *(index_name(name) for name in after)}
    for found_name in [one.name for one in store.list(folder)]:
        if found_name.removeprefix(f"{folder}/") not in keep:
            store.delete(found_name)
    return True


def _shard(store: Store, place: str, rows: Any, gone: Gone, entry: Any) -> Any:
    local = store.local(place)
    with tempfile.TemporaryDirectory(
        prefix="purge-", dir=local.parent if local is not None else None
    ) as folder:
        source = local
        if source is None:
            source = Path(folder) / "old"
            store.copy_to(place, source)
        target = Path(folder) / "new"
        made = without(source, target, rows, gone.documents, entry)
        if made is None:
            store.delete(place, index_name(place))
            return None
        found, index = made
        if local is not None:
            os.replace(target, local)
        else:
            store.replace(place, target)
        store.replace(index_name(place), index)
    return found


def _loose(store: Store, folder: str, gone: Gone, changed: Changed) -> bool:
    found = False
    for place in _shards(store, folder):
        rows = read_index(store.get(index_name(place)), index_name(place))
        if gone.documents & {row.key for row in rows}:
            digest = _digest(store, place)
            _unlink_entries(store, {digest})
            store.delete(place, index_name(place))
            changed.append((place, digest, ""))
            found = True
    return found


def _digest(store: Store, place: str) -> str:
    with tempfile.TemporaryDirectory(prefix="speechloom-") as folder:
        path = store.local(place)
        if path is None:
            path = Path(folder) / "tar"
            store.copy_to(place, path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _unlink_entries(store: Store, digests: set[str]) -> None:
    """Notes of shards that are no longer what they were."""
    for entry in store.list("compose/entries"):
        if json.loads(store.get(entry.name))["entry"]["sha256"] in digests:
            store.delete(entry.name)


def _pointers(store: Store, compose: str) -> None:
    """Runs of a composition of which nothing is left."""
    for entry in store.list("runs"):
        if json.loads(store.get(entry.name)).get("compose") == compose:
            store.delete(entry.name)


def _shown(store: Store, gone: Gone, touched: set[str]) -> None:
    """Reports and cards that show what goes; lists of sources stay without it."""
    keys: dict[str, list[str]] = {}
    for entry in store.list("report"):
        keys.setdefault(entry.name.split("/")[1], []).append(entry.name)
    for key, names in keys.items():
        fresh: dict[str, pa.Table] = {}
        told = [name for name in names if "/sources/" in name]
        for name in told:
            table = whole(store, name)
            left = [row for row in table.to_pylist() if not _listed(row, gone)]
            if len(left) != table.num_rows:
                fresh[name] = pa.Table.from_pylist(left, schema=table.schema)
        folder = f"compose/{key}"
        if not fresh and told and folder not in touched:
            continue
        store.delete(*(n for n in names if n not in told and "/runs/" not in n))
        for entry in store.list(folder):
            rest = entry.name.removeprefix(f"{folder}/")
            if "/" not in rest and not rest.startswith("manifest"):
                store.delete(entry.name)
        for name, table in fresh.items():  # last: they say what is still to be done
            sink = io.BytesIO()
            pq.write_table(table, sink, compression="zstd")
            store.replace(name, sink.getvalue())


def _listed(row: Row, gone: Gone) -> bool:
    """Whether a source of a list goes."""
    by_bytes = row["recording"] is not None and row["recording"] in gone.bytes
    return by_bytes or row["uri"] in gone.uris or row["id"] in gone.sources
