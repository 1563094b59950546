"""The ledger of a run: one Parquet with what became of every clip, and of all that left before.

One row per clip that select judged, kept or not, and one per drop of every phase; so the rows add
up to the funnel, step by step and reason by reason, in items and in seconds. It is written beside
the report by every run of a composition, from the commits alone: equal runs write equal bytes.
Nothing else depends on it, so it may be removed or copied; `docs/ledger.md` says what each column
means. The price is a copy of the verdicts, some 60 bytes a clip.
"""

import dataclasses
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import commits
from pipeline.commits import Ledger
from pipeline.curate import RunResult, StreamResult
from pipeline.funnel import tasks_of, unnamed_segments
from pipeline.phases.rows import joined_schema, kept_rows
from pipeline.phases.select import read_verdicts
from schemas.store import Store, StoreError

FORMAT = 1
CLIP, SOURCE, STRETCH, PAGE = "clip", "source", "stretch", "page"
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), False),
        pa.field("item", pa.string(), False),  # clip, page, source, stretch (anything between)
        pa.field("stream", pa.string(), False),
        pa.field("kept", pa.bool_(), False),
        pa.field("split", pa.string()),  # of kept clips
        pa.field("phase", pa.string()),  # this and the next four: of what left, and of notes
        pa.field("step", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("detail", pa.string()),
        pa.field("seconds", pa.float64(), False),
        pa.field("start", pa.float64()),  # in the recording
        pa.field("end", pa.float64()),
        pa.field("recording", pa.string()),
        pa.field("task", pa.string()),
        pa.field("source", pa.string()),  # uri
        pa.field("language", pa.string()),
        pa.field("topic", pa.string()),
    ]
)
NAMES = ("item", "stream", "split", "phase", "step", "reason", "source", "language", "topic")
_DROP = ("id", "root", "step", "reason", "seconds", "start", "end", "score", "threshold", "detail")
_VERDICT = ("split", "step", "reason", "score", "threshold", "detail", "seconds", "task")


def verdicts_file(compose_key: str) -> str:
    """Where the ledger of a composition lies."""
    return f"report/{compose_key}/verdicts.parquet"


def run_mark(compose_key: str, run: str) -> str:
    """An empty object that says which composition a run ended in."""
    return f"report/{compose_key}/runs/{run}"


def write_verdicts(store: Store, result: RunResult) -> str:
    """Write the ledger of a run and mark whose it is. Returns its name."""
    name = verdicts_file(result.compose_key)
    about = {
        "format": FORMAT,
        "compose": result.compose_key,
        "name": result.recipe.name,
        "recipe": result.recipe.canonical(),
    }
    schema = SCHEMA.with_metadata({"speechloom": json.dumps(about, sort_keys=True)})
    with (
        _opened(store, name) as sink,
        pq.ParquetWriter(sink, schema, compression="zstd", compression_level=1) as writer,
    ):
        for table in tables(store, result):
            if table.num_rows:
                writer.write_table(table)
    store.replace(run_mark(result.compose_key, result.run), b"")
    return name


