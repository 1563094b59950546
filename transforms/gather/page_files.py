"""Which files hold web text: pages, plain text and tables with a column of text.

The counterpart of `entry` for the other modality, judged by what is cheap to know: the suffix, and
of a table its columns. A table with a column of audio paths is never one of text, so a folder can
be read for both and each file belongs to one. A name without a suffix (the body of an answer, a
record of an archive) is told by its first bytes; only HTML says what it is.
"""

import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.gather.sniff import begins_like_audio

PageFormat = Literal["html", "markdown", "text", "jsonl", "csv", "tsv", "parquet"]

SUFFIXES: dict[str, PageFormat] = {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
TABLES: frozenset[PageFormat] = frozenset(("jsonl", "csv", "tsv", "parquet"))

# By what each column is for: the names it goes by, the first that is there counts.
NAMES: dict[str, tuple[str, ...]] = {
    "text": ("text", "content", "body"),
    "url": ("url",),
    "title": ("title",),
    "language": ("language", "lang"),
    "date": ("date",),
    "licence": ("licence", "license"),
    "id": ("id",),
}
_AUDIO = frozenset(
    (
        *("audio", "path", "uri", "file", "audio_filepath", "audio_file", "audio_path"),
        *("filename", "file_name", "filepath"),
    )
)
HEAD = 1 << 12  # bytes that tell HTML
_FIRST = 1 << 24  # bytes in which the first row of a table is looked for
_DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PageClaim:
    """What a file claims to be, by its name and beginning; `extract` judges the bytes."""

    format: PageFormat
    columns: tuple[tuple[str, str], ...] = ()  # of a table: (what it is for, its name)

    @property
    def table(self) -> bool:
        return self.format in TABLES


def page_claim(path: str, name: str = "") -> PageClaim | None:
    """What page or text table a local file claims to be; None: it is none.

    `name`: the one it goes by where its path has no suffix of its own (a file named by digest).
    Raises `OSError` where the file cannot be read.
    """
    format = page_format(path, name)
    if format is None:
        return None
    if format not in TABLES:
        return PageClaim(format=format)
    columns = text_columns(_columns(path, format))
    return None if columns is None else PageClaim(format=format, columns=tuple(columns.items()))


def page_format(path: str, name: str = "") -> PageFormat | None:
    """The format of a file by its name, else by its beginning; tables are not looked into.

    Arguments and errors as of `page_claim`.
    """
    format = SUFFIXES.get(_suffix(path)) or SUFFIXES.get(_suffix(name.partition("?")[0]))
    if format is not None:
        return format
    with open(path, "rb") as file:
        return "html" if begins_like_html(file.read(HEAD)) else None


def text_columns(names: Iterable[str]) -> dict[str, str] | None:
    """The columns of a table of text by what they are for; None where it is no such table."""
    given = set(names)
    if given & _AUDIO:
        return None
    found = {
        use: next(name for name in known if name in given)
        for use, known in NAMES.items()
        if given & set(known)
    }
    return found if "text" in found else None


def begins_like_html(head: bytes) -> bool:
    """Whether the first bytes of a file say that it is HTML."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n\f")[:1024].lower()
    while start.startswith((b"<!--", b"<?xml")):
        end = b"-->" if start.startswith(b"<!--") else b"?>"
        start = start.partition(end)[2].lstrip()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<title"))


def page_record(content_type: str, head: bytes) -> bool:
    """Whether an answer, or a record of an archive, is an HTML page: by its type and beginning."""
    named = "html" in content_type.lower() and b"\0" not in head
    return (named and not begins_like_audio(head)) or begins_like_html(head)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _columns(path: str, format: PageFormat) -> Sequence[str]:
    """The columns of a table: of JSON lines the keys of the first row; none where it is broken."""
    if format == "parquet":
        with open(path, "rb") as file:
            try:
                return [str(name) for name in pq.ParquetFile(file).schema_arrow.names]
            except (pa.ArrowException, OSError, ValueError):  # what Arrow says of broken ones
                return []
    for line in _first_lines(path):
        if format == "jsonl":
            keys = _keys(line)
            if keys:
                return keys
        elif line.strip():
            try:
                cells = next(csv.reader([line], delimiter=_DELIMITERS[format]), [])
            except csv.Error:
                return []
            return [cell.strip() for cell in cells]
    return []


def _first_lines(path: str) -> Iterator[str]:
    left = _FIRST
    with open(path, "rb") as file:
        while left > 0 and (line := file.readline(left)):
            left -= len(line)
            yield line.decode("utf-8-sig", "replace")


def _keys(line: str) -> list[str]:
    try:
        row = json.loads(line) if line.strip() else None
    except (ValueError, RecursionError):
        return []
    return [str(key) for key in row] if isinstance(row, dict) else []
