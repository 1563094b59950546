"""The tar of a shard: one header per name and size, and a reader that accepts no other.

Written by hand rather than with `tarfile` so that no library version changes a byte, and read the
same way: a member is accepted only where its header is, byte for byte, the one this file would
write. Links, devices, extended headers, foreign owners and odd names are thus refused by one
comparison. The price: shards repacked by other tools do not pass, though every tool reads ours.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import BinaryIO

from schemas.shard import ShardError

BLOCK = 512
RECORD = 20 * BLOCK  # tars are padded to this, as every tar program does
NAME = re.compile(r"([a-z0-9_-]{1,64})\.(flac|json|[a-z][a-z0-9_-]{0,23}\.npy)")
MAX_MEMBER = 1 << 28  # bytes; 600 s of 48 kHz PCM16 is 58 MB
KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a pipe",
    b"L": "a long name",
    b"x": "an extended header",
    b"g": "an extended header",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member, read whole: `offset` is of its first byte of data in the tar."""

    name: str
    offset: int
    data: bytes


def header(name: str, size: int) -> bytes:
    """The ustar header of a member: mode 0644, no owner, time 0. Raises `ShardError`."""
    if not NAME.fullmatch(name):
        raise ShardError("bad_name", f"{name!r} cannot be a member: names match {NAME.pattern}")
    if not 0 <= size <= MAX_MEMBER:
        raise ShardError("too_large", f"{name}: {size} bytes, at most {MAX_MEMBER} are allowed")
    head = b"".join(
        (
            name.encode("ascii").ljust(100, b"\0"),
            b"0000644\0",
            b"0000000\0",
            b"0000000\0",
            b"%011o\0" % size,
            b"%011o\0" % 0,
            b"        ",  # the checksum is summed over blanks
            b"0",
            bytes(100),
            b"ustar\x0000",
            bytes(32 + 32 + 8 + 8 + 155 + 12),
        )
    )
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def padding(size: int) -> bytes:
    """The zeros between a member's data and the next header."""
    return bytes(-size % BLOCK)


def ending(size: int) -> bytes:
    """The zeros that end a tar whose members take `size` bytes."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % RECORD)


def members(stream: BinaryIO, where: str) -> Iterator[Member]:
    """Read a tar member by member, once, front to back. Raises `ShardError` and never half-yields.

    A tar that ends before its end mark, at a member's border too, is `truncated`.
    """
    offset = 0
    while True:
        head = _exactly(stream, BLOCK, where, offset)
        if head == bytes(BLOCK):
            break
        name, size = _parse(head, where, offset)
        data = _exactly(stream, size, where, offset)
        rest = _exactly(stream, len(padding(size)), where, offset)
        if rest.strip(b"\0"):
            raise ShardError("bad_header", f"{where}: bytes hidden after {name} at {offset}")
        yield Member(name=name, offset=offset + BLOCK, data=data)
        offset += BLOCK + size + len(rest)
    expected = ending(offset)[BLOCK:]
    if _exactly(stream, len(expected), where, offset) != expected or stream.read(1):
        raise ShardError("bad_header", f"{where}: bytes after the end mark at {offset}")


def _parse(head: bytes, where: str, offset: int) -> tuple[str, int]:
    kind = head[156:157]
    raw = head[:100].rstrip(b"\0")
    shown = ascii(raw.decode("latin-1"))
    if kind != b"0":
        what = KINDS.get(kind, f"of type {kind!r}")
        raise ShardError("hostile_member", f"{where}: {shown} at {offset} is {what}, not a file")
    name = raw.decode("latin-1")
    if not NAME.fullmatch(name):
        raise ShardError(
            "unknown_member", f"{where}: {shown} at {offset}; members match {NAME.pattern}"
        )
    digits = head[124:135]
    if not re.fullmatch(rb"[0-7]{11}", digits):
        raise ShardError("bad_header", f"{where}: {name} has the size {digits!r}")
    size = int(digits, 8)
    if head != header(name, size):
        raise ShardError(
            "bad_header",
            f"{where}: the header of {name} at {offset} is not one of format 1 (owner, time, "
            "mode, checksum); was the shard repacked by another tool?",
        )
    return name, size


def _exactly(stream: BinaryIO, size: int, where: str, offset: int) -> bytes:
    found = stream.read(size)
    while len(found) < size and (more := stream.read(size - len(found))):
        found += more
    if len(found) < size:
        raise ShardError(
            "truncated",
            f"{where}: ends inside or before the member at {offset}; copy or compose it again",
        )
    return found
