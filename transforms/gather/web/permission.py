"""Whether a URL may be asked for: robots.txt, and the reservations that an origin declares.

Each origin's files are fetched once and hold for a day; two fetches that need them at once share
one request. robots.txt that cannot be had means not now; a missing or broken declaration of
reservations means none. Nothing here waits: pacing is the caller's, through `get`.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`agent`: our product token, as robots.txt names it."""
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
            self._known[origin] = found = await self._ask(origin)
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

    async def _ask(self, origin: str) -> Declared:
        rules = Robots("")
        if self._obey_robots:
            rules = robots.of_answer(*await self._get(canonical(f"{origin}/robots.txt")))
        reservation = ai = b""
        # a host whose robots.txt cannot be had is left alone altogether
        if self._obey_reservations and rules.text is not None:
            reservation = await self._file(f"{origin}/.well-known/tdmrep.json")
            ai = await self._file(f"{origin}/ai.txt")
        # an origin that cannot be had now is asked again soon; a later round is later enough
        life = robots.LIFE if rules.text is not None else 600.0
        return Declared(rules, reservation, ai, self._clock() + life)

    async def _file(self, url: str) -> bytes:
        status, body = await self._get(canonical(url))
        return body if 200 <= status < 300 else b""
