"""fetch: URLs in, bodies by content hash out, a round at a time.

A part holds the queues of one or more rate-limit groups, which share no host with any other part,
so a round needs no shared state: it asks its hosts in turn until the queues are empty or its time
is up. A URL's body is stored under its digest, then its row is noted in OUT at once; so a kill
costs the URLs in flight. The commit of a round holds the rows of its whole queue; notes are only
what has no commit yet.
"""

import asyncio
import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pipeline import commits, layout
from pipeline.commits import Content, Done
from pipeline.phases import fetch_notes
from pipeline.phases.fetch_notes import Notes
from pipeline.phases.fetch_origins import Origins
from pipeline.simple import SimpleJob
from schemas.ids import digest_of
from schemas.store import Store
from schemas.tables import arrow_schema, from_row
from transforms.gather.web.client import Client
from transforms.gather.web.frontier import ENDED, Row, flat
from transforms.gather.web.pace import Bandwidth
from transforms.gather.web.settings import Web
from transforms.gather.web.visit import Ended, Round

FORMAT = 1


def fetch_key() -> str:
    """All recipes share what was fetched: a URL's body does not depend on how it was asked for."""
    return digest_of("fetch", FORMAT)


def body_name(key: str, sha256: str) -> str:
    """Where the bytes of a fetched body lie."""
    return f"{layout.phase_folder('fetch', key)}/bodies/{sha256[:2]}/{sha256}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """The rows of one rate-limit group that wait, and the hosts that it may ask."""

    group: str
    hosts: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FetchPart:
    """Queues that one worker asks side by side."""

    id: str
    queues: tuple[Queue, ...]
    seconds: float  # that the round may take, at the pace of its slowest queue

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for queue in self.queues for row in queue.rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchJob(SimpleJob):
    phase: ClassVar[str] = "fetch"

    web: Web
    max_bytes: int | None
    bandwidth: float | None = None  # this worker's share
    since: float = 0.0  # what origins declared before is asked anew; seconds since 1970

    def run_part(self, part: FetchPart) -> None:
        folder = self._scratch()
        try:
            rows = asyncio.run(self._round(part, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        done = tuple(Done(id=row.id, seconds=0.0) for row in rows if row.state in ENDED)
        content = Content(done=done, rows=tuple(map(flat, rows)))
        commits.write(
            self.store, self.phase, self.key, part.id, content, arrow_schema(Row), self.run
        )
        fetch_notes.clear(self.store, self.key, part.id, rows)

    def _scratch(self) -> Path:
        """A folder for bodies on their way: beside where they will lie, so that they can move."""
        local = self.store.local(f"{layout.phase_folder('fetch', self.key)}/scratch")
        if local is None:
            return Path(tempfile.mkdtemp(dir=self.scratch))
        local.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=local))

    async def _round(self, part: FetchPart, folder: Path) -> list[Row]:
        client = Client(
            self.web.user_agent,
            ports=frozenset(self.web.ports),
            allowed=self.web.exceptions,
            limits=self.web.limits(self.max_bytes),
            connections=self.web.connections,
            throttle=Bandwidth(self.bandwidth).take if self.bandwidth is not None else None,
        )
        with fetch_notes.opened(self.store, self.key, part.id) as notes:
            async with client:
                ended = functools.partial(self._ended, notes)
                found = await asyncio.gather(
                    *(
                        self._queue(client, queue, folder / str(number), ended)
                        for number, queue in enumerate(part.queues)
                    )
                )
        return [row for rows in found for row in rows]

    async def _queue(self, client: Client, queue: Queue, folder: Path, ended: Ended) -> list[Row]:
        """Ask for one group's queue."""
        folder.mkdir()
        limits = self.web.limits(self.max_bytes)
        round_, pace = self.web.round(), self.web.pace()
        origins = Origins(store=self.store, key=self.key, since=self.since)
        one = Round(client, queue.hosts, round_, pace, limits, folder, ended, origins)
        return await one.run(queue.rows)

    async def _ended(self, notes: Notes, row: Row, body: str | None) -> None:
        if notes.quick:
            self._keep(notes, row, body)
        else:
            await asyncio.to_thread(self._keep, notes, row, body)

    def _keep(self, notes: Notes, row: Row, body: str | None) -> None:
        """The body first: what is noted as fetched is there."""
        if body is not None:
            self.store.take(body_name(self.key, row.sha256), body)
        notes.add(row)


def frontier(store: Store, key: str, wanted: Iterable[str]) -> dict[str, Row]:
    """The newest row of each of some URLs that is known."""
    ids = frozenset(wanted)
    found: dict[str, Row] = {}
    keep(found, (_of(row) for row in _told(store, key) if row["id"] in ids))
    return found


def every_row(store: Store, key: str) -> Iterable[Row]:
    """All rows that were ever written, of each URL the older ones too."""
    return map(_of, _told(store, key))


def _told(store: Store, key: str) -> Iterator[Mapping[str, object]]:
    for entry in store.list(layout.commits_folder("fetch", key)):
        if entry.name.endswith(".parquet"):
            yield from _rows(store, entry.name)
    yield from fetch_notes.noted(store, key)


def keep(found: dict[str, Row], rows: Iterable[Row]) -> None:
    """Put rows in, where they are newer than what is there."""
    for row in rows:
        old = found.get(row.id)
        if old is None or _age(row) >= _age(old):
            found[row.id] = row


def _age(row: Row) -> tuple[int, int, int]:
    return row.turn, row.ended, row.attempts


def _rows(store: Store, name: str) -> Iterable[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = commits.column(store, name, "row").to_pylist()
    return rows


def _of(row: Mapping[str, object]) -> Row:
    return from_row(Row, dict(row))
