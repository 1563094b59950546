"""A name server on loopback that answers as it is told to, and a stub resolver that asks it.

Both speak DNS over UDP (RFC 1035: one question, A or AAAA, no compression but the answer's pointer
to the question's name), so that what the client connects to has come over a socket.
"""

import asyncio
import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

A, AAAA = 1, 28
Zone = Callable[[str, int], Sequence[str]]  # name and how often it was asked: its addresses


class NameServer:
    """Answers for every name by `zone`; a time to live of 0."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked: dict[tuple[str, int], int] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    @contextmanager
    def running(self) -> Iterator["NameServer"]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._socket.sendto(b"", ("127.0.0.1", self.port))
            thread.join()
            self._socket.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(512)
            if not data:
                return
            name, kind, end = _question(data)
            count = self.asked.get((name, kind), 0)
            self.asked[name, kind] = count + 1
            version = 4 if kind == A else 6
            found = [ipaddress.ip_address(text) for text in self._zone(name, count)]
            packed = [one.packed for one in found if one.version == version]
            head = data[:2] + struct.pack(">5H", 0x8580, 1, len(packed), 0, 0)
            answers = b"".join(
                struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(one)) + one for one in packed
            )
            self._socket.sendto(head + data[12:end] + answers, peer)


def _question(data: bytes) -> tuple[str, int, int]:
    labels, at = [], 12
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode("ascii"))
        at += 1 + size
    kind, _ = struct.unpack(">HH", data[at + 1 : at + 5])
    return ".".join(labels), kind, at + 5


class Stub:
    """A resolver for `Client` that asks one name server."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        found = []
        for kind, own in ((A, socket.AF_INET), (AAAA, socket.AF_INET6)):
            if family in (0, own):
                for address in await asyncio.to_thread(self._ask, host, kind):
                    found.append(
                        {
                            "hostname": host,
                            "host": address,
                            "port": port,
                            "family": own,
                            "proto": 0,
                            "flags": socket.AI_NUMERICHOST,
                        }
                    )
        if not found:
            raise OSError(None, "no address")
        return found

    def _ask(self, host: str, kind: int) -> list[str]:
        number = os.urandom(2)
        name = b"".join(bytes([len(one)]) + one.encode() for one in host.split(".")) + b"\0"
        asked = number + struct.pack(">5H", 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", kind, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(5)
            one.sendto(asked, ("127.0.0.1", self._port))
            data = one.recv(2048)
        assert data[:2] == number
        at, found = len(asked), []
        for _ in range(struct.unpack(">H", data[6:8])[0]):
            size = struct.unpack(">H", data[at + 10 : at + 12])[0]
            found.append(str(ipaddress.ip_address(data[at + 12 : at + 12 + size])))
            at += 12 + size
        return found

    async def close(self) -> None:
        """Nothing is held."""
