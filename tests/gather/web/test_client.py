"""The client against a server that misbehaves: every route ends, in time, by the right code."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gather.web.bad_server import ETAG, ROUTES, SOUND, BadServer
from transforms.gather.web.addresses import Exceptions
from transforms.gather.web.client import Answer, Client, Known, Limits
from transforms.gather.web.failures import FetchError
from transforms.gather.web.urls import Url, canonical

LIMITS = Limits(
    connect=2.0,
    total=4.0,
    stall=1.0,
    min_speed=1_000.0,
    grace=0.5,
    max_bytes=1 << 20,
    max_ratio=200.0,
)
DEADLINE = 6.0  # seconds: the total and what ending takes

# what each route ends by; None: it is fetched
ENDS = {
    "/good": None,
    "/empty": None,  # the client takes it, gather refuses it
    "/missing": "gone",
    "/gone": "gone",
    "/forbidden": "forbidden",
    "/legal": "forbidden",
    "/teapot": "http_status",
    "/error": "server_error",
    "/busy-seconds": "busy",
    "/busy-date": "busy",
    "/busy-garbage": "busy",
    "/busy-huge": "busy",
    "/loop": "redirects",
    "/ring-a": "redirects",
    "/ring-b": "redirects",
    "/maze": "redirects",
    "/to-file": "redirect_scheme",
    "/to-ftp": "redirect_scheme",
    "/to-private": "not_public",
    "/to-metadata": "not_public",
    "/to-user": "user_info",
    "/to-nothing": "bad_answer",
    "/to-good": None,
    "/gzip": None,
    "/gzip-bomb": "bomb",
    "/deflate-bomb": "bomb",
    "/br-bomb": "bomb",
    "/zstd-bomb": "bomb",
    "/gzip-cut": "incomplete",
    "/gzip-lie": "bad_answer",
    "/nested": "bad_answer",
    "/unasked": "bad_answer",
    "/too-large": "too_large",
    "/noai": None,  # gather reads the headers
    "/noai-other": None,
    "/tdm": None,
    "/latin": None,
    "/hang": "timeout",
    "/hang-after-head": "timeout",
    "/drip": "too_slow",
    "/drip-head": "timeout",
    "/endless": "too_large",
    "/endless-chunked": "too_large",
    "/short": "incomplete",
    "/long": "bad_answer",  # more than was announced
    "/negative-length": "bad_answer",
    "/two-lengths": "bad_answer",
    "/broken-chunk": "bad_answer",
    "/cut-chunk": "incomplete",
    "/no-http": "bad_answer",
    "/reset": "connect",
    "/huge-header": "bad_answer",
    "/many-headers": "bad_answer",
    "/flaky": "server_error",
    "/ranges": None,
    "/ranges-changed": None,
    "/ranges-lie": "bad_answer",
    "/unchanged": None,
    "/unasked-304": None,
    "/agent": None,
}


@pytest.fixture
def server() -> Iterator[BadServer]:
    with BadServer().running() as found:
        yield found


async def _free(url: Url) -> None:
    """Everything may be asked for."""


def fetch(
    server: BadServer, path: str, into: Path, known: Known | None = None, limits: Limits = LIMITS
) -> Answer:
    async def work() -> Answer:
        allowed = Exceptions.parse((f"127.0.0.1:{server.port}",))
        async with Client("testbot/1 (+http://example.org)", allowed=allowed) as client:
            url = canonical(server.url + path)
            return await client.fetch(url, into, _free, known=known, limits=limits)

    return asyncio.run(work())


def test_every_route_of_the_server_has_an_end_that_is_told_here() -> None:
    assert set(ENDS) == set(ROUTES)


@pytest.mark.parametrize("path", sorted(ENDS))
def test_a_route_ends_in_time_by_its_code(path: str, server: BadServer, tmp_path: Path) -> None:
    began = time.monotonic()
    try:
        fetch(server, path, tmp_path / "body")
        code = None
    except FetchError as error:
        code = error.code
    assert code == ENDS[path]
    assert time.monotonic() - began < DEADLINE


@pytest.mark.parametrize("path", ["/good", "/to-good", "/gzip", "/ranges"])
def test_bytes_and_digest_are_those_of_the_body(
    path: str, server: BadServer, tmp_path: Path
) -> None:
    answer = fetch(server, path, tmp_path / "body")
    assert (tmp_path / "body").read_bytes() == SOUND
    assert answer.sha256 == hashlib.sha256(SOUND).hexdigest()
    assert answer.bytes == len(SOUND)


def test_a_broken_body_is_gone_on_with_where_it_ended(server: BadServer, tmp_path: Path) -> None:
    answer = fetch(server, "/ranges", tmp_path / "body")
    assert len(server.asked) == 3
    assert answer.received == len(SOUND)


def test_a_body_that_changed_meanwhile_is_begun_anew(server: BadServer, tmp_path: Path) -> None:
    answer = fetch(server, "/ranges-changed", tmp_path / "body")
    assert (tmp_path / "body").read_bytes() == SOUND[::-1]
    assert answer.received > len(SOUND)


def test_what_has_not_changed_is_not_sent_again(server: BadServer, tmp_path: Path) -> None:
    first = fetch(server, "/unchanged", tmp_path / "body")
    assert first.header("etag") == ETAG and not first.unchanged
    again = fetch(server, "/unchanged", tmp_path / "body", Known(etag=ETAG))
    assert (again.unchanged, again.bytes, again.received) == (True, 0, 0)


def test_hops_are_kept_and_each_is_permitted(server: BadServer, tmp_path: Path) -> None:
    asked: list[str] = []

    async def permit(url: Url) -> None:
        asked.append(url.target)
        if url.target == "/good":
            raise FetchError("robots", "for the test")

    async def work() -> Answer:
        allowed = Exceptions.parse((f"127.0.0.1:{server.port}",))
        async with Client("testbot/1", allowed=allowed) as client:
            return await client.fetch(canonical(server.url + "/to-good"), tmp_path / "b", permit)

    with pytest.raises(FetchError, match="robots"):
        asyncio.run(work())
    assert asked == ["/to-good", "/good"]
    assert [path for _, _, path in server.asked] == ["/to-good"]
    assert fetch(server, "/to-good", tmp_path / "b").hops == (server.url + "/to-good",)


def test_retry_after_is_read_in_all_its_spellings(server: BadServer, tmp_path: Path) -> None:
    found = {}
    for kind in ("seconds", "date", "garbage", "huge"):
        with pytest.raises(FetchError) as caught:
            fetch(server, f"/busy-{kind}", tmp_path / "b")
        found[kind] = caught.value.retry_after
    assert found == {"seconds": 7.0, "date": 86_400.0, "garbage": None, "huge": 86_400.0}


def test_the_agent_is_told(server: BadServer, tmp_path: Path) -> None:
    fetch(server, "/agent", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"testbot/1 (+http://example.org)"


def test_a_proxy_of_the_environment_is_not_used(
    server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    assert fetch(server, "/good", tmp_path / "b").bytes == len(SOUND)
