"""A podcast site on loopback, made of the samples: a feed, robots.txt, two hosts, opt-outs."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gather.web.bad_server import Asked, BadServer, whole
from tests.laws.runs import ROOT

SAMPLES = ROOT / "samples"
VTT = """WEBVTT

00:00:00.500 --> 00:00:04.000
<v Ada>words that were published

00:00:05.000 --> 00:00:09.000
<v Ben>and some more of them
"""
FEED = """<?xml version="1.0"?>
<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"><channel>
<title>Loom</title><podcast:license>cc-by-4.0</podcast:license>
<item><title>talk</title><enclosure url="/talk.mp3" type="audio/mpeg"/>
  <podcast:transcript url="/talk.vtt" type="text/vtt"/></item>
<item><title>alone</title><enclosure url="{other}/alone.opus" type="audio/ogg"/></item>
<item><title>forbidden</title><enclosure url="/private/a.mp3" type="audio/mpeg"/></item>
<item><title>reserved</title><enclosure url="/reserved.mp3" type="audio/mpeg"/></item>
<item><title>lost</title><enclosure url="/lost.mp3" type="audio/mpeg"/></item>
<item><title>words only</title></item>
<item><title>moved</title><enclosure url="/moved.opus" type="audio/ogg"/></item>
</channel></rss>"""


@contextmanager
def site() -> Iterator[BadServer]:
    """The site at 127.0.0.1, its other host at 127.0.0.2."""
    server = BadServer({}, "0.0.0.0")
    with server.running():
        other = f"http://127.0.0.2:{server.port}"
        talk, alone = ((SAMPLES / n).read_bytes() for n in ("podcast.mp3", "monologue.opus"))
        etag = '"one"'

        async def audio(asked: Asked, out: asyncio.StreamWriter) -> None:
            same = asked.headers.get("if-none-match") == etag
            await (whole(b"", 304, ETag=etag) if same else whole(talk, ETag=etag))(asked, out)

        server.routes |= {
            "/feed.xml": whole(FEED.format(other=other).encode(), Content_Type="text/xml"),
            "/robots.txt": whole(b"User-agent: *\nDisallow: /private\n"),
            "/talk.mp3": audio,
            "/talk.vtt": whole(VTT.encode()),
            "/alone.opus": whole(alone),
            "/reserved.mp3": whole(talk, X_Robots_Tag="noai"),
            "/private/a.mp3": whole(talk),
            "/moved.opus": whole(b"", 302, Location=f"{other}/alone.opus"),
        }
        yield server


def allowed(server: BadServer, delay: float = 0.0) -> list[str]:
    """Overrides that let the site be asked, and fast."""
    hosts = [f"127.0.0.{n}:{server.port}" for n in (1, 2)]
    return [
        f"crawl.web.allow={json.dumps(hosts)}",
        f"crawl.web.delay={delay}",
        "crawl.web.patience=0",
    ]


def asked_for(server: BadServer, folder: Path | None = None) -> list[str]:
    """The paths that were asked for, without what an origin declares itself by."""
    own = ("/robots.txt", "/ai.txt", "/.well-known/tdmrep.json")
    return [path for _, _, path in server.asked if path not in own]
