"""Whether a URL may be asked for: robots.txt, and the reservations that an origin declares.

Each origin's files are fetched once and hold for a day, over rounds and runs where there is a
memory for it; two fetches that need them at once share one request. robots.txt that cannot be had
means not now; a missing or broken declaration of reservations means none, and one that a server
failed to give is asked for again soon. Nothing here waits: pacing is the caller's, through `get`.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from transforms.gather.web import optout, robots
from transforms.gather.web.failures import FetchError
from transforms.gather.web.robots import Robots
from transforms.gather.web.urls import Url, canonical

# Gives (status, body) of a small file, redirects followed; status 0: no answer.
Get = Callable[[Url], Awaitable[tuple[int, bytes]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """What an origin declares about all it holds."""

    robots: Robots
    tdmrep: bytes  # b"" where there is none
    ai_txt: bytes
    until: float  # monotonic seconds


class Memory(Protocol):
    """Keeps what origins declare beyond one `Permission`. Called from threads."""

    def recall(self, origin: str) -> Declared | None: ...
    def keep(self, origin: str, declared: Declared) -> None: ...


SOON = 600.0  # seconds; a later round is later enough
NOTHING = Declared(Robots(""), b"", b"", float("inf"))


class Permission:
    """Answers for one agent. One event loop only."""

    def __init__(
        self,
        get: Get,
        agent: str,
        *,
        obey_robots: bool = True,
        obey_reservations: bool = True,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`agent`: our product token, as robots.txt names it."""
        self._memory = memory
        self._get, self._agent, self._clock = get, agent, clock
        self._obey_robots, self._obey_reservations = obey_robots, obey_reservations
        self._known: dict[str, Declared] = {}
        self._asking: dict[str, asyncio.Task[Declared]] = {}

    async def declared(self, url: Url) -> Declared:
        """What the origin of a URL declares, from memory or anew."""
        origin = url.origin
        found = self._known.get(origin)
        if found is not None and found.until >= self._clock():
            return found
        task = self._asking.get(origin)
        if task is None or task.done():
            task = asyncio.ensure_future(self._learnt(origin))
            self._asking[origin] = task
        return await asyncio.shield(task)

    async def _learnt(self, origin: str) -> Declared:
        try:
            found = None
            if self._memory is not None:
                found = await asyncio.to_thread(self._memory.recall, origin)
            if found is None:
                found, whole = await self._ask(origin)
                if whole and self._memory is not None:
                    await asyncio.to_thread(self._memory.keep, origin, found)
            self._known[origin] = found
        finally:
            self._asking.pop(origin, None)
        return found

    async def check(self, url: Url) -> Declared:
        """What the origin of a URL declares. Raises `FetchError` where the URL must not be asked
        for: `robots`, `robots_unreachable` or `opt_out`."""
        if not (self._obey_robots or self._obey_reservations):
            return NOTHING
        found = await self.declared(url)
        if self._obey_robots:
            if found.robots.text is None:
                raise FetchError("robots_unreachable", f"{url.origin}/robots.txt")
            if not found.robots.allows(url.text, self._agent):
                raise FetchError("robots", f"{url.origin}/robots.txt")
        if self._obey_reservations:
            path = url.target
            signal = optout.of_tdmrep(found.tdmrep, path) if found.tdmrep else None
            if signal is None and found.ai_txt:
                signal = optout.of_ai_txt(found.ai_txt, path, self._agent)
            if signal is not None:
                raise FetchError("opt_out", signal)
        return found

    async def _ask(self, origin: str) -> tuple[Declared, bool]:
        """What an origin declares now, and whether that is all that it does."""
        rules = Robots("")
        if self._obey_robots:
            rules = robots.of_answer(*await self._get(canonical(f"{origin}/robots.txt")))
        reservation: bytes | None = b""
        ai: bytes | None = b""
        # a host whose robots.txt cannot be had is left alone altogether
        if self._obey_reservations and rules.text is not None:
            reservation = await self._file(f"{origin}/.well-known/tdmrep.json")
            ai = await self._file(f"{origin}/ai.txt")
        told = rules.text is not None and reservation is not None and ai is not None
        until = self._clock() + (robots.LIFE if told else SOON)
        whole = told and self._obey_robots and self._obey_reservations
        return Declared(rules, reservation or b"", ai or b"", until), whole

    async def _file(self, url: str) -> bytes | None:
        """A file; empty where there is none, None where its server failed."""
        status, body = await self._get(canonical(url))
        if status == 0 or status == 429 or status >= 500:
            return None
        return body if 200 <= status < 300 else b""
