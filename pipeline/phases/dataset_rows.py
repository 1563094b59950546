"""dataset rows: Hugging Face datasets in, bodies by content hash out; each row of each is told.

A part is a *unit*: one Parquet file or tar of a data set, or a split of one that cannot be cut by
files. Its rows are streamed and committed a thousand at a time, so a kill costs one such stretch
(the data set is led past what is committed, which is not taken again). The bytes are stored as they
are: nothing is decoded here. A path in a row is a stranger's word, so it may not lead out of its
data set.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import pyarrow as pa

from pipeline import commits, layout
from pipeline.commits import Content, Done
from pipeline.dataset_library import Unit, library, read_rows
from pipeline.phases.fetch import body_name, fetch_key
from pipeline.simple import SimpleJob
from schemas.ids import digest_of
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.gather.dataset_columns import said
from transforms.gather.entry import within
from transforms.gather.found import DataError

FORMAT = 1
CHUNK_ROWS = 1000
CHUNK_BYTES = 1 << 28
PIECE = 1 << 20


def dataset_key() -> str:
    """All recipes share what was read; what decides the rows of a unit is in its id."""
    return digest_of("dataset", FORMAT)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRow:
    """What became of one row."""

    id: str
    url: str  # the uri of its source
    reason: str = ""
    detail: str = ""
    bytes: int = 0
    sha256: str = ""
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    licence: str | None = None
    channel: int | None = None
    feed: str | None = None


class _Lost(Exception):
    """A row without a body: its reason, and a detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)


