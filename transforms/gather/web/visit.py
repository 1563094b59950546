"""One round: the queue of one rate-limit group, asked politely until it is empty or time is up.

A round needs nothing of the outside but its queue: its group's hosts are asked from here alone. It
hands each URL's new row to `ended` the moment it is known, so a kill costs the URLs in flight and
no more; bodies lie in `folder` under the name that `ended` is given, for it to keep or discard. A
failure that may pass is tried again within the round where time allows, else in a later one.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from transforms.gather.sniff import begins_like_audio
from transforms.gather.web import optout
from transforms.gather.web.client import HEAD, MAX_REDIRECTS, Answer, Client, Known, Limits
from transforms.gather.web.failures import FetchError
from transforms.gather.web.frontier import REFUSALS, Row, host_of, span_of
from transforms.gather.web.pace import Host, PaceSettings, Turn
from transforms.gather.web.permission import Declared, Memory, Permission
from transforms.gather.web.urls import Url, of_canonical

SMALL = Limits(
    connect=10.0,
    total=60.0,
    stall=20.0,
    min_speed=100.0,
    grace=10.0,
    max_bytes=1 << 19,
    max_ratio=1_000.0,
    resumptions=0,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RoundSettings:
    """How a round asks."""

    agent: str  # our product token, as robots.txt names it
    obey_robots: bool = True
    obey_reservations: bool = True
    seconds: float = 600.0  # of a round
    attempts: int = 5  # of a URL, over all rounds
    first_wait: float = 2.0  # seconds before a second attempt; doubles each time
    max_wait: float = 3600.0


class Elsewhere(Exception):
    """A redirect to a host of another group."""

    def __init__(self, url: Url) -> None:
        self.url = url
        super().__init__(url.text)


class OutOfTime(Exception):
    """A turn would come after the round's end; `wait`: seconds until it would."""

    def __init__(self, wait: float) -> None:
        self.wait = wait
        super().__init__(f"{wait:.1f} s")


# Takes a URL's new row, and the file with its body where there is one. The file may be moved away.
Ended = Callable[[Row, str | None], Awaitable[None]]


