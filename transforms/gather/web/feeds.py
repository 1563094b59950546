"""RSS and Atom: what a feed offers to hear, and what it says of it.

Enclosures and Media RSS contents become audio to fetch; Podcasting 2.0 transcripts, chapters and
licences stay with them. An item without audio is told, not skipped, so that the numbers of a feed
add up. Nothing is guessed: an item's licence is its own or its feed's, by the tags that exist for
it (`podcast:license`, `creativeCommons:license`, `dc:rights`, `copyright`, Atom's `rights`).
"""

import dataclasses
from typing import Any

from transforms.gather.web.urls import Url, UrlError, canonical
from transforms.gather.web.xml_door import XmlError, children, first, local, parsed, text

MAX_ITEMS = 100_000
_AUDIO_SUFFIXES = (".mp3", ".m4a", ".mp4", ".ogg", ".opus", ".oga", ".flac", ".wav", ".aac")
_LICENCES = ("license", "licence", "rights", "copyright")
# The first that a feed offers is taken: timed text before plain.
_TRANSCRIPTS = ("text/vtt", "application/x-subrip", "application/srt", "text/srt")


class FeedError(ValueError):
    """A body that is no feed; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """A published transcript of an item."""

    url: Url
    type: str
    language: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One entry of a feed. `audio` is None where it offers none; `problem` then says why."""

    place: int  # from 1, in the feed's order
    title: str
    audio: Url | None
    problem: str = ""
    type: str = ""
    length: int = 0  # bytes, as the feed says
    licence: str = ""
    language: str = ""
    transcripts: tuple[Transcript, ...] = ()  # timed ones first
    chapters: Url | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    title: str
    items: tuple[Item, ...]
    next: Url | None = None  # of a feed in pages (RFC 5005)


def looks_like_feed(head: bytes) -> bool:
    """Whether a body begins like a feed: by its first element, behind whatever comes before."""
    start = head[:4096].lower()
    return any(mark in start for mark in (b"<rss", b"<feed", b"<rdf:rdf"))


def parse(body: bytes, base: str) -> Feed:
    """A feed of its bytes. `base`: its URL, for references in it. Raises `FeedError`."""
    try:
        root = parsed(body)
    except XmlError as error:
        raise FeedError(str(error)) from error
    kind = local(root)
    if kind == "feed":
        channel, entries = root, list(children(root, "entry"))
    elif kind in ("rss", "rdf"):
        channel = first(root, "channel")
        if channel is None:
            raise FeedError("an RSS feed without a channel")
        entries = [*children(channel, "item"), *children(root, "item")]
    else:
        raise FeedError(f"not a feed: its first element is <{kind}>")
    if len(entries) > MAX_ITEMS:
        raise FeedError(f"{len(entries)} items; {MAX_ITEMS} are read")
    licence, language = _licence(channel), text(first(channel, "language"))
    items = tuple(
        _item(entry, place, base, licence, language) for place, entry in enumerate(entries, 1)
    )
    return Feed(title=text(first(channel, "title")), items=items, next=_next(channel, base))


def _item(entry: Any, place: int, base: str, licence: str, language: str) -> Item:
    audio, problem, kind, length = _audio(entry, base)
    chapters = first(entry, "chapters")
    return Item(
        place=place,
        title=text(first(entry, "title")),
        audio=audio,
        problem=problem,
        type=kind,
        length=length,
        licence=_licence(entry) or licence,
        language=text(first(entry, "language")) or language,
        transcripts=_transcripts(entry, base),
        chapters=_url(chapters.get("url"), base) if chapters is not None else None,
    )


def _audio(entry: Any, base: str) -> tuple[Url | None, str, str, int]:
    """The audio of an entry: the first enclosure that is audio or video, or that looks like it."""
    offers = [(one.get("url"), one) for one in children(entry, "enclosure")]
    offers += [
        (one.get("href"), one) for one in children(entry, "link") if one.get("rel") == "enclosure"
    ]
    for holder in (entry, *children(entry, "group")):
        offers += [(one.get("url"), one) for one in children(holder, "content") if one.get("url")]
    problem = "no enclosure"
    for target, one in offers:
        kind = (one.get("type") or one.get("medium") or "").strip().lower()
        path = (target or "").partition("?")[0].lower()
        if not kind.startswith(("audio", "video")) and not path.endswith(_AUDIO_SUFFIXES):
            problem = f"enclosures of type {kind or 'unknown'} only"
            continue
        try:
            url = canonical(target or "", base)
        except UrlError as error:
            problem = str(error)
            continue
        stated = (one.get("length") or one.get("fileSize") or "").strip()
        return url, "", kind, int(stated[:15]) if stated.isascii() and stated.isdigit() else 0
    return None, problem, "", 0


def _transcripts(entry: Any, base: str) -> tuple[Transcript, ...]:
    found = []
    for one in children(entry, "transcript"):
        url = _url(one.get("url"), base)
        if url is not None:
            kind = (one.get("type") or "").partition(";")[0].strip().lower()
            found.append(Transcript(url=url, type=kind, language=one.get("language") or ""))
    rank = {kind: place for place, kind in enumerate(_TRANSCRIPTS)}
    return tuple(sorted(found, key=lambda one: rank.get(one.type, len(rank))))


def _licence(element: Any) -> str:
    for name in _LICENCES:
        for one in children(element, name):
            found = text(one) or (one.get("url") or "").strip()
            if found:
                return " ".join(found.split())[:1000]
    return ""


def _next(channel: Any, base: str) -> Url | None:
    links = (one for one in children(channel, "link") if one.get("rel") == "next")
    return next((_url(one.get("href"), base) for one in links), None)


def _url(target: str | None, base: str) -> Url | None:
    """A reference in a feed, where it leads to something that is fetched."""
    try:
        return canonical(target, base) if target else None
    except UrlError:
        return None
