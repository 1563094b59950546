"""DATA that is an archive of the web, or names some: each record is a file in OUT, or a drop.

Local archives are read where they lie. Remote ones are fetched first, whole or by the stretches
that an index names, and read then; so a crawl of others costs them one ranged request a record.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from pipeline import bodies
from pipeline.commits import ledger
from pipeline.fetching import Fetching
from pipeline.phases.unpack import (
    Archive,
    UnpackJob,
    archive_of,
    fetched_archive,
    unpack_key,
    unpacked_rows,
)
from schemas.records import Source, source_id
from schemas.store import Store
from transforms.gather.entry import AUDIO, Wanted
from transforms.gather.found import DataError, Found, dropped
from transforms.gather.page_files import HEAD, page_record
from transforms.gather.web.archives import Place, Unpacked, beside, indexed, listed
from transforms.gather.web.data import WebData
from transforms.gather.web.urls import Url, UrlError, canonical

Unpack = Callable[[UnpackJob, Sequence[Archive]], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """One archive that DATA names: where it is, or why it cannot be had."""

    name: str
    archive: Archive | None = None
    offset: int | None = None  # of the one record that is meant; None: all of them
    reason: str = ""
    detail: str = ""


def found_in_archives(
    data: WebData, fetching: Fetching, unpack: Unpack | None, wanted: Wanted = AUDIO
) -> list[Found]:
    """Every record of every archive: a file with its bytes, or a drop with its reason.

    `unpack` None: nothing is read, what was read before is told. `wanted`: audio, pages or both.
    """
    asked = _asked(data, fetching)
    key = unpack_key(fetching.crawl.web, wanted)
    known = ledger(fetching.store, "unpack", key).done
    todo = {a.archive.id: a.archive for a in asked if a.archive and a.archive.id not in known}
    if todo and unpack is not None:
        job = UnpackJob(
            key=key,
            store=fetching.store,
            run=fetching.run_id,
            device=fetching.device,
            scratch=fetching.scratch,
            web=fetching.crawl.web,
            max_bytes=fetching.crawl.max_bytes,
            wanted=wanted,
        )
        unpack(job, list(todo.values()))
    found: list[Found] = []
    read: dict[str, list[Unpacked]] = {}
    for one in asked:
        if one.archive is None:
            found.append(_lost(one.name, one.reason, one.detail))
        elif unpack is None and one.archive.id in todo:
            found.append(_lost(one.name, "waiting", ""))
        else:
            if one.archive.id not in read:
                read[one.archive.id] = unpacked_rows(fetching.store, key, one.archive)
            rows = [
                (place, row)
                for place, row in enumerate(read[one.archive.id], 1)
                if one.offset in (None, row.offset)
            ]
            found += [_record(row, place, one.name, fetching, wanted) for place, row in rows]
            if not rows:
                found.append(_lost(one.name, "missing", f"no record at byte {one.offset}"))
    return found


def _record(row: Unpacked, place: int, name: str, fetching: Fetching, wanted: Wanted) -> Found:
    where = f"{name}{'!' + row.member if row.member else ''}:{place}"
    uri = row.url or f"{name}#record-{place}"
    source = Source(id=source_id(uri, where), uri=uri, provenance=where)
    if row.reason:
        return Found(source=source, drop=dropped(source, row.reason, row.detail))
    path = bodies.place_of(fetching.store, row.sha256)
    if _is_page(row, path, fetching.store, wanted):
        source = dataclasses.replace(source, kind="page")
        return Found(source=source, path=path, format="html")
    return Found(source=source, path=path)


def _is_page(row: Unpacked, path: str, store: Store, wanted: Wanted) -> bool:
    """Whether a record that was kept is a page; its bytes are asked where it could be both."""
    if "page" not in wanted or "audio" not in wanted:
        return "page" in wanted
    return page_record(row.content_type, bodies.beginning(store, path, min(HEAD, row.bytes)))


def _lost(name: str, reason: str, detail: str) -> Found:
    source = Source(id=source_id(name, name), uri=name, provenance=name)
    return Found(source=source, drop=dropped(source, reason, detail))


def _asked(data: WebData, fetching: Fetching) -> list[Asked]:
    """The archives of DATA, remote ones fetched."""
    if data.kind == "warc":
        if data.url is not None:
            return _remote([(data.name, data.url, None)], fetching)
        return [Asked(name=data.name, archive=archive_of(data.path, data.name))]
    path = data.path
    if data.url is not None:
        row = fetching.rows([(data.url, "any")])[data.url.text]
        if not row.sha256:
            why = f"cannot be fetched: {row.reason} {row.detail}".rstrip()
            raise DataError(data.url.text, why, "Correct the URL, or come again later.")
        path = fetching.place(row)
    with fetching.file(path) as file:
        places = listed(file) if data.kind == "warcs" else indexed(file)
        return _placed(data, places, fetching)


def _placed(data: WebData, places: Iterable[Place], fetching: Fetching) -> list[Asked]:
    """The archives or records that a list or an index names, in its order."""
    named = fetching.crawl.web.archive_base
    base = named.rstrip("/") + "/" if named else data.url.text if data.url else ""
    found: dict[int, Asked] = {}
    remote: list[tuple[str, Url, tuple[int, int] | None]] = []
    lines: list[int] = []
    for number, place in enumerate(places):
        name = f"{data.name}:{place.line}"
        if "://" not in place.archive and not base:
            found[number] = _local(data.path, place, name)
            continue
        try:
            url = canonical(place.archive, base or None)
        except UrlError as error:
            found[number] = Asked(name=name, reason=error.code, detail=error.why)
            continue
        span = (place.first, place.length) if place.length else None
        remote.append((name, url, span))
        lines.append(number)
    for number, one in zip(lines, _remote(remote, fetching), strict=True):
        found[number] = one
    return [found[number] for number in sorted(found)]


def _local(index: str, place: Place, name: str) -> Asked:
    """An archive beside its index, or the one record of it that the index means."""
    path = beside(index, place.archive)
    try:
        archive = archive_of(path, place.archive)
        return Asked(name=name, archive=archive, offset=place.first if place.length else None)
    except FileNotFoundError:
        return Asked(name=name, reason="missing", detail=place.archive)


def _remote(
    asked: Sequence[tuple[str, Url, tuple[int, int] | None]], fetching: Fetching
) -> list[Asked]:
    rows = fetching.spans([(url, span) for _, url, span in asked])
    found = []
    for (name, url, span), row in zip(asked, rows, strict=True):
        if not row.sha256:
            reason = row.reason or "waiting"
            found.append(Asked(name=name, reason=reason, detail=row.detail))
            continue
        first = span[0] if span else 0
        archive = fetched_archive(fetching.store, row, url.text, first)
        found.append(Asked(name=name, archive=archive))
    return found
