"""Links in pages and sitemaps."""

import gzip

import pytest

from transforms.gather.web.links import LinkError, of_page, of_sitemap

BASE = "http://site.example/dir/page.html"

PAGE = b"""<!doctype html><html><head>
<base href="/media/">
<link rel="alternate" type="application/rss+xml" href="/feed.xml">
<link rel="stylesheet" href="x.css"></head><body>
<audio src="a.mp3"></audio>
<video><source src="b.webm" type="video/webm"><source src="a.mp3"></video>
<picture><source src="c.webp"></picture>
<a href="d.OGG?dl=1#t=3">listen</a> <a href="e.html">no</a>
<a href="stream" type="audio/aac">yes</a>
<a href="http://u:p@x.example/f.mp3">with a password</a>
<audio src="data:audio/wav;base64,AAAA"></audio>
</body></html>"""


def test_a_page_gives_the_audio_that_it_plays_or_links_to() -> None:
    links = of_page(PAGE, BASE)
    assert [url.text for url in links.audio] == [
        "http://site.example/media/a.mp3",
        "http://site.example/media/b.webm",
        "http://site.example/media/d.OGG?dl=1",
        "http://site.example/media/stream",
    ]
    assert [url.text for url in links.feeds] == ["http://site.example/feed.xml"]
    assert [code for code, _ in links.refused] == ["user_info"]


@pytest.mark.parametrize("body", [b"", b"   "])
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(LinkError, match="not a page"):
        of_page(body, BASE)


MAP = b"""<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc> http://site.example/1 </loc></url><url><loc>http://site.example/1#x</loc></url>
<url><loc>ftp://site.example/2</loc></url></urlset>"""
INDEX = b"<sitemapindex><sitemap><loc>http://site.example/m.xml.gz</loc></sitemap></sitemapindex>"


def test_sitemaps_are_read_in_all_their_forms() -> None:
    for body in (MAP, gzip.compress(MAP)):
        found = of_sitemap(body, BASE)
        assert [url.text for url in found.urls] == ["http://site.example/1"]
        assert [code for code, _ in found.refused] == ["scheme"]
    assert [u.text for u in of_sitemap(INDEX, BASE).sitemaps] == ["http://site.example/m.xml.gz"]
    plain = of_sitemap(b"http://a.example/x\n\nhttp://b.example/y\n", BASE)
    assert [url.host for url in plain.urls] == ["a.example", "b.example"]


@pytest.mark.parametrize(
    "body", [b"<html></html>", gzip.compress(MAP)[:-9], gzip.compress(bytes(70 << 20))]
)
def test_broken_sitemaps_are_refused(body: bytes) -> None:
    with pytest.raises(LinkError):
        of_sitemap(body, BASE)


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ('<a rel="license" href="https://l.example/by">x</a>', "https://l.example/by"),
        ('<link rel="license nofollow" href="/terms">', "http://site.example/terms"),
        ('<a rel="license" href="/a">x</a><a rel="license" href="/b">y</a>', ""),
        ('<a href="/a">license</a>', ""),
    ],
)
def test_a_page_s_licence_is_taken_where_it_names_one(links: str, expected: str) -> None:
    page = f"<html>{links}<audio src='a.mp3'></audio></html>".encode()
    assert of_page(page, BASE).licence == expected
