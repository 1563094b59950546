"""How the web is asked, as settings of `crawl`: whom we say we are, how fast, within which bounds.

Nothing here changes what bytes mean: a recording is known by its digest, wherever and however it
was fetched. So none of it is part of any key.
"""

from typing import Annotated

import pydantic
from pydantic import Field

from transforms.gather.web.addresses import Exceptions
from transforms.gather.web.client import Limits
from transforms.gather.web.pace import PaceSettings
from transforms.gather.web.visit import RoundSettings


class Web(pydantic.BaseModel):
    """Fetching: politeness, permission, safety, patience."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    contact: str | None = Field(
        default=None,
        description="A URL or mail address at which site owners reach you; told to every server "
        "in User-Agent. Must be set for anything but loopback (none: nobody can be guessed).",
    )
    agent: str = Field(
        default="speechloom",
        pattern=r"[A-Za-z][A-Za-z0-9_-]{1,40}",
        description="Our name, as robots.txt and X-Robots-Tag may speak to it (ours).",
    )
    obey_robots: bool = Field(
        default=True, description="Heed robots.txt and its Crawl-delay (RFC 9309)."
    )
    obey_reservations: bool = Field(
        default=True,
        description="Heed opt-outs: X-Robots-Tag and meta tags (noai, noimageai, noml, noindex), "
        "TDM-Reservation, /.well-known/tdmrep.json, /ai.txt.",
    )
    delay: float = Field(
        default=1.0,
        ge=0,
        description="Least time between two requests to one host, counted from the beginning of "
        "its answer (seconds; ours).",
    )
    max_delay: float = Field(
        default=60.0,
        ge=0,
        description="Longest such time that slow answers may lead to (seconds; robots.txt may ask "
        "for more; ours).",
    )
    patience: float = Field(
        default=1.0,
        ge=0,
        description="The time between two requests is at least this many times what an answer "
        "takes to begin (ours; 0: off).",
    )
    host_concurrency: int = Field(
        default=1, ge=1, le=64, description="Most requests to one host at once (ours)."
    )
    connections: int = Field(
        default=64, ge=1, le=4096, description="Most connections of one worker (ours)."
    )
    bandwidth: float | None = Field(
        default=None,
        gt=0,
        description="Most bytes per second of all workers together (off: no limit).",
    )
    attempts: int = Field(
        default=5, ge=1, description="Tries of a URL whose failure may pass (ours)."
    )
    round_seconds: float = Field(
        default=600.0,
        gt=0,
        description="Longest that one round of a host's queue takes (seconds; ours).",
    )
    wait_seconds: float = Field(
        default=900.0,
        ge=0,
        description="Longest that a run waits where all that is left are hosts that ask to wait "
        "(seconds; ours). What still waits then is told, and fetched by the next run.",
    )
    connect_seconds: float = Field(
        default=15.0, gt=0, description="Deadline of a connection (seconds; ours)."
    )
    stall_seconds: float = Field(
        default=30.0,
        gt=0,
        description="Longest wait for an answer to begin or go on (seconds; ours).",
    )
    total_seconds: float = Field(
        default=3600.0, gt=0, description="Deadline of a whole fetch (seconds; ours)."
    )
    min_bytes_per_second: float = Field(
        default=1000.0, ge=0, description="Least speed of a body, after 20 s (bytes/s; ours)."
    )
    max_ratio: float = Field(
        default=200.0,
        gt=1,
        description="Most that a body may unpack to, in times of what came (ours).",
    )
    ports: Annotated[tuple[int, ...], Field(strict=False)] = Field(
        default=(80, 443), description="Ports that public addresses may be asked on."
    )
    allow: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Addresses that may be connected to although they are not public, with their "
        "port: 127.0.0.1:8080 (none).",
    )
    max_items: int | None = Field(
        default=None,
        ge=1,
        description="Fetch no more than this many entries of DATA, the first in its order (off: "
        "all).",
    )
    archive_base: str | None = Field(
        default=None,
        description="URL that the names of archives in lists and indexes are relative to (off: "
        "the URL or folder of the list).",
    )
    transcripts: bool = Field(
        default=True,
        description="Take published transcripts with times (WebVTT, SubRip) as given text.",
    )

    @pydantic.field_validator("allow")
    @classmethod
    def _endpoints(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        Exceptions.parse(texts)
        return texts

    @pydantic.field_validator("contact")
    @classmethod
    def _reachable(cls, contact: str | None) -> str | None:
        if contact is not None:
            plain = contact.isascii() and contact.isprintable() and len(contact) <= 200
            if not plain or not ("@" in contact or contact.startswith(("http://", "https://"))):
                raise ValueError("write a URL or a mail address, in ASCII")
        return contact

    @property
    def user_agent(self) -> str:
        """The User-Agent line."""
        return f"{self.agent}/1 (+{self.contact})" if self.contact else f"{self.agent}/1"

    @property
    def exceptions(self) -> Exceptions:
        return Exceptions.parse(self.allow)

    def limits(self, max_bytes: int | None) -> Limits:
        """Bounds of one fetch of at most `max_bytes`."""
        return Limits(
            connect=self.connect_seconds,
            total=self.total_seconds,
            stall=self.stall_seconds,
            min_speed=self.min_bytes_per_second,
            max_bytes=1 << 62 if max_bytes is None else max_bytes,
            max_ratio=self.max_ratio,
        )

    def pace(self) -> PaceSettings:
        return PaceSettings(
            delay=self.delay,
            concurrency=self.host_concurrency,
            patience=self.patience,
            max_delay=self.max_delay,
        )

    def round(self) -> RoundSettings:
        return RoundSettings(
            agent=self.agent,
            obey_robots=self.obey_robots,
            obey_reservations=self.obey_reservations,
            seconds=self.round_seconds,
            attempts=self.attempts,
        )
