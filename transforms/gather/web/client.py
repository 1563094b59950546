"""One URL to one file: the request, its redirects, its body, and every bound on them.

The client connects to public addresses only (`addresses.Guard`), follows redirects itself, hop by
hop, so that each is judged like a URL from a list, unpacks within limits, and writes to a file as
the bytes come; nothing is ever held whole. A body that breaks off goes on where it ended, if the
server can say that it is still the same one. It knows nothing of robots.txt or of waiting: `permit`
is asked before each hop, and whoever calls spaces the calls.
"""

import asyncio
import dataclasses
import email.utils
import hashlib
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from transforms.gather.web import addresses
from transforms.gather.web.bodies import Body
from transforms.gather.web.failures import FetchError, of_status
from transforms.gather.web.urls import Url, UrlError, canonical, shown

if TYPE_CHECKING:
    import aiohttp

MAX_REDIRECTS = 5
MAX_HEADERS = 64 * 1024  # bytes of all header lines
MAX_RETRY_AFTER = 24 * 3600.0  # seconds; longer ones are taken as this
ACCEPT_ENCODING = "gzip, deflate, br, zstd"
READ = 1 << 16
HEAD = 8_192  # bytes of a body that an answer carries: they tell what it is

Permit = Callable[[Url], Awaitable[None]]  # raises FetchError where a hop must not be asked for
Answered = Callable[[Url, float], None]  # a hop's server has answered, after so many seconds


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one fetch; seconds and bytes."""

    connect: float = 15.0  # of one connection, TLS included
    total: float = 3600.0  # of the whole, redirects and resumptions included
    stall: float = 30.0  # between two pieces, and until the first
    min_speed: float = 1_000.0  # bytes a second on the wire, on average, after `grace`
    grace: float = 20.0
    max_bytes: int = 1 << 35  # of the unpacked body
    max_ratio: float = 200.0  # unpacked to received
    resumptions: int = 3  # times that a broken body is gone on with


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What an earlier fetch of the same URL was answered: for a conditional request."""

    etag: str = ""
    last_modified: str = ""


Bytes: TypeAlias = bytes  # `Answer` has a field of that name


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A URL that was fetched, or that has not changed since it was (`unchanged`)."""

    url: Url  # the last hop
    status: int
    headers: tuple[tuple[str, str], ...]
    hops: tuple[str, ...]  # the URLs before the last
    bytes: int = 0  # of the unpacked body
    received: int = 0  # on the wire, over all resumptions
    sha256: str = ""
    unchanged: bool = False
    head: Bytes = b""  # the first `HEAD` bytes of the body

    def header(self, name: str) -> str:
        """The first value of a header; empty where there is none."""
        return _header(self.headers, name)


class Client:
    """An HTTP client for public addresses. Use as an async context manager."""

    def __init__(
        self,
        agent: str,
        *,
        ports: frozenset[int] = frozenset((80, 443)),
        allowed: addresses.Exceptions | None = None,
        limits: Limits | None = None,
        connections: int = 64,
        throttle: Callable[[int], Awaitable[None]] | None = None,
        trust: ssl.SSLContext | None = None,
        resolver: "aiohttp.abc.AbstractResolver | None" = None,
    ) -> None:
        """`agent`: the whole User-Agent line. `throttle(bytes)`: waits as long as the bandwidth of
        all fetches together asks for. `trust`: certificates to trust in place of the system's.
        `resolver`: of names, in place of the system's; what it says is judged like any answer."""
        self._agent, self._limits = agent, limits or Limits()
        self._guard = addresses.Guard(ports, allowed or addresses.Exceptions())
        self._connections, self._throttle, self._trust = connections, throttle, trust
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Client":
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=self._connections,
            ssl=self._trust if self._trust is not None else True,
            socket_factory=self._guard,
            resolver=self._resolver,
            use_dns_cache=False,  # names are asked anew: the guard judges each connection anyway
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            trust_env=False,  # a proxy would connect in our place, past the guard
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._agent, "Accept-Encoding": ACCEPT_ENCODING},
            max_line_size=MAX_HEADERS // 8,
            max_field_size=MAX_HEADERS // 8,
            raise_for_status=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(
        self,
        url: Url,
        path: Path | str,
        permit: Permit,
        *,
        known: Known | None = None,
        limits: Limits | None = None,
        answered: Answered | None = None,
        span: tuple[int, int] | None = None,
    ) -> Answer:
        """Fetch a URL, or so many bytes of it from a first one (`span`), into a file, which is
        written anew. `answered` is told of each hop, when its
        headers have come. Raises `FetchError`, and what `permit` raises; the file is then of no
        use."""
        bounds = limits or self._limits
        try:
            async with asyncio.timeout(bounds.total) as deadline:
                with open(path, "wb") as file:
                    waiting = _off_the_clock(permit, deadline)
                    return await self._followed(
                        url, file, waiting, known or Known(), bounds, answered, span
                    )
        except TimeoutError as error:
            raise FetchError("timeout", f"not done after {bounds.total:g} s") from error

    async def _followed(
        self,
        url: Url,
        file: BinaryIO,
        permit: Permit,
        known: Known,
        bounds: Limits,
        answered: Answered | None,
        span: tuple[int, int] | None,
    ) -> Answer:
        hops: list[str] = []
        while True:
            await permit(url)
            fetch = _Fetch(url, file, bounds, self._throttle, answered, span)
            location = await self._asked(fetch, known)
            if location is None:
                return fetch.answer(tuple(hops))
            hops.append(url.text)
            url = _target(url, location)
            if len(hops) > MAX_REDIRECTS or url.text in hops:
                raise FetchError("redirects", f"after {len(hops)} redirects, to {shown(url.text)}")

    async def _asked(self, fetch: "_Fetch", known: Known) -> str | None:
        """Ask one hop, going on with a broken body. A redirect's location, or None: it is done."""
        for turn in range(fetch.bounds.resumptions + 1):
            try:
                return await self._once(fetch, known)
            except FetchError as error:
                last = turn == fetch.bounds.resumptions
                if error.code != "incomplete" or last or not fetch.may_resume():
                    raise
        raise AssertionError("the loop ends by an answer or an error")

    async def _once(self, fetch: "_Fetch", known: Known) -> str | None:
        import aiohttp
        import yarl

        assert self._session is not None
        began = time.monotonic()
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=fetch.bounds.connect, sock_read=fetch.bounds.stall
        )
        try:
            async with self._session.get(
                yarl.URL(fetch.url.text, encoded=True),
                allow_redirects=False,
                headers=fetch.wishes(known),
                timeout=timeout,
            ) as response:
                if fetch.answered is not None:
                    fetch.answered(fetch.url, time.monotonic() - began)
                return await fetch.take(response)
        except addresses.Refused as error:
            raise FetchError("not_public", str(error)) from error
        except aiohttp.ServerTimeoutError as error:  # before ClientError, whose kin it is
            raise FetchError("timeout", _words(error)) from error
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise FetchError("tls", _words(error)) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchError("dns", _words(error)) from error
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == addresses.REFUSED:  # every address of the name
                raise FetchError("not_public", _words(error.os_error)) from error
            raise FetchError("connect", _words(error)) from error
        except aiohttp.InvalidURL as error:
            raise FetchError("bad_url", _words(error)) from error
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            code = "incomplete" if fetch.begun else "connect"
            raise FetchError(code, _words(error)) from error
        except aiohttp.ClientOSError as error:
            raise FetchError("incomplete" if fetch.begun else "connect", _words(error)) from error
        except aiohttp.ClientError as error:
            raise FetchError("bad_answer", _words(error)) from error