@contextmanager
def _opened(store: Store, name: str) -> Iterator[Any]:
    """Where bytes of an object go; it is there as a whole at the end, or as it was before."""
    local = store.local(name)
    if local is None:
        with tempfile.TemporaryDirectory(prefix="speechloom-") as folder:
            path = Path(folder) / "object"
            with path.open("wb") as file:
                yield file
            store.replace(name, path)
        return
    staged = local.with_name(f"{local.name}#{os.getpid()}")
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("wb") as file:
            yield file
        os.replace(staged, local)
    except OSError as error:
        raise StoreError(f"cannot write {local}: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)


def tables(store: Store, result: RunResult) -> Iterator[pa.Table]:
    """The rows of a run, block by block, in an order that depends on ids alone."""
    for stream in result.streams:
        yield _gathered(stream)
        recordings, tasks = sorted(stream.census.recordings), tasks_of(store, stream)
        line, before = stream.outline, stream.before
        yield _left(store, stream, line.opens, stream.heard, recordings)
        yield _copies(stream)
        if before is not None:
            for known in before.measured:
                yield _left(store, before, "measure", known, sorted(stream.census.tasks))
            for table in _clips(store, before):
                yield table.filter(pc.invert(table["kept"]))  # what is kept is spoken: see below
        if line.rows != "extract":
            yield _left(store, stream, line.rows, stream.annotated, tasks)
        if line.kind == "audio":
            yield _unnamed(store, stream)
        for known in stream.measured:
            yield _left(store, stream, "measure", known, tasks)
        yield from _clips(store, stream)


def _table(columns: Mapping[str, Any], rows: int) -> pa.Table:
    """Rows of the ledger; columns that are not given are null."""
    found = []
    for field in SCHEMA:
        values = columns.get(field.name)
        if values is None or isinstance(values, str | bool):
            values = pa.repeat(pa.scalar(values, field.type), rows)
        found.append(values)
    return pa.table(found, schema=SCHEMA)


def _gathered(stream: StreamResult) -> pa.Table:
    """What crawl refused. Its length is unknown."""
    rows = [
        {
            **{name: getattr(drop, name) for name in _DROP if name != "root"},
            "item": SOURCE,
            "stream": stream.outline.name,
            "kept": False,
            "phase": "gather",
            "source": source.uri,
        }
        for drop, source in zip(stream.census.drops, stream.census.dropped, strict=True)
    ]
    rows.sort(key=lambda row: (row["source"], row["id"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _uris(stream: StreamResult) -> tuple[dict[str, str], dict[str, str]]:
    """The recording and the uri of every root: recordings and tasks."""
    census = stream.census
    recording = {name: name for name in census.recordings}
    uri = {name: found.uri for name, found in census.recordings.items()}
    for name, task in census.tasks.items():
        recording[name], uri[name] = task.recording, census.sources_of[name][0].uri
    return recording, uri


def _left(
    store: Store, stream: StreamResult, phase: str, known: Ledger, roots: Sequence[str]
) -> pa.Table:
    """What a phase before select dropped."""
    found = [
        drops.filter(pc.is_in(drops["root"], pa.array(sorted(ids), pa.string())))
        for name, ids in known.by_commit(roots)
        if (drops := commits.column(store, name, "drop", _DROP)).num_rows
    ]
    if not found:
        return SCHEMA.empty_table()
    drops = pa.concat_tables(found)
    order = ["root", "start", "end", "id", "step", "reason"]
    drops = drops.sort_by([(name, "ascending") for name in order])
    recording, uri = _uris(stream)
    names = drops["root"].to_pylist()
    return _table(
        {
            **{name: drops[name] for name in _DROP if name != "root"},
            "item": STRETCH,
            "stream": stream.outline.name,
            "kept": False,
            "phase": phase,
            "recording": pa.array([recording[name] for name in names], pa.string()),
            "task": drops["root"] if phase not in ("hear", "extract") else None,
            "source": pa.array([uri[name] for name in names], pa.string()),
        },
        drops.num_rows,
    )


def _copies(stream: StreamResult) -> pa.Table:
    """Texts that stand in several places: one page each, the other places are told here."""
    rows = [
        {
            "id": page,
            "item": STRETCH,
            "stream": stream.outline.name,
            "kept": False,
            "phase": "extract",
            "step": "pages",
            "reason": "copy",
            "seconds": 0.0,
            "recording": file,
            "task": page,
            "source": stream.census.recordings[file].uri,
        }
        for page, file in (stream.pages.copies if stream.pages else ())
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _unnamed(store: Store, stream: StreamResult) -> pa.Table:
    """Speech of channels that no row of a table names: the funnel counts it below annotate."""
    rows = [
        {
            "id": row["id"],
            "item": STRETCH,
            "stream": stream.outline.name,
            "kept": False,
            "phase": "annotate",
            "step": "annotate",
            "reason": "channel_not_named",
            "detail": f"channel {row['channel']}",
            "seconds": seconds,
            "start": row["start"],
            "end": row["end"],
            "recording": row["recording"],
            "source": stream.census.recordings[row["recording"]].uri,
        }
        for row, seconds in unnamed_segments(store, stream)
    ]
    rows.sort(key=lambda row: (row["recording"], row["detail"], row["start"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _clips(store: Store, stream: StreamResult) -> Iterator[pa.Table]:
    """Every clip that select judged; compose has the last word on those that it kept."""
    line = stream.outline
    columns = joined_schema(line.measures).names
    topic = next((name for name in columns if name.rpartition(".")[2] == "topic"), None)
    heard = "language.language" if "language.language" in columns else None
    wanted = ["id", "start", "end", "recording", "language", "source"]
    wanted += [name for name in (topic, heard) if name is not None]
    for block in stream.blocks:
        judged = read_verdicts(store, stream.select_key, [block.id])
        rows = kept_rows(store, block, line.measures, wanted)
        at = pc.index_in(judged["id"], value_set=rows["id"].combine_chunks())
        rows = rows.take(at)
        language = rows["language"]
        if heard is not None:
            language = pc.coalesce(_given(rows[heard]), language)
        said: dict[str, Any] = {name: judged[name] for name in _VERDICT}
        said["kept"] = judged["kept"]
        said["phase"] = pc.if_else(
            pc.is_valid(judged["reason"]), "select", pa.scalar(None, pa.string())
        )
        said |= _composed(store, stream, block, judged)
        yield _table(
            {
                **said,
                "id": judged["id"],
                "item": PAGE if line.rows == "extract" else CLIP,
                "stream": line.name,
                "start": rows["start"],
                "end": rows["end"],
                "recording": rows["recording"],
                "source": rows["source"],
                "language": _given(language),
                "topic": rows[topic].cast(pa.string()) if topic is not None else None,
            },
            judged.num_rows,
        )


def _given(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """An empty text says nothing."""
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _composed(store: Store, stream: StreamResult, block: Any, judged: pa.Table) -> dict[str, Any]:
    """The columns in which clips that compose dropped differ from what select said."""
    roots = [task.task for task in block.tasks]
    found = [
        drops.filter(pc.is_in(drops["root"], pa.array(sorted(ids), pa.string())))
        for name, ids in stream.arranged.by_commit(roots)
        if (drops := commits.column(store, name, "drop", _DROP)).num_rows
    ]
    drops = pa.concat_tables(found) if found else None
    if drops is None or not drops.num_rows:
        return {}
    at = pc.index_in(judged["id"], value_set=drops["id"].combine_chunks())
    left = pc.is_valid(at)
    changed: dict[str, Any] = {
        name: pc.if_else(left, drops[name].take(at), judged[name])
        for name in ("step", "reason", "score", "threshold", "detail")
    }
    kept = pc.and_(judged["kept"], pc.invert(left))
    phase = pc.if_else(pc.is_valid(judged["reason"]), "select", pa.scalar(None, pa.string()))
    changed["kept"] = kept
    changed["phase"] = pc.if_else(left, "compose", phase)
    changed["split"] = pc.if_else(kept, judged["split"], pa.scalar(None, pa.string()))
    return changed


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """The ledger of a run, to be read."""

    where: str
    name: str  # of the recipe
    recipe: Mapping[str, Any]
    file: Any  # a path, or the bytes

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns; those of few values as dictionaries."""
        source = io.BytesIO(self.file) if isinstance(self.file, bytes) else self.file
        named = [name for name in columns if name in NAMES]
        with pq.ParquetFile(source, read_dictionary=named) as file:
            return file.read(columns=list(columns), use_threads=False)


def open_verdicts(store: Store, name: str) -> Verdicts:
    """A ledger by its name in a store. Raises `FileNotFoundError`, `StoreError`."""
    local = store.local(name)
    if local is not None and not local.is_file():
        raise FileNotFoundError(store.where(name))
    file: Any = str(local) if local is not None else store.get(name)
    where = store.where(name)
    try:
        schema = pq.read_schema(io.BytesIO(file) if isinstance(file, bytes) else file)
        about = json.loads((schema.metadata or {})[b"speechloom"])
        if about["format"] != FORMAT or set(SCHEMA.names) - set(schema.names):
            raise KeyError(f"format {about['format']}")
        return Verdicts(where, str(about["name"]), dict(about["recipe"]), file)
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise StoreError(
            f"{where} is no ledger of this version ({error!r:.120}). Run curate with that recipe "
            "again: where everything is done, it only writes what reports are made of"
        ) from error
