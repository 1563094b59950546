"""robots.txt by RFC 9309: what a host's owner asks of crawlers, and what no answer means.

Parsing and matching are Protego's; here is the policy around it: a missing file (4xx) allows
everything, a failing server (5xx, no connection, no end) means not now, only the first 500 KiB
count, and what was learnt holds for a day. A redirect is followed up to five times by whoever
fetches; more of them is a missing file.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protego import Protego

MAX_BYTES = 500 * 1024  # RFC 9309, 2.5: at least so much is parsed
LIFE = 24 * 3600.0  # seconds; RFC 9309, 2.4
MAX_DELAY = 60.0  # seconds: a longer delay between requests is taken as this


@dataclasses.dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one origin. `text` is its robots.txt; None: it cannot be had now."""

    text: str | None

    def allows(self, url: str, agent: str) -> bool:
        """Whether the agent may fetch a URL of this origin. `agent`: our product token."""
        if self.text is None:
            return False
        return not self.text or bool(_parsed(self.text).can_fetch(url, agent))

    def delay(self, agent: str) -> float | None:
        """Seconds between two requests that the owner asks for; None: none is named.

        The longer of Crawl-delay and what Request-rate implies, at most `MAX_DELAY`.
        """
        if self.text is None:
            return None
        rules = _parsed(self.text)
        found = []
        delay, rate = rules.crawl_delay(agent), rules.request_rate(agent)
        if delay is not None:
            found.append(float(delay))
        if rate is not None and rate.requests:
            found.append(rate.seconds / rate.requests)
        return min(max(found), MAX_DELAY) if found else None

    def sitemaps(self) -> tuple[str, ...]:
        """The sitemaps that it names, in its order."""
        return () if self.text is None else tuple(_parsed(self.text).sitemaps)


def of_answer(status: int, body: bytes) -> Robots:
    """The rules that an answer to a request for robots.txt means. `status` 0: there was none."""
    if 200 <= status < 300:
        return Robots(body[:MAX_BYTES].decode("utf-8-sig", "replace"))
    if 400 <= status < 500 and status != 429:
        return Robots("")
    if 300 <= status < 400:  # redirects were followed as far as one has to
        return Robots("")
    return Robots(None)


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> "Protego":
    from protego import Protego

    return Protego.parse(text)