class _Fetch:
    """One hop while it is asked, over all its resumptions."""

    def __init__(
        self,
        url: Url,
        file: BinaryIO,
        bounds: Limits,
        throttle: Callable[[int], Awaitable[None]] | None,
        answered: Answered | None,
        span: tuple[int, int] | None,
    ) -> None:
        self.url, self.bounds, self.answered, self._span = url, bounds, answered, span
        self._file, self._throttle = file, throttle
        self.begun = False  # a body was begun
        self._received = 0
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._unchanged = False
        self._fresh("")

    def _fresh(self, coding: str) -> None:
        """Begin the body anew."""
        if self._file.tell():
            self._file.seek(0)
            self._file.truncate()
        self._hash, self._head = hashlib.sha256(), b""
        self._body = Body(coding, self.bounds.max_bytes, self.bounds.max_ratio)
        self._coding = coding

    def wishes(self, known: Known) -> Mapping[str, str]:
        """Headers of the next request: for a stretch, for the rest of a body, or for one that has
        changed."""
        if self._span is not None:
            first, length = self._span
            last = first + length - 1
            return {
                "Range": f"bytes={first + self._body.bytes}-{last}",
                "Accept-Encoding": "identity",
            }
        if self.begun:
            return {
                "Range": f"bytes={self._body.bytes}-",
                "If-Range": self._validator(),
                "Accept-Encoding": "identity",
            }
        found = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        return {name: value for name, value in found.items() if value}

    def may_resume(self) -> bool:
        """Whether the rest of the body can be asked for, and be known to belong to its beginning:
        it came plain, the server gives ranges, and it has a strong validator."""
        accepts = self._span is not None or self._header("accept-ranges").lower() == "bytes"
        return self.begun and self._coding == "" and accepts and bool(self._validator())

    def _validator(self) -> str:
        etag = self._header("etag")
        return etag if etag.startswith('"') else self._header("last-modified")

    def _header(self, name: str) -> str:
        return _header(self._headers, name)

    async def take(self, response: "aiohttp.ClientResponse") -> str | None:
        """Take an answer: write its body, or give the location that it redirects to."""
        status = response.status
        retry = _retry_after(response.headers)
        if status in (301, 302, 303, 307, 308):
            location = response.headers.get("Location", "")
            if not location:
                raise FetchError("bad_answer", f"HTTP {status} without a Location", status)
            return location
        if status == 304 and not self.begun:
            self._status, self._unchanged = status, True
            self._headers = tuple(response.headers.items())
            return None
        coding = response.headers.get("Content-Encoding", "").strip().lower()
        coding = "" if coding == "identity" else coding
        if self._span is not None:
            self._take_span(response, coding)
        elif status == 206 and self.begun:
            if coding or not _continues(response.headers, self._body.bytes):
                raise FetchError("bad_answer", "another range than was asked for", status)
        elif status == 200:
            self._status = status
            self._headers = tuple(response.headers.items())
            if self.begun or coding:
                self._fresh(coding)
        else:
            raise of_status(status, retry)
        self._announced(response)
        self.begun = True
        await self._read(response)
        return None

    def _take_span(self, response: "aiohttp.ClientResponse", coding: str) -> None:
        """Judge the answer to a request for a stretch. A whole body is not read in its place: an
        archive may be a thousand times its record."""
        assert self._span is not None
        if response.status == 200:
            raise FetchError("bad_answer", "a whole body where a stretch was asked for", 200)
        if response.status != 206:
            raise of_status(response.status, _retry_after(response.headers))
        if coding or not _continues(response.headers, self._span[0] + self._body.bytes):
            raise FetchError("bad_answer", "another range than was asked for", 206)
        if not self.begun:
            self._status = response.status
            self._headers = tuple(response.headers.items())

    def _announced(self, response: "aiohttp.ClientResponse") -> None:
        """Refuse at once what says that it is too large."""
        length = response.content_length
        if length is not None and self._body.bytes + length > self.bounds.max_bytes:
            raise FetchError("too_large", f"{length} bytes announced, not a byte of them read")

    async def _read(self, response: "aiohttp.ClientResponse") -> None:
        began, received = time.monotonic(), 0
        async for data in response.content.iter_chunked(READ):
            received += len(data)
            self._received += len(data)
            for piece in self._body.feed(data):
                if len(self._head) < HEAD:
                    self._head += piece[: HEAD - len(self._head)]
                self._hash.update(piece)
                self._file.write(piece)
            elapsed = time.monotonic() - began
            if elapsed > self.bounds.grace and received < self.bounds.min_speed * elapsed:
                raise FetchError("too_slow", f"{received} bytes in {elapsed:.0f} s")
            if self._throttle is not None:
                await self._throttle(len(data))
        length = response.content_length
        if length is not None and received < length:
            raise FetchError("incomplete", f"{received} of {length} bytes")
        self._body.close()
        if self._span is not None and self._body.bytes != self._span[1]:
            what = f"{self._body.bytes} of {self._span[1]} bytes asked for"
            raise FetchError("bad_answer", what, 206)

    def answer(self, hops: tuple[str, ...]) -> Answer:
        self._file.flush()
        return Answer(
            url=self.url,
            status=self._status,
            headers=self._headers,
            hops=hops,
            bytes=self._body.bytes,
            received=self._received,
            sha256="" if self._unchanged else self._hash.hexdigest(),
            unchanged=self._unchanged,
            head=self._head,
        )