class _Stopped(Exception):
    """A data set that does not go on now, and may later: its reason, and a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)


def _stopped(unit: Unit, error: OSError) -> _Stopped:
    reason = "connect" if unit.root.startswith("hf://") else "unreadable"
    return _Stopped(reason, f"{unit.uri}: {type(error).__name__}: {error.strerror or ''}")


def unit_uri(unit: Unit, place: int) -> str:
    """The uri of a row of a unit, counted from 0."""
    return f"{unit.uri}#{place}"


def _chunk(unit: Unit, start: int) -> str:
    return digest_of("dataset rows", unit.id, start)


def known_rows(store: Store, unit: Unit) -> list[DatasetRow]:
    """The rows of a unit that are committed, from its first on without a gap."""
    found: list[DatasetRow] = []
    while True:
        name = layout.commit_name("unpack", dataset_key(), _chunk(unit, len(found)))
        if store.size(name) is None:
            return found
        more = commits.records(store, name, "row", DatasetRow)
        if not more:
            return found
        found += more


def _trouble_name(unit: Unit) -> str:
    return f"{layout.phase_folder('unpack', dataset_key())}/trouble/{unit.id}.json"


def trouble(store: Store, unit: Unit) -> tuple[str, str]:
    """Why a unit was not read to its end, as reason and detail."""
    try:
        told = json.loads(store.get(_trouble_name(unit)))
    except FileNotFoundError:
        return "waiting", ""
    return str(told["reason"]), str(told["detail"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetJob(SimpleJob):
    phase: ClassVar[str] = "unpack"

    max_bytes: int | None
    follow_links: bool = False
    unwanted: frozenset[str] = frozenset()  # digests that the suppression list names
    rows: int | None = None  # of each unit, from its first; None: all

    def run_part(self, unit: Unit) -> None:
        folder = self._scratch()
        start = len(known_rows(self.store, unit))
        left = None if self.rows is None else max(0, self.rows - start)
        rows: list[DatasetRow] = []
        size = 0
        source = read_rows(unit, start, str(folder / "cache"))
        try:
            while left is None or start + len(rows) < (self.rows or 0):
                place = start + len(rows)
                value, end = self._next(source, unit, place)
                if value is None and end is None:
                    self._commit(unit, start, rows, last=True)
                    break
                row = end or self._row(unit, place, cast(dict[str, Any], value), folder / "body")
                rows.append(row)
                size += row.bytes
                if end is not None:
                    self._commit(unit, start, rows, last=True)
                    break
                if len(rows) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                    self._commit(unit, start, rows)
                    start, rows, size = start + len(rows), [], 0
            else:
                self._commit(unit, start, rows)
            self.store.delete(_trouble_name(unit))
        except _Stopped as stop:
            self._commit(unit, start, rows)
            note = {"reason": stop.reason, "detail": stop.detail}
            self.store.replace(_trouble_name(unit), json.dumps(note, sort_keys=True).encode())
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _next(
        self, source: Iterator[dict[str, Any]], unit: Unit, place: int
    ) -> tuple[dict[str, Any] | None, DatasetRow | None]:
        """The next row; or the row that says that nothing behind it can be read."""
        try:
            return next(source, None), None
        except OSError as error:
            raise _stopped(unit, error) from error
        except (ValueError, TypeError, pa.ArrowException, tarfile.TarError, *_broken()) as error:
            detail = f"from here on: {type(error).__name__}: {error}"[:300]
            return None, self._told(unit, place, reason="broken", detail=detail)

    def _told(self, unit: Unit, place: int, **values: Any) -> DatasetRow:
        return DatasetRow(
            id=digest_of("dataset row", unit.id, place), url=unit_uri(unit, place), **values
        )

    def _row(self, unit: Unit, place: int, row: dict[str, Any], body: Path) -> DatasetRow:
        where = unit_uri(unit, place)
        try:
            given = said(where, row, unit.columns)
        except DataError as error:
            return self._told(unit, place, reason="bad_cell", detail=error.what)
        try:
            sha256, size = self._body(unit, row.get(unit.columns.audio) or {}, body)
        except _Lost as lost:
            return self._told(unit, place, reason=lost.reason, detail=lost.detail)
        self.store.take(body_name(fetch_key(), sha256), body)
        body.unlink()  # its name alone: the store shares the file
        return self._told(unit, place, bytes=size, sha256=sha256, **given)

    def _body(self, unit: Unit, audio: Mapping[str, Any], body: Path) -> tuple[str, int]:
        """Write a row's bytes into a file. Raises `_Lost`, and `_Stopped` where a hub fails."""
        limit = 1 << 62 if self.max_bytes is None else self.max_bytes
        data, path = audio.get("bytes"), audio.get("path")
        digest, size = hashlib.sha256(), 0
        if data is None and not path:
            raise _Lost("no_audio")
        with body.open("wb") as file:
            for piece in [data] if data is not None else self._pieces(unit, str(path)):
                size += len(piece)
                if size > limit:
                    raise _Lost("too_large", f"more than {limit} bytes")
                digest.update(piece)
                file.write(piece)
        if not size:
            raise _Lost("empty")
        if digest.hexdigest() in self.unwanted:
            raise _Lost("suppressed")
        return digest.hexdigest(), size

    def _pieces(self, unit: Unit, path: str) -> Iterator[bytes]:
        place = located(path, unit.root, self.follow_links)
        try:
            with _opened(place) as file:
                while piece := file.read(PIECE):
                    yield piece
        except FileNotFoundError:
            raise _Lost("missing", path[:200]) from None
        except (zipfile.BadZipFile, EOFError) as error:
            raise _Lost("unreadable", f"{path[:200]}: {type(error).__name__}") from error
        except OSError as error:
            if unit.root.startswith("hf://"):
                raise _stopped(unit, error) from error
            raise _Lost("unreadable", f"{path[:200]}: {error.strerror}") from error

    def _commit(self, unit: Unit, start: int, rows: list[DatasetRow], last: bool = False) -> None:
        if not rows and not last:
            return
        part = _chunk(unit, start)
        done = [Done(id=part, seconds=0.0), *([Done(id=unit.id, seconds=0.0)] if last else [])]
        content = Content(done=tuple(done), rows=tuple(rows))
        schema = arrow_schema(DatasetRow)
        commits.write(self.store, self.phase, self.key, part, content, schema, self.run)

    def _scratch(self) -> Path:
        local = self.store.local(f"{layout.phase_folder('fetch', fetch_key())}/scratch")
        if local is None:
            return Path(tempfile.mkdtemp(dir=self.scratch))
        local.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=local))


def _broken() -> tuple[type[Exception], ...]:
    return (library().exceptions.DatasetsError,)


def located(path: str, root: str, follow_links: bool = False) -> str:
    """Where a path in a row leads: a local file, or what the hub's file system opens.

    Raises `_Lost` where it leads out of `root`.
    """
    inner, mark, outer = path.rpartition("::")
    if inner and ("::" in inner or not inner.startswith("zip://")):
        raise _Lost("link_out", f"{path[:200]} is not read")
    if root.startswith("hf://"):
        outer = outer if "://" in outer else f"{root}/{outer}"
        if not outer.startswith(f"{root}/") or ".." in outer.split("/"):
            raise _Lost("link_out", f"{path[:200]} is not in {root}")
        return inner + mark + outer
    if "://" in outer or "\0" in outer:
        raise _Lost("link_out", f"{path[:200]} is not a path")
    outer = os.path.realpath(os.path.join(root, outer))
    if not follow_links and not within(outer, os.path.realpath(root)):
        raise _Lost("link_out", f"{path[:200]} leads out of the data set")
    return inner + mark + outer


def _opened(place: str) -> BinaryIO:
    if "://" not in place:
        return open(place, "rb")
    import fsspec

    return cast(BinaryIO, fsspec.open(place, "rb").open())
