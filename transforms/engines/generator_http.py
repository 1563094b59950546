"""JSON to an endpoint and back: one call with its deadlines and bounds, and when to call again.

Only what may pass is tried again: a connection that fails or breaks off, a time-out, 408, 409, 425,
429 and 5xx, and an answer that is no JSON. Waits double, with jitter drawn from the question itself
(so two runs wait alike), and obey Retry-After. Redirects are not followed and proxies not used: the
key goes to the host that the recipe names and nowhere else. It is sent as a header, and taken out
of whatever comes back, so that no error or file can hold it.

Trade-off: a connection per call, from the standard library. A call to a language model takes a
hundred times as long as opening a connection does, and a deadline over all of it is then simple.
"""

import dataclasses
import email.utils
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from schemas.ids import rng

AGAIN = frozenset((408, 409, 425, 429))
SHOWN = 200  # characters of an answer in an error
_PIECE = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of a call; seconds and bytes."""

    connect: float = 10.0
    total: float = 120.0  # of one attempt, from connecting to the last byte
    bytes: int = 1 << 20  # of an answer
    tries: int = 5
    wait: float = 1.0  # before the second attempt; doubles
    longest_wait: float = 60.0  # also of what Retry-After asks for


class Unanswered(RuntimeError):
    """A call that got no answer worth reading, after all its attempts.

    `code`: down (nothing answers), timeout, busy (429), failing (5xx), broken (no JSON, or cut
    off), too_large, rejected (this question is refused), forbidden (all are: key, model, address).
    """

    def __init__(self, code: str, detail: str, *, retries: int = 0, again: bool = False) -> None:
        super().__init__(detail)
        self.code, self.detail, self.retries, self.again = code, detail, retries, again
        self.retry_after: float | None = None


class Caller:
    """Calls one endpoint; safe for threads, of which at most `concurrency` call at once."""

    accept: ClassVar[str] = "application/json"

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        limits: Limits | None = None,
        concurrency: int = 1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`key`: sent as a bearer token; None: none is. Raises `ValueError` for another scheme."""
        parts = urllib.parse.urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is no address; it begins with http:// or https://")
        self.where = base_url.rstrip("/")
        self._parts, self._key, self._sleep = parts, key, sleep
        self._limits = limits or Limits()
        self._free = threading.BoundedSemaphore(concurrency)
        self._lock = threading.Lock()
        self._not_before = 0.0  # of the monotonic clock: a Retry-After holds for all threads

    def post(self, path: str, question: Mapping[str, Any], about: str) -> tuple[Any, int]:
        """The JSON that is answered, and how often it was asked again. `about`: what jitter is
        drawn by. Raises `Unanswered`."""
        data = json.dumps(question, ensure_ascii=True).encode("ascii")
        for turn in range(self._limits.tries):
            try:
                self._hold()
                with self._free:
                    return self._once("POST", path, data), turn
            except Unanswered as error:
                if not error.again or turn == self._limits.tries - 1:
                    error.retries = turn
                    raise
                self._wait(error, turn, about)
        raise AssertionError("the loop ends by an answer or an error")

    def get(self, path: str) -> Any:
        """The JSON of an address, asked once. Raises `Unanswered`."""
        return self._once("GET", path, None)

    def _hold(self) -> None:
        with self._lock:
            left = self._not_before - time.monotonic()
        if left > 0:
            self._sleep(left)

    def _wait(self, error: Unanswered, turn: int, about: str) -> None:
        most = self._limits.longest_wait
        if error.retry_after is not None:
            with self._lock:
                until = time.monotonic() + min(most, error.retry_after)
                self._not_before = max(self._not_before, until)
            return  # `_hold` waits
        wait = min(most, self._limits.wait * 2**turn)
        self._sleep(wait * (0.5 + rng(0, "backoff", f"{about}/{turn}").random()))

    def _once(self, method: str, path: str, data: bytes | None) -> Any:
        connection = self._connection()
        late = _Deadline()
        timer = threading.Timer(self._limits.total, late.cut)
        timer.daemon = True
        timer.start()
        try:
            status, headers, body = self._exchange(connection, late, method, path, data)
        except Unanswered as error:
            if error.code == "broken" and late.past:
                raise self._late() from None
            raise
        except (OSError, http.client.HTTPException) as error:
            if late.past or isinstance(error, TimeoutError):
                raise self._late() from None
            raise Unanswered("down", self._clean(_words(error)), again=True) from None
        finally:
            timer.cancel()
            connection.close()
        if late.past:
            raise self._late()
        return self._read(status, headers, body)

    def _late(self) -> Unanswered:
        return Unanswered("timeout", f"no answer within {self._limits.total:g} s", again=True)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=self._limits.connect, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=self._limits.connect)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        late: "_Deadline",
        method: str,
        path: str,
        data: bytes | None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": self.accept, "Accept-Encoding": "identity"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        connection.connect()
        late.watch(connection.sock)
        connection.sock.settimeout(self._limits.total)
        connection.request(method, self._parts.path.rstrip("/") + path, data, headers)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        most = self._limits.bytes
        body = bytearray()
        announced = answer.length  # None where the server does not say
        if announced is not None and announced > most:
            raise self._too_large(answer.status, f"{announced} bytes announced, none read")
        while piece := answer.read1(_PIECE):
            body += piece
            if len(body) > most:
                raise self._too_large(answer.status, f"more than {most} bytes")
        if announced is not None and len(body) < announced:
            raise Unanswered("broken", f"{len(body)} of {announced} bytes came", again=True)
        return answer.status, found, bytes(body)

    def _too_large(self, status: int, what: str) -> Unanswered:
        if status >= 400:
            return Unanswered("failing", f"status {status} with {what}", again=status >= 500)
        return Unanswered("too_large", f"{what}; the setting max_answer_bytes allows no more")

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        text = self._clean(body.decode("utf-8", "replace"))
        if status != 200:
            raise _refusal(status, headers, text)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and kind != "application/json" and not kind.endswith("+json"):
            raise Unanswered("broken", f"{kind} in place of JSON", again=True)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Unanswered("broken", f"no JSON: {error!s:.80}", again=True) from None

    def _clean(self, text: str) -> str:
        """Without the key, which some servers repeat to whoever sent it."""
        return text.replace(self._key, "***") if self._key else text


class _Deadline:
    """Ends a call, whatever it waits for. It holds the socket itself: a connection that is to be
    closed lets go of its own while the body is still read."""

    def __init__(self) -> None:
        self.past = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def watch(self, found: socket.socket) -> None:
        with self._lock:
            self._socket = found
        if self.past:
            self.cut()

    def cut(self) -> None:
        with self._lock:
            self.past = True
            if self._socket is None:
                return  # not connected yet: `watch` ends it
            try:
                # Of the plain socket: that of TLS would take its state from under who reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return  # closed already


def _refusal(status: int, headers: Mapping[str, str], text: str) -> Unanswered:
    said = " ".join(text.split())[:SHOWN]
    detail = f"status {status}: {said}" if said else f"status {status}"
    if status in AGAIN or status >= 500:
        code = "busy" if status == 429 else "timeout" if status == 408 else "failing"
        error = Unanswered(code, detail, again=True)
        error.retry_after = retry_after(headers.get("retry-after", ""))
        return error
    return Unanswered("rejected" if status in (400, 413, 422) else "forbidden", detail)


def retry_after(text: str) -> float | None:
    """Seconds that a Retry-After asks for, as a number or a date; None where it says nothing."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
