"""No spelling of a private address is connected to: judged at the socket, seen by a canary."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.gather.web.addresses import Exceptions, Guard, Refused, refusal
from transforms.gather.web.client import Client, Limits
from transforms.gather.web.failures import FetchError
from transforms.gather.web.urls import Url, UrlError, canonical

WEB = frozenset((80, 443))
NONE = Exceptions()

_PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 127.0.0.1 127.1.2.3 127.255.255.255
169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.0.192
192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.51.100.1 203.0.113.1
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1
2002:7f00:1:: 2002:a00:1:: 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1
ff02::1 ff0e::1
"""
PRIVATE = _PRIVATE.split()

PUBLIC = "1.1.1.1 8.8.8.8 93.184.216.34 172.32.0.1 192.169.0.1 2606:4700::1 2a00:1450:4001::1"


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert refusal(address, 80, WEB, NONE) is not None


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_taken_on_the_ports_of_the_web(address: str) -> None:
    assert refusal(address, 443, WEB, NONE) is None
    assert refusal(address, 22, WEB, NONE) == "port 22 is not allowed (allowed: 80, 443)"


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_one_inside(address: Any) -> None:
    inner, mapped = (refusal(str(one), 80, WEB, NONE) for one in (address, f"::ffff:{address}"))
    assert (inner is None) == (mapped is None)


def test_an_exception_is_one_address_and_one_port() -> None:
    allowed = Exceptions.parse(("127.0.0.1:8080", "[::1]:8081"))
    assert refusal("127.0.0.1", 8080, WEB, allowed) is None
    assert refusal("::1", 8081, WEB, allowed) is None
    assert refusal("127.0.0.1", 8081, WEB, allowed) is not None
    assert refusal("127.0.0.2", 8080, WEB, allowed) is not None


@pytest.mark.parametrize("text", ["localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", ":80"])
def test_a_name_or_half_an_endpoint_is_no_exception(text: str) -> None:
    with pytest.raises(ValueError, match="is no exception"):
        Exceptions.parse((text,))


class Canary:
    """Listens on every local address and counts who connects."""

    def __init__(self) -> None:
        self.hits = 0
        self._socket = socket.create_server(
            ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64
        )
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            self.hits += 1
            one.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    found = Canary()
    try:
        yield found
    finally:
        found.close()


# ways to write loopback and the rest of what is private, as a host of a URL
_SPELLINGS = """
127.0.0.1 127.1 127.0.1 127.0.0.01 0177.0.0.1 0x7f.0.0.1 0x7f000001 2130706433 017700000001
0x7f.1 127.0.0.1. 127.000.000.001 127.0.0.2 127.255.255.254 0 0.0.0.0 0x0 00000000000
localhost LOCALHOST localhost. localhost.localdomain ip6-localhost ip6-loopback
[::1] [0:0:0:0:0:0:0:1] [0000::0001] [::] [::127.0.0.1] [::7f00:1] [::ffff:127.0.0.1]
[::ffff:7f00:1] [::FFFF:127.0.0.1] [0:0:0:0:0:ffff:127.0.0.1] [::ffff:0:127.0.0.1]
[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] [fe80::1] [fec0::1] [fc00::1] [ff02::1]
[::ffff:0.0.0.0] [::ffff:10.0.0.1] 10.0.0.1 10.1 192.168.0.1 192.168.1 172.16.0.1 172.16.1
169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376 100.64.0.1 192.0.0.192 224.0.0.1
255.255.255.255 %31%32%37.0.0.1 127%2e0.0.1 \u2460\u2461\u2466.0.0.1 127\u30020.0.1
\uff11\uff12\uff17.0.0.1 1\u00ad27.0.0.1 127.0.0.1%00 127.0.0.1%23 example.org@127.0.0.1
user:pw@127.0.0.1 127.0.0.1\\@example.org [::1%25lo] [::1]: [v1.x]
"""
SPELLINGS = _SPELLINGS.split()


async def _free(url: Url) -> None:
    """Everything may be asked for."""


async def _try(spelling: str, port: int, body: Path) -> str:
    limits = Limits(connect=1.0, total=2.0, stall=1.0)
    ports = frozenset((80, 443, port))  # the port alone must not be what saves us
    try:
        url = canonical(f"http://{spelling}:{port}/" if port else f"http://{spelling}/")
        async with Client("testbot/1", ports=ports) as client:
            await client.fetch(url, body, _free, limits=limits)
    except UrlError as error:
        return error.code
    except FetchError as error:
        return error.code
    return "fetched"


def test_no_spelling_of_a_private_address_reaches_it(canary: Canary, tmp_path: Path) -> None:
    assert len(set(SPELLINGS)) >= 60

    async def work() -> dict[str, str]:
        return {one: await _try(one, canary.port, tmp_path / "body") for one in SPELLINGS}

    found = asyncio.run(work())
    assert canary.hits == 0
    assert set(found.values()) <= {"not_public", "bad_url", "user_info", "dns"}
    # most are judged at the socket, where no spelling is left
    assert sum(code == "not_public" for code in found.values()) >= 40


class _Rebinding:
    """A resolver that gives a public address first and loopback afterwards, for every name."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        self.asked += 1
        address = "192.0.2.1" if self.asked == 1 else "127.0.0.1"
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        """Nothing is held."""


def test_a_name_that_turns_to_loopback_is_refused_at_the_socket(
    canary: Canary, tmp_path: Path
) -> None:
    resolver = _Rebinding()

    async def work() -> list[str]:
        codes = []
        ports, given_by = frozenset((canary.port,)), cast(Any, resolver)
        async with Client("testbot/1", ports=ports, resolver=given_by) as client:
            for _ in range(3):
                try:
                    url = canonical(f"http://rebinding.example:{canary.port}/")
                    await client.fetch(url, tmp_path / "body", _free)
                except FetchError as error:
                    codes.append(error.code)
        return codes

    assert asyncio.run(work()) == ["not_public"] * 3
    assert resolver.asked == 3
    assert canary.hits == 0


def test_the_guard_is_asked_with_what_the_system_connects_to() -> None:
    guard = Guard(WEB)
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    with pytest.raises(Refused, match="not a public address"):
        guard(info)
    public = guard((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 80)))
    public.close()
