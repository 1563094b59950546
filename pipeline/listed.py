"""What DATA listed in a run, source by source, kept beside the report for `speechloom explain`.

Commits know recordings and tasks, but not the names under which people know them, nor the files
that crawl refused. One small Parquet per stream holds both: a uri with what it became. It is
written anew by every run of a composition, like the report, and no result depends on it.
"""

import dataclasses
import io
from collections.abc import Iterator

import pyarrow.parquet as pq

from pipeline.curate import RunResult, StreamResult
from schemas.records import Drop, Source, task_id
from schemas.store import Store
from schemas.tables import from_table, to_table


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One source: the recording and task it holds, or the reason why crawl dropped it."""

    id: str
    uri: str
    provenance: str = ""  # "table.csv:12"
    licence: str | None = None
    speaker: str | None = None
    language: str | None = None
    channel: int | None = None
    recording: str | None = None  # None: dropped
    task: str | None = None  # of a file of pages: the page, one row for each
    reason: str | None = None
    detail: str = ""


def sources_name(compose_key: str, stream: str) -> str:
    return f"report/{compose_key}/sources/{stream}.parquet"


def write_sources(store: Store, result: RunResult) -> None:
    """Write the sources of every stream of a run."""
    for stream in result.streams:
        sink = io.BytesIO()
        pq.write_table(to_table(_rows(stream), Listed), sink, compression="zstd")
        store.replace(sources_name(result.compose_key, stream.outline.name), sink.getvalue())


def read_sources(store: Store, compose_key: str, stream: str) -> list[Listed]:
    """The sources of a stream. Raises `FileNotFoundError` where the run left none."""
    data = store.get(sources_name(compose_key, stream))
    return from_table(pq.ParquetFile(io.BytesIO(data)).read(use_threads=False), Listed)


def _rows(stream: StreamResult) -> list[Listed]:
    census = stream.census
    rows = (
        list(_pages(stream))
        if stream.outline.kind == "page"
        else [_kept(source, census.holds[source.id]) for source in census.sources]
    )
    rows += [
        _dropped(source, drop) for source, drop in zip(census.dropped, census.drops, strict=True)
    ]
    return sorted(rows, key=lambda row: (row.uri, row.id, row.task or ""))


def _pages(stream: StreamResult) -> Iterator[Listed]:
    """Each page with each place that it was found at, and files that held none."""
    found = set()
    files = {source.id: source for source in stream.census.sources}
    for page, sources in stream.census.sources_of.items():
        for source in sources:
            found.add(source.id)
            row = _kept(files[source.id], stream.census.holds[source.id])
            yield dataclasses.replace(row, task=page, licence=source.licence)
    for source in stream.census.sources:
        if source.id not in found:
            yield dataclasses.replace(_kept(source, stream.census.holds[source.id]), task=None)


def _kept(source: Source, recording: str) -> Listed:
    given = (source.channel, source.text, source.speaker, source.language, source.cues)
    return Listed(
        id=source.id,
        uri=source.uri,
        provenance=source.provenance,
        licence=source.licence,
        speaker=source.speaker,
        language=source.language,
        channel=source.channel,
        recording=recording,
        task=task_id(recording, *given),
    )


def _dropped(source: Source, drop: Drop) -> Listed:
    return Listed(
        id=source.id,
        uri=source.uri,
        provenance=source.provenance,
        licence=source.licence,
        speaker=source.speaker,
        language=source.language,
        channel=source.channel,
        reason=drop.reason,
        detail=drop.detail,
    )
