"""WARC files: every record is told, what is whole and wanted is unpacked, what is broken is named.

Reading is warcio's; the judging is here. It skips what it cannot read and says nothing of a record
that ends early, so each record's announced length is compared with what came, and its digest is
checked where it has one. Payloads go to a file, within limits, and never through memory whole.
"""

import dataclasses
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from transforms.gather.web.urls import UrlError, canonical, shown

REASONS: dict[str, str] = {
    "not_a_response": "A record that holds no answer of a server (a request, metadata, ...).",
    "revisit": "A record that says: as before. Its body lies elsewhere.",
    "http_status": "A stored answer that is no success.",
    "bad_url": "The record's URL is none that would be fetched.",
    "too_large": "The stored body is larger than the limit.",
    "incomplete": "The record ends before its announced end.",
    "digest": "The body is not the one whose digest the record holds.",
    "broken": "From here on the file cannot be read as a WARC.",
    "opt_out": "Its owner reserves it; the detail names the signal.",
    "wrong_type": "The stored body is not what was asked for.",
    "empty": "The stored body holds no bytes.",
}
BLOCK = 1 << 16
_BODILESS = ("warcinfo", "request", "metadata", "revisit", "conversion", "continuation")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """One record: a body that was unpacked, or the reason why there is none."""

    offset: int  # of the record in the file
    type: str  # of the record: response, resource, request, ...
    url: str  # canonical, or as shown where it is none
    date: str = ""  # WARC-Date
    status: int = 0  # of HTTP
    headers: tuple[tuple[str, str], ...] = ()  # of HTTP
    reason: str = ""  # one of REASONS; empty where there is a body
    detail: str = ""
    bytes: int = 0
    sha256: str = ""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


def records(stream: BinaryIO, body: Path, max_bytes: int, *, first: int = 0) -> Iterator[Stored]:
    """The records of a WARC, in order; where one has a body it lies in `body` until the next.

    `first`: where the stream begins in its file, for offsets. A file that breaks off, or that is
    no WARC, ends with one record whose reason is `broken`.
    """
    from warcio.archiveiterator import ArchiveIterator

    reader = ArchiveIterator(stream, check_digests=True)
    any_record = False
    try:
        while (record := next(reader, None)) is not None:
            any_record = True
            found = _stored(record, body, max_bytes)
            # only now: warcio knows a record's place when it has read to its end
            yield dataclasses.replace(found, offset=first + reader.get_record_offset())
    except _breaks() as error:
        why = " ".join(str(error).split())[:200]
        yield Stored(offset=first, type="", url="", reason="broken", detail=why)
        return
    if not any_record:
        yield Stored(offset=first, type="", url="", reason="broken", detail="no record in it")


def _breaks() -> tuple[type[Exception], ...]:
    """What warcio raises for a file that is broken. The last three are its stumbles over headers
    that end early: nothing of ours runs where they are caught but comparisons and copies."""
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.statusandheaders import StatusAndHeadersParserException

    own = (ArchiveLoadFailed, StatusAndHeadersParserException)
    return (*own, zlib.error, EOFError, OSError, ValueError, AttributeError, TypeError, IndexError)


def _stored(record: Any, body: Path, max_bytes: int) -> Stored:
    target = record.rec_headers.get_header("WARC-Target-URI") or ""
    http = record.http_headers
    headers = tuple((str(k), str(v)) for k, v in http.headers) if http is not None else ()
    try:
        url, bad = canonical(target.strip("<>")).text, ""
    except UrlError as error:
        url, bad = shown(target), str(error)
    status = _status(record)
    base = Stored(
        offset=0,
        type=record.rec_type or "",
        url=url,
        date=record.rec_headers.get_header("WARC-Date") or "",
        status=status,
        headers=headers,
    )
    if not record.rec_type or record.rec_type in _BODILESS:
        left = _drained(record)
        if left or not record.rec_type:
            detail = f"{left} bytes of the record are missing" if left else "a record without type"
            return dataclasses.replace(base, reason="incomplete", detail=detail)
    if record.rec_type == "revisit":
        return dataclasses.replace(base, reason="revisit")
    if record.rec_type not in ("response", "resource"):
        return dataclasses.replace(base, reason="not_a_response", detail=record.rec_type or "")
    if bad:
        return dataclasses.replace(base, reason="bad_url", detail=bad)
    if record.rec_type == "response" and not 200 <= status < 300:
        return dataclasses.replace(base, reason="http_status", detail=f"HTTP {status}")
    size, digest, why, detail = _unpacked(record, body, max_bytes)
    if why:
        return dataclasses.replace(base, reason=why, detail=detail)
    if not size:
        return dataclasses.replace(base, reason="empty")
    return dataclasses.replace(base, bytes=size, sha256=digest)


def _drained(record: Any) -> int:
    """Read a record to its end; bytes of its announced length that did not come."""
    stream = record.raw_stream
    while stream.read(BLOCK):
        pass
    return int(getattr(stream, "limit", 0))


def _unpacked(record: Any, body: Path, max_bytes: int) -> tuple[int, str, str, str]:
    """Write a record's body: its size and digest, or a reason and a detail."""
    digest, size = hashlib.sha256(), 0
    stream = record.content_stream()
    with body.open("wb") as file:
        while data := stream.read(BLOCK):
            size += len(data)
            if size > max_bytes:
                return 0, "", "too_large", f"more than {max_bytes} bytes"
            digest.update(data)
            file.write(data)
    left = getattr(record.raw_stream, "limit", 0)
    if left > 0:
        return 0, "", "incomplete", f"{left} bytes of the record are missing"
    checker = record.digest_checker
    if checker is not None and checker.passed is False:
        return 0, "", "digest", "; ".join(map(str, checker.problems))[:200]
    return size, digest.hexdigest(), "", ""


def _status(record: Any) -> int:
    """The HTTP status of a stored answer; 0 where there is none."""
    if record.http_headers is None:
        return 0
    text = record.http_headers.get_statuscode() or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 else 0
