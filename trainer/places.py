"""Where shards lie: a local folder, an HTTP server, or a bucket, behind three reads.

Only plain reads of named bytes, nothing that runs a program: `pipe:` and unknown schemes are
refused by name. HTTP needs a server that answers range requests; each request has a time limit and
is tried again, so that a slow or dropped connection ends in an error and not in a hang.
"""

import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from schemas.store import Store, StoreError
from trainer.data_settings import DataError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
KNOWN = ("http", "https", "gs", "s3")
SMALL = 1 << 28  # bytes: no manifest or index is larger
WAITS = 10  # time limits for one whole request
T = TypeVar("T")


class Place(Protocol):
    """A folder of shards. Names are relative; a missing one raises `FileNotFoundError`."""

    url: str

    def read(self, name: str) -> bytes: ...
    def read_range(self, name: str, start: int, size: int) -> bytes: ...
    def local(self, name: str) -> Path | None: ...
    def names(self, folder: str) -> list[str] | None: ...


def place_of(address: str, timeout: float, retries: int) -> Place:
    """The place of an address. Raises `DataError` for what is neither path nor known URL."""
    scheme = SCHEME.match(address)
    if scheme is None or os.path.isdir(address):
        return LocalPlace(address)
    name = scheme.group(1).lower()
    if name not in KNOWN or not address[scheme.end() :].startswith("//"):
        raise DataError(
            "bad_address",
            f"shards {address!r:.200}: {name}: is not read from. Give a local path or one of "
            f"{', '.join(f'{known}://' for known in KNOWN)}; nothing is ever piped from a program",
        )
    if name in ("http", "https"):
        return HttpPlace(address, timeout, retries)
    return StorePlace(address)


class LocalPlace:
    def __init__(self, folder: str) -> None:
        self.url = os.path.abspath(folder)

    def local(self, name: str) -> Path | None:
        return Path(self.url) / name

    def read(self, name: str) -> bytes:
        return self._tried(name, lambda path: path.read_bytes())

    def read_range(self, name: str, start: int, size: int) -> bytes:
        def ranged(path: Path) -> bytes:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(size)

        return self._tried(name, ranged)

    def names(self, folder: str) -> list[str] | None:
        path = Path(self.url) / folder
        return sorted(found.name for found in path.iterdir()) if path.is_dir() else []

    def _tried(self, name: str, work: Callable[[Path], T]) -> T:
        path = Path(self.url) / name
        try:
            return work(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(str(path)) from error
        except OSError as error:
            raise DataError("unreadable", f"{path}: {error.strerror}") from error


class StorePlace:
    """A bucket, through the one file that knows buckets."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._store = Store(self.url)

    def local(self, name: str) -> Path | None:
        return None

    def read(self, name: str) -> bytes:
        return self._tried(lambda: self._store.get(name))

    def read_range(self, name: str, start: int, size: int) -> bytes:
        return self._tried(lambda: self._store.get_range(name, start, size))

    def names(self, folder: str) -> list[str] | None:
        found = self._tried(lambda: self._store.list(folder))
        return [entry.name.rsplit("/", 1)[-1] for entry in found]

    def _tried(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except StoreError as error:
            raise DataError("unreadable", str(error)) from error


class HttpPlace:
    """A folder on an HTTP server; what stands after `?` is repeated in each request."""

    def __init__(self, url: str, timeout: float, retries: int) -> None:
        parts = urllib.parse.urlsplit(url)
        self._query = parts.query
        self.url = urllib.parse.urlunsplit(parts._replace(query="", fragment="")).rstrip("/")
        self._timeout, self._retries = timeout, retries

    def local(self, name: str) -> Path | None:
        return None

    def names(self, folder: str) -> list[str] | None:
        return None  # plain HTTP has no listing

    def read(self, name: str) -> bytes:
        data = self._asked(name, {}, 200, SMALL + 1)
        if len(data) > SMALL:
            raise DataError("too_large", f"{self.url}/{name}: above {SMALL} bytes")
        return data

    def read_range(self, name: str, start: int, size: int) -> bytes:
        if size == 0:
            return b""
        wanted = {"Range": f"bytes={start}-{start + size - 1}"}
        data = self._asked(name, wanted, 206, size + 1)
        if len(data) != size:
            raise DataError(
                "truncated",
                f"{self.url}/{name}: {len(data)} of {size} bytes at {start}; the file is not "
                "the one that the manifest names",
            )
        return data

    def _asked(self, name: str, headers: dict[str, str], status: int, most: int) -> bytes:
        where = f"{self.url}/{urllib.parse.quote(name)}"
        url = f"{where}?{self._query}" if self._query else where
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(min(0.1 * 2**attempt, 5.0))
            try:
                request = urllib.request.Request(url, headers=headers)
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    return self._body(answer, where, headers, status, most)
            except urllib.error.HTTPError as error:
                if error.code in (404, 410):
                    raise FileNotFoundError(where) from error
                if error.code == 416:
                    raise DataError("truncated", f"{where}: has no {headers['Range']}") from error
                problem = f"HTTP {error.code}"
                if error.code < 500 and error.code not in (408, 429):
                    break
            except (OSError, urllib.error.URLError, EOFError) as error:
                problem = str(getattr(error, "reason", "") or error) or type(error).__name__
        raise DataError(
            "unreachable",
            f"{where}: {problem} ({self._retries} further tries, {self._timeout:g} s each); check "
            "the address and the server, or raise timeout",
        )

    def _body(
        self, answer: object, where: str, headers: dict[str, str], status: int, most: int
    ) -> bytes:
        if getattr(answer, "status", None) != status:
            raise DataError(
                "no_ranges",
                f"{where}: answered {getattr(answer, 'status', None)} to a request that needs "
                f"{status}: the server does not serve ranges {headers}",
            )
        # a limit for each wait and one for the whole, or a server that drips would hold a run
        parts, held, until = [], 0, time.monotonic() + WAITS * self._timeout
        while held < most and (part := answer.read1(most - held)):  # type: ignore[attr-defined]
            parts.append(part)
            held += len(part)
            if time.monotonic() > until:
                raise TimeoutError(f"{held} bytes after {WAITS * self._timeout:g} s")
        data = b"".join(parts)
        expected = answer.headers.get("Content-Length")  # type: ignore[attr-defined]
        if expected is not None and expected.isdigit() and len(data) < min(int(expected), most):
            raise EOFError(f"the connection broke off after {len(data)} of {expected} bytes")
        return data
