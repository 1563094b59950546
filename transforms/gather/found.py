"""What crawl hands on: an item of DATA that was found, one whose bytes are known, or an error.

A name found in DATA is never trusted and never used for an output. It travels as a *uri*: the path
from DATA's root (for a table: from the table's folder), percent-encoded, hence ASCII whatever bytes
the name holds. So a moved or copied DATA folder gives the same uris and the same ids; the absolute
path lives only in `Found.path`, on the machine that found it. The price: a uri means something only
together with its root (`path_of`). What lies outside the root and was named by an absolute path has
no such uri and gets a `file:///` one, which does not survive a move.
"""

import dataclasses
import os
import urllib.parse

from schemas.records import Drop, Modality, RecordError, Recording, Source, source_id

STEP = "crawl"


class DataError(ValueError):
    """DATA cannot be used: says where, what is wrong and what to do, before work starts."""

    def __init__(self, where: str, what: str, fix: str) -> None:
        self.where, self.what, self.fix = where, what, fix
        super().__init__(f"{where}: {what}. {fix}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An item of DATA: a file that may hold audio or web text (`source.kind`), or the reason why
    it leaves at once."""

    source: Source
    path: str = ""  # absolute, on this machine; undecodable bytes as os.fsdecode gives them
    drop: Drop | None = None
    format: str = ""  # of a page: what its file claims to be (`page_files.PageFormat`)

    def __post_init__(self) -> None:
        if bool(self.path) == (self.drop is not None):
            raise RecordError(f"Found: needs either a path or a drop (in {self!r})")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A source whose bytes were read: the link from what was asked for to what it holds."""

    source: Source
    recording: Recording


def shown(path: str) -> str:
    """A path for people: valid Unicode, undecodable bytes as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def uri_of(relative: str) -> str:
    """The uri of a path relative to DATA's root: its bytes, percent-encoded, slashes kept."""
    return urllib.parse.quote(os.fsencode(relative), safe="/")


def file_uri(path: str) -> str:
    """The uri of a file outside DATA's root that was named by its absolute path."""
    return "file://" + uri_of(path)


def path_of(root: str, uri: str) -> str:
    """The local path that a uri made by `uri_of` or `file_uri` stands for, under this root."""
    if uri.startswith("file://"):
        return os.fsdecode(urllib.parse.unquote_to_bytes(uri.removeprefix("file://")))
    return os.path.join(root, os.fsdecode(urllib.parse.unquote_to_bytes(uri)))


def walked(relative: str, kind: Modality = "audio") -> Source:
    """The source that a file found by walking is."""
    uri = uri_of(relative)
    return Source(id=source_id(uri), uri=uri, kind=kind)


def dropped(source: Source, reason: str, detail: str = "") -> Drop:
    """A source that leaves at crawl. Its seconds are 0: nothing of it was ever heard."""
    return Drop(id=source.id, root=source.id, step=STEP, reason=reason, seconds=0.0, detail=detail)
