"""What DATA means when it is of the web: one URL, or a local file that names URLs.

A URL is taken for what it turns out to be (audio, a feed, a sitemap, a page, a list of URLs); a
local file for what its name and its beginning say. `kind` overrides both.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Literal

from transforms.gather.entry import AUDIO, PAGES, Wanted
from transforms.gather.found import DataError, shown
from transforms.gather.given import (
    LICENCES,
    MAX_NAME,
    MAX_TEXT,
    checked_channel,
    checked_language,
    checked_text,
)
from transforms.gather.page_files import page_claim
from transforms.gather.table import rows, table_suffix
from transforms.gather.web.archives import CDX, LISTS, WACZ, WARC
from transforms.gather.web.offers import (
    KINDS,
    DocumentKind,
    Offer,
    kind_of,
    of_line,
)
from transforms.gather.web.urls import MAX_URL, Url, UrlError, canonical
from transforms.gather.web.urls import shown as shown_url

DOCUMENTS = (".txt", ".xml", ".rss", ".atom", ".html", ".htm", ".xml.gz")
COLUMNS = ("url", "text", "speaker", "language", "channel", "feed", *LICENCES)
ArchiveKind = Literal["warc", "warcs", "cdx"]
_ARCHIVES: dict[ArchiveKind, tuple[str, ...]] = {
    "warc": (*WARC, *WACZ),
    "warcs": LISTS,
    "cdx": CDX,
}
NOUNS = {
    "audio": "audio",
    "table": "a table of URLs",
    "feed": "a feed",
    "sitemap": "a sitemap",
    "page": "a page",
    "urls": "a list of URLs",
    "warc": "an archive of the web",
    "warcs": "a list of archives",
    "cdx": "an index of archives",
    "dataset": "a data set",
    "objects": "objects of a store",
}
"""What DATA was taken for, to people."""
ALL_KINDS = ("files", "table", "dataset", *KINDS, *_ARCHIVES)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WebData:
    """DATA that has to be fetched, wholly or in part."""

    name: str  # for provenance and for people
    url: Url | None = None  # of a document or of audio
    path: str = ""  # of a local document or table
    kind: DocumentKind | ArchiveKind | None = None  # None: what it turns out to be
    table: bool = False

    @property
    def archived(self) -> bool:
        """Whether it is an archive of the web, or names some."""
        return self.kind in _ARCHIVES

    @property
    def document(self) -> DocumentKind | None:
        return next((one for one in KINDS if one == self.kind), None)


def recognise(data: str, kind: str | None, wanted: Wanted = AUDIO) -> WebData | None:
    """What DATA is, where it is of the web; None: files on a local disk.

    Where pages alone are wanted, a local page or table of text is one, whatever URLs it holds.
    Raises `DataError` for a URL that is not taken, or a kind that does not fit.
    """
    if kind is not None and kind not in ALL_KINDS:
        raise DataError("--kind", f"there is no kind {kind!r}", f"Known: {', '.join(ALL_KINDS)}.")
    named: DocumentKind | ArchiveKind | None = next(
        (one for one in (*KINDS, *_ARCHIVES) if one == kind), None
    )
    if data.lower().startswith(("http://", "https://")):
        if kind in ("files", "table"):
            raise DataError(shown(data), f"a URL cannot be of the kind {kind}", "Leave --kind out.")
        try:
            url = canonical(data)
        except UrlError as error:
            raise DataError(shown_url(data), f"DATA: {error.why}", "Correct the URL.") from error
        last = url.target.partition("?")[0].rstrip("/").rpartition("/")[2]
        return WebData(name=last or url.host, url=url, kind=named or _archive(last))
    if kind == "files" or not os.path.isfile(data):
        if named is not None:
            raise DataError(shown(data), f"no file, so no {kind}", "Name a file or a URL.")
        return None
    name = os.path.basename(data)
    if (named or _archive(name)) in _ARCHIVES:
        return WebData(name=name, path=data, kind=named or _archive(name))
    if kind is None and wanted == PAGES and page_claim(data) is not None:
        return None
    if table_suffix(data):
        of_urls = kind == "table" or "url" in _columns(data)
        return WebData(name=name, path=data, table=True) if of_urls else None
    if named is None and not data.lower().endswith(DOCUMENTS):
        return None
    if named is None:
        with open(data, "rb") as file:
            named = kind_of(file.read(1 << 16), "", name)
        if named is None:
            raise DataError(
                shown(data),
                "neither a feed, a sitemap, a page nor a list of URLs, by its beginning",
                f"Say what it is: --kind {' or '.join(KINDS)}.",
            )
    return WebData(name=name, path=data, kind=named)


def _archive(name: str) -> ArchiveKind | None:
    lowered = name.lower()
    return next((k for k, suffixes in _ARCHIVES.items() if lowered.endswith(suffixes)), None)


class _Seen(Exception):
    """Ends the reading of a table behind its header."""


def _columns(table: str) -> Sequence[str]:
    """The columns of a table; of JSON lines those of the first."""
    found: list[str] = []

    def check(where: str, columns: Sequence[str]) -> list[str]:
        found.extend(columns)
        raise _Seen

    with contextlib.suppress(_Seen):
        next(iter(rows(table, check)), None)
    return found


def table_offers(table: str, ignore: Sequence[str]) -> Iterator[Offer]:
    """The rows of a table with a column `url`, as offers, in order; one that cannot be fetched is
    told. Raises `DataError` with the line for columns and cells that are not right."""

    def check(where: str, columns: Sequence[str]) -> list[str]:
        used = [name for name in columns if name not in ignore and not name.startswith("x_")]
        for name in used:
            if name not in COLUMNS:
                raise DataError(
                    where,
                    f"unknown column {name!r} in a table of URLs",
                    f"Known are {', '.join(COLUMNS)}; rename it to x_{name} to ignore it.",
                )
        if "url" not in used:
            raise DataError(where, "no column url", "Call the column with the URLs url.")
        return used

    name = os.path.basename(table)
    for place, values in rows(table, check):
        where = f"{shown(table)}:{place}"
        text = checked_text(where, "url", values.get("url"), MAX_URL)
        if text is None:
            raise DataError(where, "column 'url' is empty", "Each row names a URL.")
        licence = next((key for key in values if key in LICENCES), "licence")
        yield dataclasses.replace(
            of_line(text, f"{name}:{place}"),
            text=checked_text(where, "text", values.get("text"), MAX_TEXT),
            speaker=checked_text(where, "speaker", values.get("speaker"), MAX_NAME),
            licence=checked_text(where, licence, values.get(licence), MAX_NAME),
            language=checked_language(where, values.get("language")),
            channel=checked_channel(where, values.get("channel")),
            feed=checked_text(where, "feed", values.get("feed"), MAX_NAME),
        )
