"""The frontier: what is known of every URL, and what is to be done about it.

One row per canonical URL, succeeded by a newer row and never changed. A URL is `waiting` until it
ends by one of the other states; it waits again, with a time before which it is left alone, when a
failure may pass. A redirect to another host ends a URL as `moved`: its target joins the frontier
under the host it belongs to, so each host is asked from one place only.
"""

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from schemas.ids import digest_of
from transforms.gather.web.failures import REASONS
from transforms.gather.web.urls import Url, host_of_canonical

State = Literal["waiting", "done", "unchanged", "moved", "refused", "dead"]
# refused: not to be fetched, by rule or by wish; dead: could not be fetched
Kind = Literal["audio", "page", "any"]
ENDED: tuple[State, ...] = ("done", "unchanged", "moved", "refused", "dead")

REFUSALS = frozenset(
    ("bad_url", "scheme", "user_info", "not_public", "robots", "opt_out", "suppressed")
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What is known of one URL. Times are whole seconds since 1970, for provenance and for
    waiting; nothing that is built from the bytes depends on them."""

    id: str
    url: str
    kind: Kind = "audio"  # what its body has to be
    first: int = 0  # byte at which the stretch begins that is asked for
    length: int = 0  # bytes of it; 0: the whole body
    state: State = "waiting"
    hops: int = 0  # redirects that led here, from hosts before
    attempts: int = 0
    status: int = 0  # of HTTP, of the last answer
    reason: str = ""  # of its end, or of its last failure
    detail: str = ""
    bytes: int = 0
    received: int = 0
    sha256: str = ""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    final_url: str = ""
    moved_to: str = ""
    began: int = 0
    ended: int = 0
    not_before: int = 0
    turn: int = 0  # rounds that it was in: which of two rows is newer, whatever clocks say

    def __post_init__(self) -> None:
        if self.reason and self.reason not in REASONS:
            raise ValueError(f"{self.reason!r} is no reason of a URL's end")
        if (self.state in ("done", "unchanged")) != bool(self.sha256) and self.state != "waiting":
            raise ValueError(f"a URL that is {self.state} and has the digest {self.sha256!r}")


FIELDS = tuple(field.name for field in dataclasses.fields(Row))
values: Callable[[Row], tuple[Any, ...]] = operator.attrgetter(*FIELDS)
"""The values of a row's `FIELDS`, all plain: none of them holds another record."""


def flat(row: Row) -> dict[str, Any]:
    """A row as plain values by name."""
    return dict(zip(FIELDS, values(row), strict=True))


def by_this_clock(row: Row, now: float) -> Row:
    """A waiting row, as it counts where the clock has gone back since it was written.

    What its host asked to wait then is waited from now on: some of it may have passed, but nobody
    knows how much, and a host that is asked too late has no cause to complain.
    """
    if row.state != "waiting" or row.ended <= now + 1:
        return row
    wait = max(0, row.not_before - row.ended)
    return dataclasses.replace(row, ended=int(now), not_before=int(now) + wait)


Span = tuple[int, int]  # first byte, bytes


def row_id(url: Url, span: Span | None = None) -> str:
    """The id of the row of a URL, or of a stretch of it: a digest of its canonical form."""
    return digest_of("url", url.text, *(span or ()))


def new(url: Url, kind: Kind = "audio", hops: int = 0, span: Span | None = None) -> Row:
    """A URL, or a stretch of it, that waits."""
    first, length = span or (0, 0)
    return Row(id=row_id(url, span), url=url.text, kind=kind, hops=hops, first=first, length=length)


def span_of(row: Row) -> Span | None:
    """The stretch that a row asks for; None: the whole body."""
    return (row.first, row.length) if row.length else None


def host_of(row: Row) -> str:
    """The host of a row's URL, which is canonical; an IPv6 address without brackets."""
    return host_of_canonical(row.url)


def groups(hosts: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The rate-limit group of each host: hosts that share an address are one server.

    `hosts`: host -> its addresses as text. The group's name is its smallest host, so it does not
    depend on their order.
    """
    parent = {host: host for host in hosts}

    def root(host: str) -> str:
        while parent[host] != host:
            parent[host] = parent[parent[host]]
            host = parent[host]
        return host

    first: dict[str, str] = {}
    for host in sorted(hosts):
        for address in sorted(hosts[host]):
            other = root(first.setdefault(address, host))
            own = root(host)
            parent[max(own, other)] = min(own, other)
    return {host: root(host) for host in hosts}
