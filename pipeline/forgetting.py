"""What a name stands for that is to be forgotten, and what of an OUT came from there.

A host stands for itself and all below it, a URL for itself and, if it is a feed, its entries; any
id of a source, recording, task, segment, clip or document, and any path of local DATA, stands for
the whole recording, wherever its bytes came from. Of bytes that came from several places, some not
to be forgotten, nothing goes unless the recording itself is named.
"""

import dataclasses
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import bodies, commits
from pipeline.listed import Listed, sources_name
from pipeline.lookup import Hit, find, nearest
from pipeline.phases.fetch import body_name, every_row, fetch_key
from pipeline.pointers import read_pointers
from pipeline.view import View
from schemas.store import Store
from schemas.tables import from_table
from transforms.gather.found import DataError
from transforms.gather.suppressed import Entry, Kind, Suppressed
from transforms.gather.web.offers import DocumentError, kind_of, opened
from transforms.gather.web.urls import UrlError, canonical

HEAD = 1 << 16  # bytes that tell a feed
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)+|localhost|\[[0-9a-f:.]+\]")
_BYTES = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """One place that bytes of an OUT came from."""

    uri: str
    source: str = ""  # id, where known
    bytes: str = ""  # their digest: a recording's id
    task: str = ""


def entries_of(store: Store, query: str, since: int) -> list[Entry]:
    """The lines that forgetting `query` adds to the list. Raises `DataError` for no or many."""
    if "://" in query:
        return [_entry("url" if query.lower().startswith("http") else "uri", _url(query), since)]
    views = [View(store, one, name) for one in read_pointers(store) for name in one.streams]
    hits = find(views, query)
    named = {(hit.kind, hit.id): (hit, held) for hit, held in hits.items() if hit.kind != "part"}
    meant = {_recording(hit, held[0]) for hit, held in named.values()}
    if len(meant) > 1:
        told = "; ".join(f"{kind} {name}" for kind, name in sorted(named))
        raise DataError(query, f"it may mean any of: {told}", "Write one of them in full.")
    sources = [hit for hit, _ in named.values() if hit.kind == "source"]
    recording = next(iter(meant), None)
    if recording is None and not sources and _BYTES.fullmatch(query):
        recording = query
    if recording is None and not sources:
        host = query.lower().rstrip(".")
        if not _HOST.fullmatch(host):
            near = "; ".join(f"{hit.kind} {hit.id}" for hit in nearest(views, query))
            fix = f"Near it: {near}." if near else "Name a host, a URL, a path of DATA or an id."
            raise DataError(query, "nothing of that name is known, and no host is called so", fix)
        return [_entry("host", host.strip("[]"), since)]
    found = [_entry("source", hit.id, since) for hit in sources]
    if recording is not None:
        found.append(_entry("recording", recording, since))
        # so that they are not asked for again, only to be refused by their bytes
        urls = {one.uri for one in origins(store) if one.bytes == recording and "://" in one.uri}
        found += [_entry("url", url, since) for url in sorted(urls)]
    return found


def _entry(kind: Kind, value: str, since: int) -> Entry:
    return Entry(kind=kind, value=value, why="forget", since=since)


