"""What a document of the web offers to fetch: the entries of a feed, a sitemap, a list, a page.

A document is opened once, by what it is; what it offers is audio with all that is said of it, and
further documents (the sitemaps of an index, the next page of a feed). Every entry is told, also
one that cannot be fetched, so that the numbers of a document add up.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from transforms.gather.web import feeds, links
from transforms.gather.web.urls import MAX_URL, Url, UrlError, canonical, shown

DocumentKind = Literal["feed", "sitemap", "page", "urls"]
KINDS: tuple[DocumentKind, ...] = ("feed", "sitemap", "page", "urls")
SAMPLE = 200  # lines that are looked at to tell a list of URLs from a text


class DocumentError(ValueError):
    """A document that is not of the kind it was taken for; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One entry: audio to fetch, or (`url` None) the reason why there is none."""

    provenance: str  # "feed.xml:12"
    url: Url | None = None
    uri: str = ""  # as it is shown where there is no URL
    reason: str = ""
    detail: str = ""
    title: str = ""
    licence: str | None = None
    language: str | None = None
    text: str | None = None
    speaker: str | None = None
    channel: int | None = None
    feed: str | None = None  # whose entry it is
    transcripts: tuple[feeds.Transcript, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    offers: tuple[Offer, ...]
    documents: tuple[tuple[DocumentKind, Url], ...] = ()


def kind_of(head: bytes, content_type: str, name: str) -> DocumentKind | None:
    """What a body is by its beginning, what its server says, its name; None: no document."""
    start = head[:4096].lstrip().lower()
    if feeds.looks_like_feed(head):
        return "feed"
    if b"<urlset" in start or b"<sitemapindex" in start:
        return "sitemap"
    if head[:2] == b"\x1f\x8b" and name.lower().endswith((".xml.gz", ".sitemap.gz")):
        return "sitemap"
    if start.startswith((b"<!doctype html", b"<html")) or "html" in content_type.lower():
        return "page"
    return "urls" if _lists_urls(head) else None


def _lists_urls(head: bytes) -> bool:
    """Whether the first lines of a text are URLs, one each."""
    lines = head.decode("utf-8", "replace").splitlines()[:SAMPLE]
    told = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    told = told[:-1] if len(told) > 1 and len(head) >= 4096 else told  # the last may be cut
    of_web = any(line.startswith(("http://", "https://")) for line in told)
    return of_web and all("://" in line[:20] and " " not in line for line in told)


def opened(kind: DocumentKind, body: bytes, base: str, name: str) -> Opened:
    """What a document offers. `base`: its URL, or empty for a local file; `name`: for provenance.

    Raises `DocumentError`.
    """
    try:
        if kind == "feed":
            return _feed(feeds.parse(body, base), name, base or name)
        if kind == "sitemap":
            return _sitemap(links.of_sitemap(body, base), name)
        if kind == "page":
            return _page(links.of_page(body, base), name)
        return _list(body, name)
    except (feeds.FeedError, links.LinkError) as error:
        raise DocumentError(str(error)) from error


def _feed(feed: feeds.Feed, name: str, known_as: str) -> Opened:
    offers = []
    for item in feed.items:
        place = f"{name}:{item.place}"
        if item.audio is None:
            uri = f"{name}#item-{item.place}"
            reason = "no_audio" if "enclosure" in item.problem else "bad_url"
            offers.append(Offer(provenance=place, uri=uri, reason=reason, detail=item.problem))
            continue
        offers.append(
            Offer(
                provenance=place,
                url=item.audio,
                title=item.title,
                licence=item.licence or None,
                language=item.language or None,
                feed=known_as,
                transcripts=item.transcripts,
            )
        )
    if feed.next is None:
        return Opened(offers=tuple(offers))
    return Opened(offers=tuple(offers), documents=(("feed", feed.next),))


def _sitemap(found: links.Sitemap, name: str) -> Opened:
    offers = [
        Offer(provenance=f"{name}:{place}", url=url) for place, url in enumerate(found.urls, 1)
    ]
    offers += _refused(found.refused, name)
    return Opened(offers=tuple(offers), documents=tuple(("sitemap", u) for u in found.sitemaps))


def _page(found: links.Links, name: str) -> Opened:
    offers = [
        Offer(provenance=f"{name}:{place}", url=url, licence=found.licence or None)
        for place, url in enumerate(found.audio, 1)
    ]
    offers += _refused(found.refused, name)
    return Opened(offers=tuple(offers), documents=tuple(("feed", url) for url in found.feeds))


def _refused(refused: tuple[tuple[str, str], ...], name: str) -> list[Offer]:
    return [
        Offer(provenance=f"{name}:-{place}", uri=why, reason=code, detail=why)
        for place, (code, why) in enumerate(refused, 1)
    ]


def _list(body: bytes, name: str) -> Opened:
    lines = body.decode("utf-8-sig", "replace").splitlines()
    return Opened(
        offers=tuple(
            of_line(line.strip(), f"{name}:{place}")
            for place, line in enumerate(lines, 1)
            if line.strip() and not line.lstrip().startswith("#")
        )
    )


def of_lines(path: str, name: str) -> Iterator[Offer]:
    """The offers of a list of URLs, line by line: a list may be longer than memory, and so may
    one of its lines, of which no more is read than a URL may be long."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        place, started = 1, False
        while piece := file.readline(MAX_URL + 2):
            # the rest of a line that is too long was told with its beginning
            if not started and piece.strip() and not piece.lstrip().startswith("#"):
                yield of_line(piece.strip(), f"{name}:{place}")
            started = not piece.endswith("\n")
            place += not started


def of_line(text: str, provenance: str) -> Offer:
    """The offer of one URL of a list."""
    try:
        return Offer(provenance=provenance, url=canonical(text))
    except UrlError as error:
        return Offer(provenance=provenance, uri=shown(text), reason=error.code, detail=error.why)
