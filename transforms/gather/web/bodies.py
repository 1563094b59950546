"""Bodies as they come: unpacked piece by piece, so that a bomb costs no more than its limit.

Clients that unpack by themselves hand out whole pieces, and a kilobyte can hold a gigabyte. So the
client is told to unpack nothing, and each coding is unpacked here with a bound on what one step may
give. Nested codings are not asked for and are refused.
"""

import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from transforms.gather.web.failures import FetchError

STEP = 1 << 16  # bytes that one step of unpacking may give
CODINGS = ("gzip", "deflate", "br", "zstd")
MIN_RATIO_BYTES = 1 << 20  # below this much, any ratio is fine


class Unpacker(Protocol):
    """Unpacks one coding, a piece at a time."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...
    def finished(self) -> bool: ...


class _Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finished(self) -> bool:
        return True


class _Zlib:
    """gzip and deflate; the latter with its header or, as many servers send it, without."""

    def __init__(self, coding: str) -> None:
        self._deflate = coding == "deflate"
        self._bits = 31 if coding == "gzip" else 15
        self._state = zlib.decompressobj(self._bits)
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._deflate and not self._fed and data and data[0] & 0x0F != 8:
            self._bits = -15
            self._state = zlib.decompressobj(self._bits)
        self._fed = self._fed or bool(data)
        while data:
            if self._state.eof:  # another member of a gzip may follow
                if self._bits != 31:
                    return
                self._state = zlib.decompressobj(self._bits)
            yield self._state.decompress(data, STEP)
            data = self._state.unconsumed_tail or self._state.unused_data

    def finished(self) -> bool:
        return self._state.eof


class _Brotli:
    def __init__(self) -> None:
        import brotli

        self._error = brotli.error
        self._state = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        piece = self._state.process(data, output_buffer_limit=STEP)
        while piece:  # it may hold output back although it would accept more input
            yield piece
            finished = self._state.is_finished()
            piece = b"" if finished else self._state.process(b"", output_buffer_limit=STEP)

    def finished(self) -> bool:
        return bool(self._state.is_finished())


class _Zstd:
    """One step of zstandard gives at most a block, 128 KiB, per block that it was fed."""

    SMALL = 64  # bytes fed at once: a block of one repeated byte takes four, so 2 MB at most

    def __init__(self) -> None:
        import zstandard

        # the window is what decoding holds: 8 MiB is what RFC 9659 asks of HTTP
        self._state = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj()

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), self.SMALL):
            if self._state.eof:
                return
            yield self._state.decompress(data[at : at + self.SMALL])

    def finished(self) -> bool:
        return bool(self._state.eof)


def unpacker(coding: str) -> Unpacker:
    """The unpacker of a Content-Encoding. Raises `FetchError` (bad_answer) for any other."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return _Plain()
    if name in ("gzip", "x-gzip"):
        return _Zlib("gzip")
    if name == "deflate":
        return _Zlib(name)
    if name == "br":
        return _Brotli()
    if name == "zstd":
        return _Zstd()
    raise FetchError("bad_answer", f"Content-Encoding {coding[:80]!r} was not asked for")


class Body:
    """Counts and bounds a body while it is unpacked.

    `max_bytes`: of the unpacked body. `max_ratio`: unpacked over received, beyond the first
    megabyte.
    """

    def __init__(self, coding: str, max_bytes: int, max_ratio: float) -> None:
        self._unpacker = unpacker(coding)
        self._plain = isinstance(self._unpacker, _Plain)
        self._max_bytes, self._max_ratio = max_bytes, max_ratio
        self.received = 0  # bytes on the wire
        self.bytes = 0  # bytes unpacked

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpacked pieces. Raises `FetchError`: too_large, bomb or bad_answer."""
        self.received += len(data)
        try:
            for piece in self._unpacker.feed(data):
                self.bytes += len(piece)
                self._judge()
                if piece:
                    yield piece
        except FetchError:
            raise
        except _errors() as error:
            raise FetchError("bad_answer", f"its coding is broken: {error}") from error

    def close(self) -> None:
        """The body has ended. Raises `FetchError` (incomplete) where its coding has not."""
        if self.received and not self._unpacker.finished():
            raise FetchError("incomplete", f"its coding ends early, after {self.bytes} bytes")

    def _judge(self) -> None:
        if self.bytes > self._max_bytes:
            code = "too_large" if self._plain else "bomb"
            raise FetchError(code, f"more than {self._max_bytes} bytes")
        if self.bytes > MIN_RATIO_BYTES and self.bytes > self._max_ratio * self.received:
            raise FetchError("bomb", f"{self.received} bytes unpack to more than {self.bytes}")


def _errors() -> tuple[type[BaseException], ...]:
    """What the unpackers raise for broken data."""
    found: list[Any] = [zlib.error]
    import brotli
    import zstandard

    return (*found, brotli.error, zstandard.ZstdError)
