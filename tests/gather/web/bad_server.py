"""A web server that misbehaves in every way we know of, on loopback, by raw sockets.

Each route is a coroutine that gets the parsed request and the writer and may do anything with it.
"""

import asyncio
import dataclasses
import gzip
import hashlib
import random
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

SOUND = random.Random(5).randbytes(200_000)  # a body of no kind
ETAG = '"' + hashlib.sha256(SOUND).hexdigest()[:16] + '"'
ZEROS = 64 << 20  # bytes that a bomb unpacks to


@dataclasses.dataclass
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    count: int  # how often this path was asked before
    name: str  # Host


Route = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
ROUTES: dict[str, Route] = {}


def route(path: str) -> Callable[[Route], Route]:
    def keep(work: Route) -> Route:
        ROUTES[path] = work
        return work

    return keep


def head(status: int = 200, length: int | None = None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(body: bytes, status: int = 200, **headers: str) -> Route:
    async def answer(asked: Asked, out: asyncio.StreamWriter) -> None:
        out.write(head(status, len(body), **headers) + body)

    return answer


def fixed(path: str, body: bytes, status: int = 200, **headers: str) -> None:
    ROUTES[path] = whole(body, status, **headers)


fixed("/good", SOUND, Content_Type="audio/mpeg", ETag=ETAG)
fixed("/empty", b"", Content_Type="audio/mpeg")
fixed("/missing", b"no", 404)
fixed("/gone", b"", 410)
fixed("/forbidden", b"", 403)
fixed("/legal", b"", 451)
fixed("/teapot", b"", 418)
fixed("/error", b"", 500)
fixed("/busy-seconds", b"", 429, Retry_After="7")
fixed("/busy-date", b"", 503, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT")
fixed("/busy-garbage", b"", 503, Retry_After="soon; \x7f")
fixed("/busy-huge", b"", 503, Retry_After="9" * 400)
fixed("/loop", b"", 302, Location="/loop")
fixed("/ring-a", b"", 302, Location="/ring-b")
fixed("/ring-b", b"", 302, Location="/ring-a")
fixed("/to-file", b"", 302, Location="file:///etc/passwd")
fixed("/to-ftp", b"", 302, Location="ftp://example.org/x")
fixed("/to-private", b"", 302, Location="http://10.0.0.1/x")
fixed("/to-metadata", b"", 302, Location="http://169.254.169.254/latest/meta-data/")
fixed("/to-user", b"", 302, Location="http://a:b@127.0.0.1/x")
fixed("/to-nothing", b"", 302)
fixed("/to-good", b"", 307, Location="good")
fixed("/gzip", gzip.compress(SOUND), Content_Encoding="gzip")
fixed("/gzip-bomb", gzip.compress(bytes(ZEROS)), Content_Encoding="gzip")
fixed("/deflate-bomb", zlib.compress(bytes(ZEROS)), Content_Encoding="deflate")
fixed("/gzip-cut", gzip.compress(SOUND)[:-100], Content_Encoding="gzip")
fixed("/gzip-lie", SOUND, Content_Encoding="gzip")
fixed("/nested", gzip.compress(gzip.compress(SOUND)), Content_Encoding="gzip, gzip")
fixed("/unasked", SOUND, Content_Encoding="compress")
fixed("/too-large", bytes(3 << 20))
fixed("/noai", SOUND, X_Robots_Tag="noai")
fixed("/noai-other", SOUND, X_Robots_Tag="otherbot: noai")
fixed("/tdm", SOUND, TDM_Reservation="1")
fixed("/latin", b"caf\xe9", Content_Type="text/html; charset=nonsense")


def _bomb(kind: str) -> bytes:
    if kind == "br":
        import brotli

        return bytes(brotli.compress(bytes(ZEROS), quality=5))
    import zstandard

    return bytes(zstandard.ZstdCompressor().compress(bytes(ZEROS)))


for _kind in ("br", "zstd"):
    fixed(f"/{_kind}-bomb", _bomb(_kind), Content_Encoding=_kind)


@route("/hang")
async def hang(asked: Asked, out: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


@route("/hang-after-head")
async def hang_after_head(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, 1000))
    await out.drain()
    await asyncio.sleep(3600)


@route("/drip")
async def drip(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, 1_000_000))
    for _ in range(100_000):
        out.write(b"x")
        await out.drain()
        await asyncio.sleep(0.05)


@route("/drip-head")
async def drip_head(asked: Asked, out: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000:
        out.write(bytes([byte]))
        await out.drain()
        await asyncio.sleep(0.05)


@route("/endless")
async def endless(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200))
    while True:
        out.write(bytes(1 << 16))
        await out.drain()


@route("/endless-chunked")
async def endless_chunked(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, Transfer_Encoding="chunked"))
    while True:
        out.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        await out.drain()


