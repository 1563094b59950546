"""How fast one host may be asked, and how fast all of them together may send.

A gap counts from when a host's answer began, not from when it was asked: the host has then surely
seen the request, so it never sees two of them closer together than the gap, whatever the network
does. While an answer has not begun, the host is not asked again, unless there is no gap to keep
(none set, none asked for, none for slow answers): then only their number is bounded. Slow answers
widen the gap, as they are the first sign of a strained server; 429 and 503 pause the host for as
long as it asks.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PaceSettings:
    """Seconds, and numbers of requests."""

    delay: float = 1.0  # least gap between two requests to a host
    concurrency: int = 1  # most requests to a host at once
    patience: float = 1.0  # the gap is at least this many times the latency
    max_delay: float = 60.0
    first_pause: float = 30.0  # after 429 or 503 without Retry-After; doubles each time


class Host:
    """The pace of one host. One event loop only."""

    def __init__(self, settings: PaceSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._asking = asyncio.Lock()  # held until the answer begins
        self._open = asyncio.Semaphore(settings.concurrency)
        self._asked = 0.0  # the gap that robots.txt asks for
        self._latency = 0.0
        self._ready = 0.0
        self._pauses = 0
        self.paused_until = 0.0

    @property
    def gap(self) -> float:
        """Seconds between two requests as things stand."""
        own = max(self._settings.delay, self._settings.patience * self._latency)
        return max(min(own, self._settings.max_delay), self._asked)

    def ask(self, delay: float | None) -> None:
        """The host's robots.txt asks for a gap (seconds), or for none."""
        self._asked = delay or 0.0

    def wait(self) -> float:
        """Seconds until the host may be asked again."""
        return max(self._ready, self.paused_until) - self._clock()

    async def turn(self) -> "Turn":
        """Wait for a turn to ask; give it back by `Turn.answered` and `Turn.done`."""
        await self._open.acquire()
        turn = Turn(self)
        try:
            if self._asked or self._settings.delay or self._settings.patience:
                await self._asking.acquire()
                turn.asking()
            while (left := self.wait()) > 0:
                await asyncio.sleep(left)
        except BaseException:
            turn.done()
            raise
        return turn

    def _answered(self, latency: float) -> None:
        # a moving mean: one slow answer is no strain
        self._latency = latency if not self._latency else 0.8 * self._latency + 0.2 * latency
        self._ready = self._clock() + self.gap

    def busy(self, retry_after: float | None) -> None:
        """The host asked to slow down: leave it alone for as long as it says."""
        own = min(self._settings.first_pause * 2**self._pauses, 3600.0)
        self._pauses += 1
        pause = own if retry_after is None else retry_after
        self.paused_until = max(self.paused_until, self._clock() + pause)

    def fine(self) -> None:
        """The host gave what it was asked for."""
        self._pauses = 0


class Turn:
    """One request's place: from asking to the end of the body."""

    __slots__ = ("_asking", "_host", "_open")

    def __init__(self, host: Host) -> None:
        self._host, self._asking, self._open = host, False, True

    def asking(self) -> None:
        """No other is asked before this one's answer begins."""
        self._asking = True

    def _asked(self) -> None:
        self._asking = False
        self._host._asking.release()

    def answered(self, latency: float) -> None:
        """The answer has begun, after so many seconds: others may be asked after the gap."""
        if self._asking:
            self._host._answered(latency)
            self._asked()

    def done(self) -> None:
        """The body has ended, or there was none."""
        if self._asking:  # no answer began: what was sent may have arrived all the same
            self._host._ready = self._host._clock() + self._host.gap
            self._asked()
        if self._open:
            self._open = False
            self._host._open.release()


class Bandwidth:
    """Most bytes a second of all fetches together; a second's worth may come at once."""

    def __init__(
        self, bytes_per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._speed, self._clock = bytes_per_second, clock
        self._paid_until = clock()

    async def take(self, count: int) -> None:
        """Account for bytes that came; wait until they are paid for."""
        now = self._clock()
        self._paid_until = max(self._paid_until, now - 1.0) + count / self._speed
        if self._paid_until > now:
            await asyncio.sleep(self._paid_until - now)
