"""Which addresses may be connected to: public ones, judged at the socket and nowhere else.

A name may resolve to anything, to something else a moment later, and an address can be spelt in
dozens of ways; so neither URLs nor names are judged, only the address that a socket is about to be
made for, at every connection and every hop of a redirect. `ipaddress.is_global` alone is not
enough: Python 3.11 calls NAT64, IPv4-compatible and site-local addresses global, and multicast,
too. Exceptions are single (address, port) pairs, named one by one by whoever starts the run.
"""

import dataclasses
import errno
import ipaddress
import socket
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers, and by clouds for their own services
        "192.0.0.0/24",  # protocol assignments, with clouds' metadata at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "::/96",  # IPv4-compatible, the unspecified address, loopback
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64: an IPv4 address behind a translator
        "64:ff9b:1::/48",
        "100::/64",  # discard
        "2001::/23",  # Teredo and other assignments
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
)


REFUSED = errno.EREMOTEIO  # no connect gives it


class Refused(OSError):
    """A connection that was not made: the address is not public, or the port is not allowed.

    Its number tells it where a name has several addresses: of errors that all have one, those that
    try them in turn make one error with that number, and forget the class.
    """

    def __init__(self, address: str, port: int, why: str) -> None:
        self.address, self.port, self.why = address, port, why
        super().__init__(REFUSED, f"{address} port {port}: {why}")

    def __str__(self) -> str:
        return f"{self.address} port {self.port}: {self.why}"


@dataclasses.dataclass(frozen=True, slots=True)
class Exceptions:
    """What may be connected to all the same.

    `endpoints`: (address, port) pairs, the address as `ipaddress` writes it.
    """

    endpoints: frozenset[tuple[str, int]] = frozenset()

    @staticmethod
    def parse(texts: tuple[str, ...]) -> "Exceptions":
        """Of texts such as `127.0.0.1:8080` and `[::1]:8080`. Raises ValueError for names: a name
        may resolve to any address, so it is no exception."""
        found = set()
        for text in texts:
            host, colon, port = text.rpartition(":")
            try:
                address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
                number = int(port)
                if not colon or not 0 < number < 1 << 16:
                    raise ValueError(f"{port!r} is no port")
            except ValueError as error:
                raise ValueError(
                    f"{text!r} is no exception: write an address and a port, as in "
                    f"127.0.0.1:8080 or [::1]:8080 ({error})"
                ) from error
            found.add((str(address), number))
        return Exceptions(frozenset(found))


def refusal(address: str, port: int, ports: frozenset[int], allowed: Exceptions) -> str | None:
    """Why an address must not be connected to; None where it may be.

    `address` is numeric, as the system hands it to `connect`; a zone (`fe80::1%eth0`) is allowed
    in it. `ports` are those that public addresses may be asked on.
    """
    try:
        found: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "not an IP address"
    if (str(found), port) in allowed.endpoints:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        # the system connects to the IPv4 address inside, so that is the one to judge
        inner = refusal(str(found.ipv4_mapped), port, ports, allowed)
        return None if inner is None else f"{inner} (written as {found})"
    if not _public(found):
        return "not a public address"
    if port not in ports:
        return f"port {port} is not allowed (allowed: {', '.join(map(str, sorted(ports)))})"
    return None


def _public(address: Address) -> bool:
    special = (
        address.is_private,
        address.is_loopback,
        address.is_link_local,
        address.is_multicast,
        address.is_reserved,
        address.is_unspecified,
    )
    if any(special) or not address.is_global:
        return False
    return not any(address in net for net in _DENIED if net.version == address.version)


@dataclasses.dataclass(frozen=True, slots=True)
class Guard:
    """Makes the sockets of a client, for addresses that may be connected to and no others.

    Handed to `aiohttp.TCPConnector(socket_factory=...)`: called with the entry of getaddrinfo that
    is about to be connected to, whether it came from a name, a literal, a cache or a redirect.
    """

    ports: frozenset[int]
    allowed: Exceptions = Exceptions()

    def __call__(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for one address info. Raises `Refused`."""
        family, kind, proto, _, target = info
        why = refusal(str(target[0]), int(target[1]), self.ports, self.allowed)
        if why is not None:
            raise Refused(str(target[0]), int(target[1]), why)
        return socket.socket(family=family, type=kind, proto=proto)
