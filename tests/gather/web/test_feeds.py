"""Feeds: what they offer, what they say of it, and what is wrong with them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.gather.web.feeds import FeedError, looks_like_feed, parse

BASE = "http://pods.example/show/feed.xml"

RSS = b"""<?xml version="1.0"?>
<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"
     xmlns:media="http://search.yahoo.com/mrss/" xmlns:atom="http://www.w3.org/2005/Atom">
<channel>
<title> The   show </title><language>en</language>
<podcast:license url="https://licences.example/by">cc-by-4.0</podcast:license>
<atom:link rel="next" href="feed-2.xml"/>
<item><title>One</title>
  <enclosure url="ep/1.mp3?x=1&amp;y=2" type="audio/mpeg" length="1234"/>
  <podcast:transcript url="/t/1.html" type="text/html"/>
  <podcast:transcript url="/t/1.vtt" type="text/vtt" language="en"/>
  <podcast:chapters url="c/1.json" type="application/json+chapters"/>
</item>
<item><title>Two</title>
  <podcast:license>cc0-1.0</podcast:license>
  <media:group><media:content url="http://cdn.example/2.m4a" medium="audio"/></media:group>
</item>
<item><title>Three</title><enclosure url="cover.jpg" type="image/jpeg"/></item>
<item><title>Four</title></item>
<item><title>Five</title><enclosure url="file:///etc/passwd" type="audio/mpeg"/></item>
</channel></rss>"""

ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><rights>mine</rights>
<entry><title>x</title>
<link rel="enclosure" href="/a.opus" type="audio/ogg" length="nonsense"/></entry></feed>"""


def test_an_rss_feed_is_read_whole() -> None:
    feed = parse(RSS, BASE)
    assert feed.title == "The   show"
    assert feed.next is not None and feed.next.text == "http://pods.example/show/feed-2.xml"
    one, two, three, four, five = feed.items
    assert one.audio is not None
    assert one.audio.text == "http://pods.example/show/ep/1.mp3?x=1&y=2"
    assert (one.type, one.length, one.licence, one.language) == (
        "audio/mpeg",
        1234,
        "cc-by-4.0",
        "en",
    )
    assert [t.type for t in one.transcripts] == ["text/vtt", "text/html"]  # timed ones first
    assert one.transcripts[0].url.text == "http://pods.example/t/1.vtt"
    assert one.chapters is not None and one.chapters.text.endswith("/show/c/1.json")
    assert two.audio is not None and two.audio.host == "cdn.example"
    assert two.licence == "cc0-1.0"
    assert (three.audio, three.problem) == (None, "enclosures of type image/jpeg only")
    assert (four.audio, four.problem) == (None, "no enclosure")
    assert five.audio is None and "only http and https" in five.problem
    assert [item.place for item in feed.items] == [1, 2, 3, 4, 5]


def test_an_atom_feed_is_read() -> None:
    (item,) = parse(ATOM, BASE).items
    assert item.audio is not None and item.audio.text == "http://pods.example/a.opus"
    assert (item.length, item.licence) == (0, "mine")


def test_a_feed_that_is_not_well_formed_gives_what_can_be_read() -> None:
    broken = RSS.replace(b"<title>One</title>", b"<title>One & only</title>")
    feed = parse(broken, BASE)
    assert sum(item.audio is not None for item in feed.items) == 2


def test_a_feed_that_is_cut_gives_the_items_before() -> None:
    feed = parse(RSS[: RSS.index(b"<item><title>Three")], BASE)
    assert [item.title for item in feed.items] == ["One", "Two"]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><rss><channel><title>&b;</title></channel></rss>"""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (BOMB, "entities"),
        (BOMB.decode().encode("utf-16"), ""),
        (b"", "not XML"),
        (b"<html><body>hello</body></html>", "its first element is <html>"),
        (b"<rss></rss>", "without a channel"),
        (b"\x00\x01\x02", "not XML"),
        (b"<" * 1000, "not XML"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "<x>"),
    ],
)
def test_what_is_no_feed_is_refused(body: bytes, why: str) -> None:
    if why:
        with pytest.raises(FeedError, match=why):
            parse(body, BASE)
    else:  # read or refused, but nothing of an entity's text is in it
        with contextlib.suppress(FeedError):
            assert "aaaa" not in parse(body, BASE).title


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    for body in (noise, RSS[:300] + noise, RSS[:-200] + noise):
        with contextlib.suppress(FeedError):
            parse(body, BASE)


def test_a_feed_is_known_by_its_beginning() -> None:
    assert looks_like_feed(RSS) and looks_like_feed(ATOM)
    assert not looks_like_feed(b"<html><body>an rss feed</body></html>")