class Round:
    """One round of one group. One event loop only."""

    def __init__(
        self,
        client: Client,
        hosts: Sequence[str],
        settings: RoundSettings,
        pace: PaceSettings,
        limits: Limits,
        folder: Path,
        ended: Ended,
        memory: Memory | None = None,
    ) -> None:
        """`memory`: of what origins declared to earlier rounds."""
        self._client, self._settings, self._limits = client, settings, limits
        self._hosts = {host: Host(pace) for host in hosts}
        self._concurrency = pace.concurrency
        self._folder, self._ended = str(folder), ended
        self._until = time.monotonic() + settings.seconds
        self._permission = Permission(
            self._small,
            settings.agent,
            obey_robots=settings.obey_robots,
            obey_reservations=settings.obey_reservations,
            memory=memory,
        )
        self._number = 0
        self._heeded: dict[str, Declared] = {}

    async def run(self, queue: Sequence[Row]) -> list[Row]:
        """Ask for every row of the queue, in its order by host; the rows as they are afterwards."""
        by_host: dict[str, list[Row]] = {}
        for row in queue:
            by_host.setdefault(host_of(row), []).append(row)
        unknown = sorted(set(by_host) - set(self._hosts))
        if unknown:
            raise ValueError(f"hosts {unknown} are not of this round's group")
        found: dict[str, Row] = {}
        workers = []
        for name, rows in by_host.items():
            waiting, host = iter(rows), self._hosts[name]
            workers += [self._work(host, waiting, found) for _ in range(self._concurrency)]
        await asyncio.gather(*workers)
        return [found.get(row.id, row) for row in queue]

    async def _work(self, host: Host, rows: Any, found: dict[str, Row]) -> None:
        for row in rows:
            if time.monotonic() + max(host.wait(), 0.0) >= self._until:
                return  # the rest of this host's queue is for a later round
            path = self._file()
            try:
                found[row.id] = after = await self._visited(row, path)
                kept = path if after.state == "done" else None
                await self._ended(after, kept)
            finally:
                _gone(path)

    def _file(self) -> str:
        self._number += 1
        return f"{self._folder}/body-{self._number}"

    async def _visited(self, row: Row, path: str) -> Row:
        """Ask for one URL until it ends, or has to wait for a later round."""
        began = int(time.time())
        while True:
            try:
                answer = await self._once(row, path)
                return self._judged(row, answer, path, began)
            except Elsewhere as error:
                row = _moved(row, error.url)
            except OutOfTime as error:  # not an attempt: nothing was asked
                row = dataclasses.replace(row, not_before=int(time.time() + error.wait) + 1)
            except FetchError as error:
                row = self._failed(row, error)
                wait = row.not_before - time.time()
                if row.state == "waiting" and time.monotonic() + wait < self._until:
                    await asyncio.sleep(max(wait, 0.0))
                    continue
            return dataclasses.replace(row, began=began, ended=int(time.time()))

    async def _once(self, row: Row, path: str) -> Answer:
        row_url = of_canonical(row.url)
        known = Known(etag=row.etag, last_modified=row.last_modified) if row.sha256 else Known()
        turns: list[Turn] = []

        async def permit(url: Url) -> None:
            for turn in turns:
                turn.done()
            turns.clear()
            if url.host not in self._hosts:
                raise Elsewhere(url)
            declared = await self._permission.check(url)
            self._heed(url, declared)
            turns.append(await self._turn(url))

        def answered(url: Url, latency: float) -> None:
            turns[-1].answered(latency)

        try:
            answer = await self._client.fetch(
                row_url,
                path,
                permit,
                known=known,
                limits=self._limits,
                answered=answered,
                span=span_of(row),
            )
        except FetchError as error:
            if error.code == "busy":
                self._hosts[row_url.host].busy(error.retry_after)
            raise
        finally:
            for turn in turns:
                turn.done()
        self._hosts[row_url.host].fine()
        return answer

    async def _turn(self, url: Url) -> Turn:
        """The next turn at a URL's host. Raises `OutOfTime` where it comes after the round."""
        host = self._hosts[url.host]
        if time.monotonic() + host.wait() >= self._until:
            raise OutOfTime(host.wait())
        return await host.turn()

    def _heed(self, url: Url, declared: Declared) -> None:
        """Let a host's robots.txt set its pace, once for each that it declares."""
        if self._settings.obey_robots and self._heeded.get(url.host) is not declared:
            self._heeded[url.host] = declared
            self._hosts[url.host].ask(declared.robots.delay(self._settings.agent))

    def _judged(self, row: Row, answer: Answer, path: str, began: int) -> Row:
        """The row of an answer: done, unchanged, or refused for what the answer says."""
        told: dict[str, Any] = {
            "attempts": row.attempts + 1,
            "status": answer.status,
            "received": answer.received,
            "final_url": answer.url.text,
            "reason": "",
            "detail": "",
            "not_before": 0,
            "began": began,
            "ended": int(time.time()),
        }
        if self._settings.obey_reservations:
            signal = optout.of_headers(answer.headers, self._settings.agent)
            if signal is not None:
                return _refused(dataclasses.replace(row, **told), FetchError("opt_out", signal))
        if answer.unchanged:
            if not row.sha256:
                raise FetchError("bad_answer", "HTTP 304, which nothing was asked for", 304)
            return dataclasses.replace(row, state="unchanged", **told)
        kind = answer.header("content-type")
        head = answer.head
        if self._settings.obey_reservations and _is_page(head, kind):
            signal = optout.of_page(_beginning(path, optout.HEAD), self._settings.agent)
            if signal is not None:
                return _refused(dataclasses.replace(row, **told), FetchError("opt_out", signal))
        if not head:
            raise FetchError("empty", f"HTTP {answer.status} without a body", answer.status)
        if not _fits(row.kind, head, kind):
            raise FetchError("wrong_type", f"{kind or 'no Content-Type'}: {head[:24]!r}")
        return dataclasses.replace(
            row,
            state="done",
            bytes=answer.bytes,
            sha256=answer.sha256,
            content_type=kind,
            etag=answer.header("etag"),
            last_modified=answer.header("last-modified"),
            **told,
        )

    def _failed(self, row: Row, error: FetchError) -> Row:
        """The row of a failure: refused, dead, or waiting for another attempt."""
        row = dataclasses.replace(
            row,
            attempts=row.attempts + 1,
            status=error.status or row.status,
            reason=error.code,
            detail=error.detail,
        )
        if error.code in REFUSALS:
            return _refused(row, error)
        later = error.transient or error.code == "robots_unreachable"
        if not later or row.attempts >= self._settings.attempts:
            return dataclasses.replace(row, state="dead", sha256="")
        wait = min(self._settings.first_wait * 2 ** (row.attempts - 1), self._settings.max_wait)
        wait *= 0.75 + 0.5 * _fraction(row)
        if error.retry_after is not None:
            wait = max(wait, error.retry_after)
        return dataclasses.replace(row, not_before=int(time.time() + wait) + 1)

    async def _small(self, url: Url) -> tuple[int, bytes]:
        """A small file that an origin declares something by; status 0: no answer. Raises
        `FetchError` where nothing of that origin can be asked for."""
        path = self._file()
        turns: list[Turn] = []

        async def permit(hop: Url) -> None:
            for turn in turns:
                turn.done()
            turns.clear()
            # another group's host is asked at its own pace, by others; a file that moved there
            # is one that is not here
            if hop.host not in self._hosts:
                raise Elsewhere(hop)
            turns.append(await self._turn(hop))

        def answered(hop: Url, latency: float) -> None:
            turns[-1].answered(latency)

        try:
            answer = await self._client.fetch(url, path, permit, limits=SMALL, answered=answered)
            return answer.status, _beginning(path, SMALL.max_bytes)
        except Elsewhere:
            return 404, b""
        except FetchError as error:
            if error.code == "busy":
                self._hosts[url.host].busy(error.retry_after)
            if error.code in ("not_public", "dns", "tls"):
                raise  # no other URL of this origin would fare better
            if error.code in ("redirects", "redirect_scheme"):
                return 404, b""  # RFC 9309, 2.3.1.2
            if error.code in ("too_large", "bomb"):
                return 200, _beginning(path, SMALL.max_bytes)
            return error.status, b""
        finally:
            for turn in turns:
                turn.done()
            _gone(path)