@route("/short")
async def short(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, len(SOUND)) + SOUND[:1000])


@route("/long")
async def long(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, 1000) + SOUND)


@route("/negative-length")
async def negative_length(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, -5) + SOUND)


@route("/two-lengths")
async def two_lengths(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nhello")


@route("/broken-chunk")
async def broken_chunk(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, Transfer_Encoding="chunked") + b"zz\r\nabc\r\n")


@route("/cut-chunk")
async def cut_chunk(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(200, Transfer_Encoding="chunked") + b"400\r\nabc")


@route("/no-http")
async def no_http(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(b"SSH-2.0-OpenSSH_9.2\r\n")


@route("/reset")
async def reset(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.transport.abort()


@route("/huge-header")
async def huge_header(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(b"HTTP/1.1 200 OK\r\nX-Huge: " + b"h" * (1 << 20) + b"\r\n\r\n")


@route("/many-headers")
async def many_headers(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(200_000):
        out.write(b"X-%d: y\r\n" % number)
        await out.drain()
    out.write(b"\r\n")


@route("/maze")
async def maze(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(302, 0, Location=f"/maze?{asked.count}"))


@route("/flaky")
async def flaky(asked: Asked, out: asyncio.StreamWriter) -> None:
    """A server error twice, then the body."""
    await (whole(b"", 500) if asked.count < 2 else whole(SOUND))(asked, out)


@route("/ranges")
async def ranges(asked: Asked, out: asyncio.StreamWriter) -> None:
    """Breaks off twice; gives the rest when it is asked for it by the right validator."""
    await _ranged(asked, out, ETAG)


@route("/ranges-changed")
async def ranges_changed(asked: Asked, out: asyncio.StreamWriter) -> None:
    """Breaks off, and is another body afterwards."""
    await _ranged(asked, out, ETAG if asked.count == 0 else '"other"')


@route("/ranges-lie")
async def ranges_lie(asked: Asked, out: asyncio.StreamWriter) -> None:
    """Gives another range than was asked for."""
    if "range" not in asked.headers:
        await _ranged(asked, out, ETAG)
        return
    where = f"bytes 0-999/{len(SOUND)}"
    out.write(head(206, 1000, ETag=ETAG, Content_Range=where) + SOUND[:1000])


async def _ranged(asked: Asked, out: asyncio.StreamWriter, etag: str) -> None:
    first, status = 0, 200
    extra = {"ETag": etag, "Accept-Ranges": "bytes"}
    if "range" in asked.headers and asked.headers.get("if-range") == etag:
        first, status = int(asked.headers["range"].removeprefix("bytes=").rstrip("-")), 206
        extra["Content-Range"] = f"bytes {first}-{len(SOUND) - 1}/{len(SOUND)}"
    rest = (SOUND if etag == ETAG else SOUND[::-1])[first:]
    cut = rest[:70_000] if asked.count < 2 else rest
    out.write(head(status, len(rest), **extra) + cut)


@route("/unchanged")
async def unchanged(asked: Asked, out: asyncio.StreamWriter) -> None:
    same = asked.headers.get("if-none-match") == ETAG
    await (whole(b"", 304, ETag=ETAG) if same else whole(SOUND, 200, ETag=ETAG))(asked, out)


@route("/unasked-304")
async def unasked_304(asked: Asked, out: asyncio.StreamWriter) -> None:
    out.write(head(304))


@route("/agent")
async def agent(asked: Asked, out: asyncio.StreamWriter) -> None:
    await whole(asked.headers.get("user-agent", "").encode())(asked, out)


class BadServer:
    """Runs in a thread of its own, on loopback; counts what it is asked."""

    def __init__(self, routes: dict[str, Route] | None = None, address: str = "127.0.0.1") -> None:
        self.routes = ROUTES if routes is None else routes
        self._address = address
        self.asked: list[tuple[float, str, str]] = []  # time, host, path
        self.open = 0
        self._counts: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._one, self._address, 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _one(self, reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (r.partition(":") for r in rest if r)}
            target = line.split(" ")[1]
            path = target.partition("?")[0]
            count = self._counts.get(path, 0)
            self._counts[path] = count + 1
            host = headers.get("host", "")
            self.asked.append((self._loop.time(), host, target))
            work: Any = self.routes.get(path) or whole(b"no such route", 404)
            await work(Asked(target, headers, count, host), out)
            await out.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away: that is what many routes are for
        finally:
            self.open -= 1
            out.close()

    @contextmanager
    def running(self) -> Iterator["BadServer"]:
        self._thread.start()
        self._ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
