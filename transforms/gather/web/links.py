"""Links to audio in web pages, and to pages and audio in sitemaps.

A page's audio is what it plays or offers: `<audio>`, `<video>` and `<source>`, links whose target
looks like audio, and the feeds that it names. One hop, when asked: nothing here crawls a site.
"""

import contextlib
import dataclasses
import gzip
import io
from collections.abc import Iterator
from typing import Any

from transforms.gather.web.urls import Url, UrlError, canonical
from transforms.gather.web.xml_door import XmlError, children, first, local, parsed, text

MAX_LINKS = 100_000
MAX_PAGE = 16 << 20  # bytes
AUDIO_SUFFIXES = (
    *(".aac", ".aif", ".aiff", ".flac", ".m4a", ".m4b", ".mka", ".mp3", ".oga", ".ogg", ".opus"),
    *(".wav", ".weba", ".mkv", ".mov", ".mp4", ".webm"),
)
_FEEDS = ("application/rss+xml", "application/atom+xml")


class LinkError(ValueError):
    """A body that holds no links of the kind that was looked for; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """What a page offers, in its order, each once."""

    audio: tuple[Url, ...]
    feeds: tuple[Url, ...]
    refused: tuple[tuple[str, str], ...] = ()  # (link as shown, why)
    licence: str = ""  # by `rel="license"`: of all that the page holds, where it names just one


def of_page(body: bytes, base: str) -> Links:
    """The links of an HTML page. Raises `LinkError` for what is no HTML or too large."""
    from lxml import etree
    from lxml import html as lxml_html

    if len(body) > MAX_PAGE:
        raise LinkError(f"a page of {len(body)} bytes; {MAX_PAGE} are read")
    try:
        root = lxml_html.fromstring(body, parser=lxml_html.HTMLParser(no_network=True))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise LinkError(f"not a page: {error}") from error
    place = next((one.get("href") for one in root.iter("base") if one.get("href")), None)
    with contextlib.suppress(UrlError):  # a base that leads nowhere is none, as browsers have it
        base = canonical(place, base).text if place else base
    audio: dict[Url, None] = {}
    feeds: dict[Url, None] = {}
    refused: list[tuple[str, str]] = []
    for target, into in _offers(root, audio, feeds):
        if target.lower().startswith(("data:", "blob:", "javascript:", "mailto:")):
            continue
        try:
            into[canonical(target, base)] = None
        except UrlError as error:
            refused.append((error.code, str(error)))
        if len(audio) + len(feeds) > MAX_LINKS:
            raise LinkError(f"more than {MAX_LINKS} links")
    return Links(
        audio=tuple(audio), feeds=tuple(feeds), refused=tuple(refused), licence=_licence(root, base)
    )


def _licence(root: Any, base: str) -> str:
    """The licence that a page declares; none where it names several: whose is whose is a guess."""
    found = set()
    for one in root.iter("a", "link"):
        if "license" in (one.get("rel") or "").lower().split() and one.get("href"):
            with contextlib.suppress(UrlError):
                found.add(canonical(one.get("href"), base).text)
    return found.pop() if len(found) == 1 else ""


def _offers(
    root: Any, audio: dict[Url, None], feeds: dict[Url, None]
) -> Iterator[tuple[str, dict[Url, None]]]:
    """References in a page, and what each is."""
    for one in root.iter("audio", "video", "source", "a", "link"):
        if one.tag in ("audio", "video", "source"):
            parent = one.getparent()
            within_picture = parent is not None and parent.tag == "picture"
            if one.get("src") and not within_picture:
                yield one.get("src"), audio
            continue
        target = one.get("href") or ""
        kind = (one.get("type") or "").strip().lower()
        if one.tag == "link":
            if "alternate" in (one.get("rel") or "").lower() and kind in _FEEDS:
                yield target, feeds
        elif kind.startswith("audio/") or _path(target).endswith(AUDIO_SUFFIXES):
            yield target, audio


def _path(target: str) -> str:
    return target.partition("#")[0].partition("?")[0].lower()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sitemap:
    """The URLs of a sitemap, or the sitemaps of an index of them."""

    urls: tuple[Url, ...]
    sitemaps: tuple[Url, ...]
    refused: tuple[tuple[str, str], ...] = ()


def of_sitemap(body: bytes, base: str) -> Sitemap:
    """A sitemap, as XML, packed with gzip, or as plain lines. Raises `LinkError`."""
    if body[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                body = file.read(MAX_PAGE * 4 + 1)
        except (OSError, EOFError) as error:
            raise LinkError(f"a broken gzip: {error}") from error
        if len(body) > MAX_PAGE * 4:
            raise LinkError(f"unpacks to more than {MAX_PAGE * 4} bytes")
    if body.lstrip()[:1] != b"<":
        lines = body.decode("utf-8-sig", "replace").splitlines()
        return _sitemap([line for line in lines if line.strip()], [], base)
    try:
        root = parsed(body)
    except XmlError as error:
        raise LinkError(str(error)) from error
    kind = local(root)
    if kind not in ("urlset", "sitemapindex"):
        raise LinkError(f"not a sitemap: its first element is <{kind}>")
    found = [text(first(one, "loc")) for one in root if local(one) in ("url", "sitemap")]
    media = [
        text(first(one, "content_loc", "player_loc"))
        for entry in children(root, "url")
        for one in children(entry, "video")
    ]
    if kind == "sitemapindex":
        return _sitemap([], found, base)
    return _sitemap([*found, *filter(None, media)], [], base)


def _sitemap(urls: list[str], sitemaps: list[str], base: str) -> Sitemap:
    if len(urls) + len(sitemaps) > MAX_LINKS:
        raise LinkError(f"more than {MAX_LINKS} links")
    refused: list[tuple[str, str]] = []
    found: tuple[dict[Url, None], dict[Url, None]] = ({}, {})
    for texts, into in zip((urls, sitemaps), found, strict=True):
        for one in texts:
            try:
                into[canonical(one, base)] = None
            except UrlError as error:
                refused.append((error.code, str(error)))
    return Sitemap(urls=tuple(found[0]), sitemaps=tuple(found[1]), refused=tuple(refused))
