"""Archives of the web: WARC and WACZ files, CDX indexes and lists of WARC files.

An archive is a local file or one that is fetched; an index line names one record by its file,
offset and length, so that a record of a remote archive costs one ranged request. Names in indexes
and lists are relative to the file that holds them, or to a base that the recipe names.
"""

import dataclasses
import gzip
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from transforms.gather.entry import AUDIO, Wanted
from transforms.gather.found import DataError, shown
from transforms.gather.page_files import HEAD, page_record
from transforms.gather.sniff import begins_like_audio
from transforms.gather.web import optout, warcs
from transforms.gather.web.warcs import Stored, records

WARC = (".warc", ".warc.gz", ".arc", ".arc.gz")
WACZ = (".wacz",)
CDX = (".cdx", ".cdx.gz", ".cdxj", ".cdxj.gz")
LISTS = (".paths", ".paths.gz")
MAX_LINE = 1 << 20
MAX_MEMBERS = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A record of an archive, as an index names it; or, with length 0, all of an archive."""

    line: int
    archive: str  # a URL, or a path relative to the index
    first: int = 0
    length: int = 0
    url: str = ""  # of the record


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Unpacked:
    """What became of one record of an archive, as a row of a commit."""

    id: str
    member: str  # of a WACZ; empty in a WARC
    offset: int
    type: str
    url: str
    date: str = ""
    status: int = 0
    reason: str = ""
    detail: str = ""
    bytes: int = 0
    sha256: str = ""
    content_type: str = ""


@contextmanager
def opened_lines(path: str) -> Iterator[Iterator[tuple[int, str]]]:
    """The lines of a text file, packed or not, with their numbers from 1; never a long one."""

    def lines(stream: IO[bytes]) -> Iterator[tuple[int, str]]:
        number = 0
        while raw := stream.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                raise DataError(f"{shown(path)}:{number}", "an endless line", "Is it an index?")
            yield number, raw.decode("utf-8", "replace").strip()

    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"  # what was fetched has no name that ends in .gz
    with gzip.open(path, "rb") if packed else open(path, "rb") as stream:
        try:
            yield lines(cast(IO[bytes], stream))
        except (OSError, EOFError) as error:
            raise DataError(shown(path), f"cannot be read: {error}", "Check the file.") from error


def listed(path: str) -> Iterator[Place]:
    """The archives that a list names, one a line."""
    with opened_lines(path) as lines:
        for number, line in lines:
            if line and not line.startswith("#"):
                yield Place(line=number, archive=line)


def indexed(path: str) -> Iterator[Place]:
    """The records that a CDX index names: CDXJ (`urlkey timestamp {json}`), JSON lines, or the
    classic form with a header of field letters. Raises `DataError` with the line."""
    letters: list[str] | None = None
    with opened_lines(path) as lines:
        for number, line in lines:
            where = f"{shown(path)}:{number}"
            if not line or line.startswith("!"):
                continue
            if number == 1 and line.startswith("CDX "):
                letters = line.split()[1:]
                continue
            fields = _classic(line, letters, where) if letters else _json(line, where)
            yield _place(fields, number, where)


def _json(line: str, where: str) -> dict[str, Any]:
    start = line.find("{")
    try:
        found = json.loads(line[start:]) if start >= 0 else None
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"not a line of an index ({error})", "Write CDXJ.") from error
    if not isinstance(found, dict):
        raise DataError(where, "not a line of an index", "Write CDXJ, or CDX with its header.")
    return found


def _classic(line: str, letters: list[str], where: str) -> dict[str, Any]:
    cells = line.split(" ")
    if len(cells) != len(letters):
        raise DataError(
            where, f"{len(cells)} fields, the header names {len(letters)}", "See line 1."
        )
    by = dict(zip(letters, cells, strict=True))
    return {
        "url": by.get("a", ""),
        "filename": by.get("g", ""),
        "offset": by.get("V", ""),
        "length": by.get("S", ""),
        "status": by.get("s", ""),
        "mime": by.get("m", ""),
    }


def _place(fields: dict[str, Any], number: int, where: str) -> Place:
    name = fields.get("filename")
    if not isinstance(name, str) or not name:
        raise DataError(where, "no filename", "An index line names its archive.")
    spans = []
    for key in ("offset", "length"):
        text = str(fields.get(key, ""))
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise DataError(where, f"{key} is {text[:40]!r}", "It is a number of bytes.")
        spans.append(int(text))
    return Place(
        line=number,
        archive=name,
        first=spans[0],
        length=spans[1],
        url=str(fields.get("url") or ""),
    )


def unpacked(
    path: str,
    body: Path,
    max_bytes: int,
    agent: str,
    *,
    reservations: bool,
    first: int = 0,
    wanted: Wanted = AUDIO,
) -> Iterator[tuple[str, Stored]]:
    """The records of a WARC or of all the WARCs in a WACZ: (member, record), each judged.

    A record's body lies in `body` until the next. What is neither audio nor, where pages are
    wanted, HTML is refused, and what its owner reserved in the headers that were stored with it or
    in a page's own tags.
    """
    for member, stream in _streams(path):
        with stream:
            for stored in records(stream, body, max_bytes, first=first):
                yield member, _judged(stored, body, agent, reservations, wanted)


def _streams(path: str) -> Iterator[tuple[str, BinaryIO]]:
    if not path.lower().endswith(WACZ) and not zipfile.is_zipfile(path):
        with open(path, "rb") as whole:
            yield "", whole
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(WARC)]
            if not names or len(names) > MAX_MEMBERS:
                why = f"{len(names)} WARC files in it"
                raise DataError(shown(path), why, "A WACZ holds its WARCs in archive/.")
            for name in sorted(names):
                yield name, cast(BinaryIO, archive.open(name))
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(shown(path), f"not a WACZ: {error}", "Check the file.") from error


def _judged(stored: Stored, body: Path, agent: str, reservations: bool, wanted: Wanted) -> Stored:
    if stored.reason:
        return stored
    signal = optout.of_headers(stored.headers, agent) if reservations else None
    if signal is not None:
        return dataclasses.replace(stored, reason="opt_out", detail=signal)
    with body.open("rb") as file:
        head = file.read(HEAD)
        kind = stored.header("content-type").lower()
        page = "page" in wanted and page_record(kind, head)
        if page and reservations:
            head += file.read(optout.HEAD - HEAD)
    if page:
        signal = optout.of_page(head, agent) if reservations else None
        if signal is not None:
            return dataclasses.replace(stored, reason="opt_out", detail=signal)
        return stored
    heard = begins_like_audio(head) or kind.startswith(("audio/", "video/"))
    if "audio" not in wanted or not heard:
        return dataclasses.replace(stored, reason="wrong_type", detail=kind or "no Content-Type")
    return stored


def reasons() -> dict[str, str]:
    """Why a record leaves, for people."""
    return warcs.REASONS


def beside(index: str, name: str) -> str:
    """A local path that an index names: in its own folder or below, never elsewhere."""
    folder = os.path.realpath(os.path.dirname(index) or ".")
    path = os.path.realpath(os.path.join(folder, name))
    if path != folder and not path.startswith(folder.rstrip("/") + "/"):
        raise DataError(shown(index), f"{name[:80]!r} leads out of its folder", "Move it there.")
    return path