def _url(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        return text
    try:
        return canonical(text).text
    except UrlError as error:
        raise DataError("forget", error.why, "Correct the URL.") from error


def _recording(hit: Hit, view: View) -> str | None:
    """The recording that an item is of."""
    if hit.kind == "source":
        return next((s.recording for s in view.sources if s.id == hit.id), None)
    if hit.kind in ("recording", "file"):
        return hit.id
    if hit.kind in ("task", "page"):
        return view.tasks[hit.id]
    if hit.kind == "segment":
        return view.root_of(hit.id, view.heard, view.recordings, "recording")
    if hit.kind == "clip":
        return view.tasks[view.root_of(hit.id, view.annotated, view.tasks, "task")]
    document = view.document(hit.id)
    if document is not None and view.kind == "page":
        return view.tasks[document.recording]
    return document.recording if document is not None else None


def whole(store: Store, name: str) -> pa.Table:
    """All of a Parquet file, nested columns as they are."""
    return pq.ParquetFile(io.BytesIO(store.get(name))).read(use_threads=False)


def listed_of(store: Store) -> Iterator[tuple[str, list[Listed]]]:
    """What every run of this OUT listed: the name of the list, and its sources."""
    for entry in store.list("report"):
        parts = entry.name.split("/")
        if len(parts) == 4 and entry.name == sources_name(parts[1], parts[3].split(".")[0]):
            table = whole(store, entry.name)
            yield entry.name, from_table(table, Listed)


def origins(store: Store) -> list[Origin]:
    """Every place that bytes in an OUT came from, as far as anything there says so."""
    found: set[Origin] = set()
    rows = list(every_row(store, fetch_key()))
    for row in rows:
        for url in {row.url, row.final_url} - {""}:
            if row.sha256:
                found.add(Origin(uri=url, bytes=row.sha256))
    for _, sources in listed_of(store):
        for one in sources:
            found.add(Origin(one.uri, one.id, one.recording or "", one.task or ""))
    for entry in _commits(store, "unpack"):
        for row in commits.column(store, entry, "row", ["url", "sha256"]).to_pylist():
            if row["sha256"]:
                found.add(Origin(uri=row["url"], bytes=row["sha256"]))
    for entry in _commits(store, "gather"):
        for look in commits.column(store, entry, "row", ["recording"])["recording"].to_pylist():
            found.add(Origin(uri=look["uri"], bytes=look["id"]))
    return sorted(found, key=lambda one: (one.uri, one.source, one.bytes, one.task))


def _commits(store: Store, phase: str) -> Iterator[str]:
    for entry in store.list(phase):
        if "/commits/" in entry.name and entry.name.endswith(".parquet"):
            yield entry.name


def leads(store: Store) -> dict[str, set[str]]:
    """What URLs lead to: redirects to their targets, feeds to their audio, audio to its words."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in every_row(store, fetch_key()):
        for target in {row.moved_to, row.final_url} - {"", row.url}:
            found[row.url].add(target)
            found[target].add(row.url)  # its bytes came from there
        if not row.sha256 or row.kind != "any":
            continue
        base = row.final_url or row.url
        try:
            # an archive is of any kind too, and larger than memory
            head = bodies.beginning(store, bodies.place_of(store, row.sha256), min(HEAD, row.bytes))
            if kind_of(head, row.content_type, base) != "feed":
                continue
            body = store.get(body_name(fetch_key(), row.sha256))
            offers = opened("feed", body, base, row.url).offers
        except (FileNotFoundError, DocumentError):
            continue
        for one in offers:
            if one.url is not None:
                found[row.url].add(one.url.text)
                found[one.url.text] |= {transcript.url.text for transcript in one.transcripts}
    return found


def unwanted(
    listed: Suppressed, known: Iterable[Origin], led: Mapping[str, set[str]]
) -> tuple[frozenset[str], frozenset[str]]:
    """What is to be forgotten: uris, with all that they lead to; and the bytes that came from
    nowhere else, or are named themselves."""
    known = list(known)
    uris = {one.uri for one in known if listed.url(one.uri) or ("uri", one.uri) in listed.owned}
    uris |= {one.uri for one in known if one.bytes and listed.recording(one.bytes)}
    uris |= {uri for uri in led if listed.url(uri)} | listed.opted
    waiting = list(uris)
    while waiting:
        for uri in led.get(waiting.pop(), ()):
            if uri not in uris:
                uris.add(uri)
                waiting.append(uri)
    by: dict[str, list[bool]] = defaultdict(list)
    for one in known:
        if one.bytes:
            by[one.bytes].append(one.uri in uris or ("source", one.source) in listed.owned)
    gone = {name for name, all_of in by.items() if listed.recording(name) or all(all_of)}
    return frozenset(uris), frozenset(gone)