def _beginning(path: str, most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(most)


def _gone(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _refused(row: Row, error: FetchError) -> Row:
    return dataclasses.replace(
        row, state="refused", reason=error.code, detail=error.detail, sha256="", bytes=0
    )


def _moved(row: Row, url: Url) -> Row:
    """The row of a URL that redirects to another group's host."""
    row = dataclasses.replace(row, attempts=row.attempts + 1)
    if row.hops >= MAX_REDIRECTS:
        detail = f"after {row.hops + 1} redirects"
        return dataclasses.replace(row, state="dead", reason="redirects", detail=detail, sha256="")
    return dataclasses.replace(
        row, state="moved", moved_to=url.text, reason="", detail="", sha256=""
    )


def _fits(wanted: str, head: bytes, kind: str) -> bool:
    """Whether a body may be what was asked for. Only what is surely something else is refused:
    bare frames of MP3 look like nothing, and whether it is audio is for decoding to say."""
    if wanted == "any" or begins_like_audio(head[:HEAD]):
        return wanted != "page"
    if wanted == "page":
        return b"\0" not in head[:HEAD]
    textual = kind.lower().startswith(("text/", "application/json", "application/xml"))
    return not (textual or _is_page(head, kind) or head[:5].lower() == b"<?xml")


def _is_page(head: bytes, kind: str) -> bool:
    return "html" in kind.lower() or head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html"))


def _fraction(row: Row) -> float:
    """A number from 0 to 1 by URL and attempt: spreads retries without a generator."""
    digest = hashlib.sha256(f"{row.id}/{row.attempts}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