def _off_the_clock(permit: Permit, deadline: asyncio.Timeout) -> Permit:
    """A permit whose waiting does not count: a long queue is no slow server."""

    async def waited(url: Url) -> None:
        clock = asyncio.get_running_loop().time
        until = deadline.when()
        left = None if until is None else until - clock()
        deadline.reschedule(None)
        await permit(url)
        deadline.reschedule(None if left is None else clock() + left)

    return waited


def _target(url: Url, location: str) -> Url:
    """Where a redirect leads. A fragment is dropped, a reference is resolved."""
    try:
        return canonical(location, url.text)
    except UrlError as error:
        code = "redirect_scheme" if error.code == "scheme" else error.code
        raise FetchError(code, f"it redirects to {error}") from error


def _header(headers: tuple[tuple[str, str], ...], name: str) -> str:
    """The first value of a header; empty where there is none. `name` is in lower case."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return ""


def _continues(headers: Mapping[str, str], first: int) -> bool:
    """Whether an answer is the range that begins at `first`."""
    return headers.get("Content-Range", "").lower().startswith(f"bytes {first}-")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date; None where it is neither.

    A date is counted from the server's own `Date`, so that a clock that is wrong, there or here,
    makes no wait longer or shorter.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    then = _moment(text)
    if then is None:
        return None
    said = _moment(headers.get("Date", ""))
    return min(max(then - (time.time() if said is None else said), 0.0), MAX_RETRY_AFTER)


def _moment(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date; None for what is none."""
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _words(error: BaseException) -> str:
    """An error's words, on one line and short. No URL of ours holds a secret: see `urls`."""
    found: Any = str(error) or type(error).__name__
    return " ".join(str(found).split())[:200]
