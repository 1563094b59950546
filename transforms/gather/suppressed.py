"""The suppression list: what is not to be taken, by wish of an owner or of whoever runs speechloom.

An entry names a host (with all below it), a URL, a source, a uri of local DATA, or a recording by
its bytes. It judges by exact equality, never by likeness, and later entries succeed earlier ones:
an opt-out that was withdrawn is `lifted`, which a user's own entry never is by itself.
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Literal

from schemas.records import Source

Kind = Literal["host", "url", "source", "uri", "recording"]
By = Literal["user", "opt_out"]
KINDS: tuple[Kind, ...] = ("host", "url", "source", "uri", "recording")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the list."""

    kind: Kind
    value: str  # canonical: hosts in lower case, URLs as `canonical` writes them
    by: By = "user"
    why: str = ""
    since: int = 0  # seconds since 1970
    lifted: bool = False  # no longer so

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.by not in ("user", "opt_out") or not self.value:
            raise ValueError(f"{self!r:.200} is no entry of a suppression list")


@dataclasses.dataclass(frozen=True)
class Suppressed:
    """The list as it stands. `owned`: what users asked for; `opted`: URLs that opted out."""

    owned: frozenset[tuple[str, str]] = frozenset()
    opted: frozenset[str] = frozenset()

    @staticmethod
    def of(entries: Iterable[Entry]) -> "Suppressed":
        """Of entries in their order: a later one about the same stands."""
        last = {(entry.by, entry.kind, entry.value): entry for entry in entries}
        stands = [entry for entry in last.values() if not entry.lifted]
        return Suppressed(
            owned=frozenset((one.kind, one.value) for one in stands if one.by == "user"),
            opted=frozenset(one.value for one in stands if one.by == "opt_out"),
        )

    def __bool__(self) -> bool:
        return bool(self.owned or self.opted)

    @functools.cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(value for kind, value in self.owned if kind == "host")

    def host(self, host: str) -> bool:
        """Whether a host, or a host above it, is named."""
        if not self._hosts:
            return False
        labels = host.strip("[]").lower().split(".")
        return any(".".join(labels[at:]) in self._hosts for at in range(len(labels)))

    def url(self, text: str) -> bool:
        """Whether users do not want a URL; any other text is none."""
        return ("url", text) in self.owned or (bool(self._hosts) and self.host(host_in(text)))

    def source(self, source: Source) -> bool:
        """Whether a source is not to be taken, by itself or by the feed that names it."""
        named = (("source", source.id), ("uri", source.uri))
        if any(one in self.owned for one in named) or self.url(source.uri):
            return True
        return source.feed is not None and self.url(source.feed)

    def recording(self, name: str) -> bool:
        """Whether bytes are not to be taken, wherever they come from."""
        return ("recording", name) in self.owned


def host_in(url: str) -> str:
    """The host of a canonical URL; empty for what is none."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in ("http", "https"):
        return ""
    authority = rest.split("/", 1)[0]
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]
