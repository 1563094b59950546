"""unpack: archives of the web in, bodies by content hash out; each record of each is told.

A part is one archive, or one record of it that an index names. Its commit holds a row for every
record, kept or not, so an archive is read once, whatever recipes and runs come after.
"""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from pipeline import bodies, commits, layout
from pipeline.commits import Content, Done
from pipeline.phases.fetch import body_name, fetch_key
from pipeline.simple import SimpleJob
from schemas.ids import digest_of
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.gather.entry import AUDIO, Wanted
from transforms.gather.web.archives import Unpacked, unpacked
from transforms.gather.web.frontier import Row
from transforms.gather.web.settings import Web
from transforms.gather.web.warcs import Stored

FORMAT = 1


def unpack_key(web: Web, wanted: Wanted = AUDIO) -> str:
    """What decides which records are kept; how the web is asked does not."""
    beside = [] if wanted == AUDIO else [sorted(wanted)]
    return digest_of("unpack", FORMAT, web.agent, web.obey_reservations, *beside)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """An archive on a local disk or in OUT, or the stretch of one with a record."""

    id: str
    path: str  # or a name in OUT (`pipeline/bodies.py`)
    seconds: float  # bytes, as work
    name: str  # for people
    first: int = 0  # where the file begins in the archive that it was cut from


def archive_of(path: str, name: str) -> Archive:
    """A local archive as it is now: another size or time is another archive."""
    state = os.stat(path)
    own = f"{os.path.realpath(path)}\0{state.st_size}\0{state.st_mtime_ns}"
    return Archive(id=digest_of("archive", own), path=path, seconds=state.st_size / 1e6, name=name)


def fetched_archive(store: Store, row: Row, url: str, first: int = 0) -> Archive:
    """An archive that was fetched: other bytes are another one, wherever OUT is."""
    return Archive(
        id=digest_of("archive", f"{url}\0{row.sha256}"),
        path=bodies.place_of(store, row.sha256),
        seconds=row.bytes / 1e6,
        name=url,
        first=first,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnpackJob(SimpleJob):
    phase: ClassVar[str] = "unpack"

    web: Web
    max_bytes: int | None
    wanted: Wanted = AUDIO

    def run_part(self, part: Archive) -> None:
        folder = self._scratch()
        body = folder / "body"
        rows: list[Unpacked] = []
        limit = 1 << 62 if self.max_bytes is None else self.max_bytes
        try:
            with bodies.file_of(self.store, part.path, str(folder)) as path:
                found = unpacked(
                    path,
                    body,
                    limit,
                    self.web.agent,
                    reservations=self.web.obey_reservations,
                    first=part.first,
                    wanted=self.wanted,
                )
                for number, (member, stored) in enumerate(found):
                    if not stored.reason:
                        self._keep(folder, body, stored.sha256, number)
                    rows.append(_row(part, number, member, stored))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        content = Content(done=(Done(id=part.id, seconds=0.0),), rows=tuple(rows))
        schema = arrow_schema(Unpacked)
        commits.write(self.store, self.phase, self.key, part.id, content, schema, self.run)

    def _keep(self, folder: Path, body: Path, sha256: str, number: int) -> None:
        """Give a body to the store, which shares the file: the next one is written to another."""
        own = folder / str(number)
        os.rename(body, own)
        self.store.take(body_name(fetch_key(), sha256), own)
        own.unlink()

    def _scratch(self) -> Path:
        local = self.store.local(f"{layout.phase_folder('fetch', fetch_key())}/scratch")
        if local is None:
            return Path(tempfile.mkdtemp(dir=self.scratch))
        local.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=local))


def _row(part: Archive, number: int, member: str, stored: Stored) -> Unpacked:
    return Unpacked(
        id=digest_of(part.id, member, stored.offset, number),
        member=member,
        offset=stored.offset,
        type=stored.type,
        url=stored.url,
        date=stored.date,
        status=stored.status,
        reason=stored.reason,
        detail=stored.detail,
        bytes=stored.bytes,
        sha256=stored.sha256 if not stored.reason else "",
        content_type=stored.header("content-type"),
    )


def unpacked_rows(store: Store, key: str, archive: Archive) -> list[Unpacked]:
    """The rows of an archive that was read."""
    name = layout.commit_name("unpack", key, archive.id)
    return commits.records(store, name, "row", Unpacked)
