"""Rounds until nothing waits: the driver of the fetch phase, and what DATA of the web comes to.

The driver reads the frontier, groups hosts that share an address, deals their queues to workers and
starts rounds until every URL has ended or only hosts are left that ask to wait for longer than the
recipe allows. What a document offers is fetched in turn. Afterwards each offer is a file in OUT, or
a drop that says why not; from there on it is a recording like any other.
"""

import dataclasses
import functools
import ipaddress
import itertools
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from pipeline import bodies, suppression
from pipeline.failures import of_rows
from pipeline.phases.fetch import FetchJob, FetchPart, Queue, fetch_key, frontier, keep
from schemas.ids import digest_of
from schemas.records import Cue, Source, source_id
from schemas.store import Store
from transforms.gather.crawl import Crawl
from transforms.gather.cue_files import CueError, read_cues
from transforms.gather.found import DataError, Found, dropped
from transforms.gather.sniff import begins_like_audio
from transforms.gather.suppressed import Entry, Suppressed
from transforms.gather.web.data import WebData, table_offers
from transforms.gather.web.failures import FetchError
from transforms.gather.web.frontier import (
    Kind,
    Row,
    Span,
    by_this_clock,
    groups,
    host_of,
    new,
    row_id,
    span_of,
)
from transforms.gather.web.offers import (
    DocumentError,
    DocumentKind,
    Offer,
    kind_of,
    of_lines,
    opened,
)
from transforms.gather.web.urls import Url, canonical

MAX_DOCUMENTS = 10_000
BATCH = 100_000  # offers that are fetched, and held, together
MAX_HOPS = 8
HEAD = 1 << 16
_TIMED = {"text/vtt": ".vtt", "application/x-subrip": ".srt", "application/srt": ".srt"}

