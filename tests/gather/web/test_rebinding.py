"""Names that turn to loopback, told by a real name server: the canary there is never reached.

127.0.0.3 stands for a public address: it is allowed by explicit exception, 127.0.0.1 is not.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.gather.web.bad_server import SOUND, Asked, BadServer, head, whole
from tests.gather.web.dns_server import A, NameServer, Stub
from transforms.gather.web.addresses import Exceptions
from transforms.gather.web.client import Client, Limits
from transforms.gather.web.failures import FetchError
from transforms.gather.web.urls import Url, canonical

PUBLIC = "127.0.0.3"
FLAC = b"fLaC" + SOUND[:20_000]
LIMITS = Limits(connect=2.0, total=10.0, stall=2.0)


class Canary:
    """Counts connections to loopback at one port, by IPv4 and IPv6."""

    def __init__(self, port: int) -> None:
        self.hits = 0
        self._sockets = [
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("::1", port), family=socket.AF_INET6),
        ]
        for one in self._sockets:
            threading.Thread(target=self._count, args=(one,), daemon=True).start()

    def _count(self, listening: socket.socket) -> None:
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            self.hits += 1
            one.close()

    def close(self) -> None:
        for one in self._sockets:
            one.close()


@pytest.fixture
def server() -> Iterator[BadServer]:
    with BadServer({"/a": whole(FLAC, ETag='"x"')}, PUBLIC).running() as found:
        yield found


@pytest.fixture
def canary(server: BadServer) -> Iterator[Canary]:
    found = Canary(server.port)
    try:
        yield found
    finally:
        found.close()


def ends(server: BadServer, dns: NameServer, paths: Sequence[str], body: Path) -> list[str]:
    """How fetching some paths of one name ends, one after the other."""

    async def free(url: Url) -> None:
        """Everything may be asked for."""

    async def work() -> list[str]:
        found = []
        allowed = Exceptions.parse((f"{PUBLIC}:{server.port}",))
        resolver = cast(Any, Stub(dns.port))
        ports = frozenset((80, 443, server.port))  # the port alone must not be what saves us
        async with Client("testbot/1", allowed=allowed, ports=ports, resolver=resolver) as client:
            for path in paths:
                url = canonical(f"http://rebinding.example:{server.port}{path}")
                try:
                    await client.fetch(url, body, free, limits=LIMITS)
                    found.append("fetched")
                except FetchError as error:
                    found.append(error.code)
        return found

    return asyncio.run(work())


def test_the_name_server_and_the_stub_speak_to_each_other() -> None:
    zone = ["192.0.2.7", "192.0.2.8", "2001:db8::1"]
    with NameServer(lambda name, count: zone if name == "a.example" else []).running() as dns:
        found = asyncio.run(Stub(dns.port).resolve("a.example", 80))
        assert [one["host"] for one in found] == zone
        with pytest.raises(OSError, match="no address"):
            asyncio.run(Stub(dns.port).resolve("b.example", 80))


def test_a_name_that_turns_to_loopback_after_its_first_answer(
    server: BadServer, canary: Canary, tmp_path: Path
) -> None:
    async def closing(asked: Asked, out: asyncio.StreamWriter) -> None:
        out.write(head(200, len(FLAC), Connection="close") + FLAC)

    server.routes["/a"] = closing  # so that the second one needs a connection of its own
    turns = [[PUBLIC], ["127.0.0.1", "::1"]]
    with NameServer(lambda name, count: turns[min(count, 1)]).running() as dns:
        assert ends(server, dns, ["/a", "/a", "/a"], tmp_path / "body") == [
            "fetched",
            "not_public",
            "not_public",
        ]
    assert dns.asked["rebinding.example", A] == 3
    assert len(server.asked) == 1
    assert canary.hits == 0


def test_a_name_that_turns_to_loopback_between_a_redirect_and_its_target(
    server: BadServer, canary: Canary, tmp_path: Path
) -> None:
    async def away(asked: Asked, out: asyncio.StreamWriter) -> None:
        out.write(head(302, 0, Location="/a", Connection="close"))

    server.routes["/away"] = away
    with NameServer(lambda n, count: [PUBLIC if count == 0 else "127.0.0.1"]).running() as dns:
        assert ends(server, dns, ["/away"], tmp_path / "body") == ["not_public"]
    assert [path for _, _, path in server.asked] == ["/away"]
    assert canary.hits == 0


def test_a_name_that_turns_to_loopback_while_a_broken_body_is_resumed(
    server: BadServer, canary: Canary, tmp_path: Path
) -> None:
    async def cut(asked: Asked, out: asyncio.StreamWriter) -> None:
        out.write(head(200, len(FLAC), ETag='"x"', Accept_Ranges="bytes") + FLAC[:5000])
        await out.drain()
        out.close()

    server.routes["/cut"] = cut
    with NameServer(lambda n, count: [PUBLIC if count == 0 else "127.0.0.1"]).running() as dns:
        assert ends(server, dns, ["/cut"], tmp_path / "body") == ["not_public"]
    assert len(server.asked) == 1
    assert canary.hits == 0


@pytest.mark.parametrize(
    "mixed",
    [
        ["127.0.0.1", PUBLIC],
        [PUBLIC, "127.0.0.1"],
        ["64:ff9b::7f00:1", PUBLIC],
        ["::1", "::ffff:127.0.0.1", "64:ff9b:1::7f00:1", PUBLIC],
    ],
)
def test_of_mixed_addresses_only_those_that_may_be_are_connected_to(
    mixed: list[str], server: BadServer, canary: Canary, tmp_path: Path
) -> None:
    with NameServer(lambda name, count: mixed).running() as dns:
        (end,) = ends(server, dns, ["/a"], tmp_path / "body")
    assert end in ("fetched", "not_public")
    assert (len(server.asked) == 1) == (end == "fetched")
    assert canary.hits == 0


@pytest.mark.parametrize(
    "private",
    [
        ["127.0.0.1", "127.0.0.2", "10.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["64:ff9b::127.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::", "fe80::1", "::1"],
        ["169.254.169.254", "fd00::1"],
    ],
)
def test_of_private_addresses_alone_none_is_connected_to(
    private: list[str], server: BadServer, canary: Canary, tmp_path: Path
) -> None:
    with NameServer(lambda name, count: private).running() as dns:
        assert ends(server, dns, ["/a"], tmp_path / "body") == ["not_public"]
    assert canary.hits == 0 and not server.asked
