"""What the child answers: the pages of one file, one after the other, or why each is none.

Every function here is pure but for the file that it reads; `transforms.page_child` runs them behind
the door and `transforms.page_door` asks.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from transforms.extract import html, markdown, plain
from transforms.extract.encoding import Unreadable, decoded
from transforms.extract.rows import BadRow, BadTable, checked, rows
from transforms.gather.page_files import TABLES, PageFormat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """How a file is to be read."""

    format: PageFormat
    url: str = ""  # its address where it was fetched
    favour: Literal["precision", "balanced", "recall"] = "balanced"
    tables: bool = False
    max_bytes: int = 16 << 20  # of a page, or of a row's text
    max_characters: int | None = None
    fallback: str | None = None  # encoding of what says nothing
    first: int = 0  # answers to pass over: they were given before the child was lost


def answers(file: BinaryIO, size: int, asked: Asked) -> Iterator[dict[str, Any]]:
    """One answer per page: {"index", "text", ...} or {"index", "code", "detail"}."""
    if asked.format in TABLES:
        for number, (index, row) in enumerate(rows(file, asked.format, asked.max_bytes)):
            if number >= asked.first:
                yield {**_of_row(row, asked), "index": index}
        return
    if size > asked.max_bytes:
        yield _refused("too_large", f"{size} bytes", size)
        return
    try:
        text = decoded(file.read(), asked.format == "html", asked.fallback)
    except Unreadable as error:
        yield _refused(error.code, error.detail)
        return
    yield {**_of_text(text, asked), "index": 0}


def _of_row(row: dict[str, Any] | BadRow, asked: Asked) -> dict[str, Any]:
    if isinstance(row, BadTable):
        return {**_refused(row.code, row.detail), "file": True}
    if isinstance(row, BadRow):
        return _refused(row.code, row.detail)
    try:
        told = checked(row)
    except BadRow as error:
        return _refused(error.code, error.detail)
    text = told.pop("text", "")
    return {**_limited(plain.paragraphs(text), 0, asked), **told}


def _of_text(text: str, asked: Asked) -> dict[str, Any]:
    if asked.format == "html":
        try:
            blocks, left, told = html.page_of(text, asked.url, asked.favour, asked.tables)
        except (MemoryError, RecursionError):
            raise
        except html.ParserLimit as error:
            return _refused("parser_limit", str(error)[:300])
        except Exception as error:  # what pages make the library stumble over has no end
            return _refused("crash", f"{type(error).__name__}: {error}"[:300])
        return {**_limited(plain.joined(blocks), left, asked), **told}
    if asked.format == "markdown":
        blocks, left, told = markdown.blocks_of(plain.tidy(text), _markdown(), asked.tables)
        for old, new in (("lang", "language"), ("license", "licence")):
            if old in told:
                told.setdefault(new, told.pop(old))
        return {**_limited(plain.joined(blocks), left, asked), **told}
    return _limited(plain.paragraphs(text), 0, asked)


@functools.cache
def _markdown() -> Any:
    return markdown.parser()


def _limited(text: str, left: int, asked: Asked) -> dict[str, Any]:
    if asked.max_characters is not None and len(text) > asked.max_characters:
        return _refused("too_long", f"{len(text)} characters", len(text))
    return {"text": text, "left": left}


def _refused(code: str, detail: str, score: float | None = None) -> dict[str, Any]:
    return {"index": 0, "code": code, "detail": detail, "score": score}