Run = Callable[[FetchJob, Sequence[FetchPart]], None]
Observe = Callable[[str, Any], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fetching:
    """What fetching needs of a run. `run` None: nothing is asked, what is known is told."""

    store: Store
    crawl: Crawl
    workers: int
    run: Run | None
    run_id: str
    device: str
    observe: Observe
    scratch: str | None = None
    refetch: bool = False
    asked: set[str] = dataclasses.field(default_factory=set)  # by this run: never asked again

    def rows(self, urls: Iterable[tuple[Url, Kind]]) -> dict[str, Row]:
        """Fetch URLs; the newest row of each by its canonical text, and of what they moved to."""
        state = self._fetched({row_id(url): new(url, kind) for url, kind in urls})
        return {row.url: row for row in state.values()}

    def taken_for(self, kind: str) -> None:
        """Say what DATA is."""
        self.observe("data", {"kind": kind})

    def spans(self, urls: Sequence[tuple[Url, Span | None]]) -> list[Row]:
        """Fetch URLs, or stretches of them; the row of each, where it moved to if it did."""
        wanted = {row_id(url, span): new(url, "any", span=span) for url, span in urls}
        state = self._fetched(wanted)
        found = []
        for url, span in urls:
            row, hops = state[row_id(url, span)], 0
            while row.state == "moved" and hops < MAX_HOPS:
                row, hops = state.get(row_id(canonical(row.moved_to), span), row), hops + 1
            found.append(row)
        return found

    def _fetched(self, wanted: dict[str, Row]) -> dict[str, Row]:
        """Rounds until every URL has ended, or has to wait for too long."""
        self._refuse_strangers(wanted.values())
        state = self._heeded(self._known(wanted))
        if self.refetch:
            again = (
                row
                for name, row in state.items()
                if name not in self.asked and row.reason != "suppressed"
            )
            fresh = [
                dataclasses.replace(r, state="waiting", attempts=0, not_before=0) for r in again
            ]
            state |= {row.id: row for row in fresh}
        if self.refetch:
            self.asked.update(state)
        waited, number = 0.0, 0
        while self.run is not None:
            state |= self._heeded(self._known(self._targets(state)))
            now = time.time()
            waiting = [row for _, row in sorted(state.items()) if row.state == "waiting"]
            due = [row for row in waiting if row.not_before <= now]
            if not due:
                left = min((row.not_before - now for row in waiting), default=None)
                if left is None or waited + left > self.crawl.web.wait_seconds:
                    break
                self.observe("waiting", {"urls": len(waiting), "seconds": round(left, 1)})
                time.sleep(left)
                waited += left
                continue
            after = {row.id: row for row in self._round(due, number)}
            self._note_opt_outs(after.values())
            keep(state, self._heeded(after).values())
            number += 1
        return state

    @functools.cached_property
    def _suppressed(self) -> Suppressed:
        return suppression.suppressed(self.store)

    @functools.cached_property
    def _began(self) -> float:
        return time.time()

    def _heeded(self, rows: Mapping[str, Row]) -> dict[str, Row]:
        """Rows, those that the suppression list speaks of as refused.

        What opted out is asked again by `--refetch` alone; what a user does not want, never.
        """
        listed = self._suppressed
        if not listed:
            return dict(rows)

        def refused(row: Row) -> bool:
            if listed.url(row.url) or (row.final_url and listed.url(row.final_url)):
                return True
            if row.sha256 and listed.recording(row.sha256):
                return True
            return row.state == "waiting" and row.url in listed.opted and not self.refetch

        return {name: _suppressed(row) if refused(row) else row for name, row in rows.items()}

    def _note_opt_outs(self, rows: Iterable[Row]) -> None:
        """Put what opted out on the list, and take off what does so no longer."""
        listed = self._suppressed.opted
        lines = []
        for row in rows:
            out = row.reason == "opt_out"
            if out != (row.url in listed) and (out or row.sha256):
                why = row.detail if out else ""
                lines.append(
                    Entry(
                        kind="url",
                        value=row.url,
                        by="opt_out",
                        why=why,
                        since=row.ended,
                        lifted=not out,
                    )
                )
        if lines:
            suppression.add(self.store, lines)

    def _known(self, wanted: Mapping[str, Row]) -> dict[str, Row]:
        if not wanted:
            return {}
        known = frontier(self.store, fetch_key(), wanted)
        now = time.time()
        return {name: by_this_clock(known.get(name, row), now) for name, row in wanted.items()}

    def _targets(self, state: Mapping[str, Row]) -> dict[str, Row]:
        """Where moved URLs lead, as far as that is not among them."""
        found = {}
        for row in state.values():
            if row.state == "moved":
                url = canonical(row.moved_to)
                target = new(url, row.kind, row.hops + 1, span_of(row))
                if target.id not in state:
                    found[target.id] = target
        return found

    def _round(self, due: Sequence[Row], number: int) -> list[Row]:
        due = [dataclasses.replace(row, turn=row.turn + 1) for row in due]
        parts = self._parts(due, number)
        job = FetchJob(
            key=fetch_key(),
            store=self.store,
            run=self.run_id,
            device=self.device,
            scratch=self.scratch,
            web=self.crawl.web,
            max_bytes=self.crawl.max_bytes,
            since=self._began if self.refetch else 0.0,
            bandwidth=None
            if self.crawl.web.bandwidth is None
            else self.crawl.web.bandwidth / len(parts),
        )
        assert self.run is not None
        self.run(job, parts)
        found = frontier(self.store, fetch_key(), {row.id for row in due})
        after = [found.get(row.id, row) for row in due]
        self.observe("outcomes", of_rows(after))
        told = Counter(row.reason or row.state for row in after)
        self.observe(
            "round", {"number": number, "urls": len(due), "by_end": dict(sorted(told.items()))}
        )
        return after

    def _parts(self, due: Sequence[Row], number: int) -> list[FetchPart]:
        """Queues by rate-limit group, dealt to workers: the longest first, to the shortest part."""
        hosts = sorted({host_of(row) for row in due})
        group_of = groups(dict(zip(hosts, _addresses(hosts), strict=True)))
        by_group: dict[str, list[Row]] = {}
        for row in due:
            by_group.setdefault(group_of[host_of(row)], []).append(row)
        queues = [
            Queue(
                group=name,
                hosts=tuple(host for host in hosts if group_of[host] == name),
                rows=tuple(rows),
            )
            for name, rows in by_group.items()
        ]
        queues.sort(key=lambda queue: (-len(queue.rows), queue.group))
        dealt: list[list[Queue]] = [[] for _ in range(max(1, min(self.workers, len(queues))))]
        for queue in queues:
            min(dealt, key=lambda part: sum(len(one.rows) for one in part)).append(queue)
        return [
            FetchPart(
                id=digest_of(
                    "round", self.run_id, number, [[r.id, r.attempts] for q in own for r in q.rows]
                ),
                queues=tuple(own),
                seconds=float(sum(len(queue.rows) for queue in own)),
            )
            for own in dealt
        ]

    def _refuse_strangers(self, rows: Iterable[Row]) -> None:
        """Nobody is asked without being told whom to complain to."""
        if self.crawl.web.contact is not None or self.run is None:
            return
        for row in rows:
            if not _loopback(host_of(row)):
                raise DataError(
                    row.url,
                    "servers are told how to reach whoever fetches, and no contact is set",
                    "Add --set crawl.web.contact=https://your.site/crawler (or a mail address).",
                )

    def place(self, row: Row) -> str:
        """Where a row's body lies: a local path, or a name in OUT."""
        return bodies.place_of(self.store, row.sha256)

    def file(self, place: str) -> AbstractContextManager[str]:
        """A local file with the bytes of a place, as long as the context lasts."""
        return bodies.file_of(self.store, place, self.scratch)


def _suppressed(row: Row) -> Row:
    return dataclasses.replace(
        row, state="refused", reason="suppressed", detail="", sha256="", bytes=0, moved_to=""
    )


def found_on_web(data: WebData, fetching: Fetching) -> list[Found]:
    """Every offer of DATA: a file with its bytes, or a drop with its reason, in order."""
    return list(each_found(data, fetching))


def each_found(data: WebData, fetching: Fetching) -> Iterator[Found]:
    """`found_on_web`, a batch of offers at a time: what is held of a list is one batch."""
    offers = itertools.islice(_offers(data, fetching), fetching.crawl.web.max_items)
    while batch := list(itertools.islice(offers, BATCH)):
        rows = fetching.rows([(one.url, "audio") for one in batch if one.url is not None])
        cues = _cues(batch, rows, fetching)
        for place, one in enumerate(batch):
            yield _found(one, place, rows, cues, fetching)


def _offers(data: WebData, fetching: Fetching) -> Iterable[Offer]:
    if data.table:
        fetching.taken_for("table")
        return table_offers(data.path, fetching.crawl.ignore_columns)
    if data.url is None:
        assert data.document is not None
        fetching.taken_for(data.document)
        return _opened(data.document, data.path, "", data.name, fetching)
    row = _last(fetching.rows([(data.url, "any")]), data.url)
    if not row.sha256:
        if fetching.run is None and row.state == "waiting":
            return [Offer(provenance=data.name, url=data.url)]
        raise DataError(
            data.url.text,
            f"DATA cannot be fetched: {row.reason} {row.detail}".rstrip(),
            "Correct the URL, or come again later where that may help.",
        )
    path = fetching.place(row)
    head = bodies.beginning(fetching.store, path, min(HEAD, row.bytes))
    base = row.final_url or row.url
    kind = data.document or kind_of(head, row.content_type, base)
    if kind is None or (data.kind is None and begins_like_audio(head[:16])):
        fetching.taken_for("audio")
        return [Offer(provenance=data.name, url=data.url)]
    fetching.taken_for(kind)
    return _opened(kind, path, base, data.name, fetching)


def _opened(
    kind: DocumentKind, path: str, base: str, name: str, fetching: Fetching
) -> Iterable[Offer]:
    """All that a document offers, and the documents that it leads to; a list line by line."""
    if kind == "urls":
        return _lines(path, name, fetching)
    try:
        first = opened(kind, _read(path, fetching), base, name)
    except DocumentError as error:
        raise DataError(
            name, f"taken for a {kind}: {error}", "Say what it is by --kind."
        ) from error
    offers, seen = list(first.offers), {base}
    own = (base or name) if kind == "feed" else None
    level = [(one, url, own) for one, url in first.documents]
    while level:
        rows = fetching.rows([(url, "any") for _, url, _ in level])
        below: list[tuple[DocumentKind, Url, str | None]] = []
        for one, url, feed in level:
            if url.text in seen:
                continue
            seen.add(url.text)
            if len(seen) > MAX_DOCUMENTS:
                raise DataError(name, f"more than {MAX_DOCUMENTS} documents", "Name fewer of them.")
            more, further = _further(one, _last(rows, url), fetching)
            if one == "feed":  # the pages of a feed are one feed, named after the first
                feed = feed or url.text
                more = tuple(dataclasses.replace(offer, feed=feed) for offer in more)
            offers += more
            below += [(kind, further_url, feed) for kind, further_url in further]
        level = below
    return offers


def _lines(place: str, name: str, fetching: Fetching) -> Iterator[Offer]:
    with fetching.file(place) as path:
        yield from of_lines(path, name)


def _read(place: str, fetching: Fetching) -> bytes:
    with fetching.file(place) as path, open(path, "rb") as file:
        return file.read()


def _further(
    kind: DocumentKind, row: Row, fetching: Fetching
) -> tuple[tuple[Offer, ...], tuple[tuple[DocumentKind, Url], ...]]:
    """What a further document offers; one that cannot be had or read is told as one offer."""
    name = row.url
    if not row.sha256:
        lost = Offer(provenance=name, uri=name, reason=row.reason or "waiting", detail=row.detail)
        return (lost,), ()
    try:
        body = _read(fetching.place(row), fetching)
        found = opened(kind, body, row.final_url or row.url, name)
    except DocumentError as error:
        return (Offer(provenance=name, uri=name, reason="document", detail=str(error)),), ()
    return found.offers, found.documents


def _last(rows: Mapping[str, Row], url: Url) -> Row:
    """The row that a URL ends at, along what it moved to."""
    row, seen = rows[url.text], {url.text}
    while row.state == "moved" and row.moved_to in rows and row.moved_to not in seen:
        seen.add(row.moved_to)
        row = rows[row.moved_to]
    return row


def _cues(
    offers: Sequence[Offer], rows: Mapping[str, Row], fetching: Fetching
) -> dict[int, tuple[Cue, ...]]:
    """The timed text of each offer that has audio and a transcript that can be read."""
    if not fetching.crawl.web.transcripts:
        return {}
    timed = {
        place: one.transcripts[0]
        for place, one in enumerate(offers)
        if one.url is not None
        and one.transcripts
        and one.transcripts[0].type in _TIMED
        and _last(rows, one.url).sha256
    }
    texts = fetching.rows([(one.url, "any") for one in timed.values()])
    found: dict[int, tuple[Cue, ...]] = {}
    failed: Counter[str] = Counter()
    for place, one in timed.items():
        row = _last(texts, one.url)
        if not row.sha256:
            failed[row.reason or "waiting"] += 1
            continue
        try:
            with fetching.file(fetching.place(row)) as path:
                found[place] = read_cues(path, _TIMED[one.type])
        except CueError:
            failed["bad_cues"] += 1
    if timed:
        told = {"read": len(found), "failed": dict(sorted(failed.items()))}
        fetching.observe("transcripts", told)
    return found


def _found(
    offer: Offer,
    place: int,
    rows: Mapping[str, Row],
    cues: Mapping[int, tuple[Cue, ...]],
    fetching: Fetching,
) -> Found:
    uri = offer.url.text if offer.url is not None else offer.uri
    source = Source(
        id=source_id(uri, offer.provenance),
        uri=uri,
        provenance=offer.provenance,
        licence=offer.licence,
        text=offer.text,
        speaker=offer.speaker,
        language=offer.language,
        channel=offer.channel,
        feed=offer.feed,
        cues=cues.get(place, ()),
    )
    if offer.url is None:
        return Found(source=source, drop=dropped(source, offer.reason, offer.detail))
    row = _last(rows, offer.url)
    if row.sha256:
        return Found(source=source, path=fetching.place(row))
    if row.state == "moved":
        error = FetchError("redirects", f"to {row.moved_to}")
        return Found(source=source, drop=dropped(source, error.code, error.detail))
    return Found(source=source, drop=dropped(source, row.reason or "waiting", row.detail))


def _addresses(hosts: Sequence[str]) -> list[list[str]]:
    """What each host resolves to; nothing where it does not resolve, which fetching will tell."""

    def one(host: str) -> list[str]:
        try:
            found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        return sorted({str(entry[4][0]) for entry in found})

    with ThreadPoolExecutor(min(32, max(1, len(hosts)))) as pool:
        return list(pool.map(one, hosts))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
