"""How asking for a URL can fail: reason codes, whether asking again may help, and what was seen.

Every code is the reason of a drop or of a dead letter in the frontier, so each is told to people
once, here.
"""

import dataclasses

REASONS: dict[str, str] = {
    "bad_url": "It is not a URL that can be asked for.",
    "scheme": "Only http and https are fetched.",
    "user_info": "URLs with a user name or a password in them are not fetched.",
    "not_public": "The address is private, loopback or otherwise not public, or its port is not "
    "allowed.",
    "robots": "robots.txt asks crawlers not to fetch it.",
    "robots_unreachable": "robots.txt cannot be had now, which means: not now (RFC 9309).",
    "opt_out": "Its owner reserves it from machine learning or from indexing; the detail names "
    "the signal.",
    "suppressed": "It stands in the suppression list.",
    "dns": "The name has no address.",
    "connect": "No connection: refused, reset or unreachable.",
    "tls": "The certificate cannot be trusted, or TLS failed. It is always verified.",
    "timeout": "No answer, or not all of it, within the deadline.",
    "too_slow": "The body came slower than the least speed.",
    "too_large": "The body is larger than the limit.",
    "bomb": "The body unpacks to more than the limit, or far more than it takes on the wire.",
    "incomplete": "The body ended before its announced end.",
    "bad_answer": "The answer breaks HTTP, or is encoded in a way that was not asked for.",
    "redirects": "More redirects than allowed, or a circle of them.",
    "redirect_scheme": "It redirects to something that is neither http nor https.",
    "gone": "The server says that there is nothing (404, 410).",
    "forbidden": "The server asks for a permission that we do not have (401, 403, 407, 451).",
    "busy": "The server asks to slow down or is overloaded (429, 503) each time.",
    "server_error": "The server fails (5xx).",
    "http_status": "The server answers with a status that holds nothing to keep.",
    "wrong_type": "The body is not what was asked for, by its first bytes.",
    "empty": "The body holds no bytes.",
}

TRANSIENT = frozenset(
    ("dns", "connect", "timeout", "too_slow", "incomplete", "busy", "server_error")
)


@dataclasses.dataclass(eq=False)
class FetchError(Exception):
    """A URL that was not fetched; `code` is one of `REASONS`."""

    code: str
    detail: str = ""
    status: int = 0  # of HTTP, where there was one
    retry_after: float | None = None  # seconds that the server asks to wait

    def __post_init__(self) -> None:
        if self.code not in REASONS:
            raise ValueError(f"{self.code!r} is no reason of a failed fetch")
        super().__init__(f"{self.code}: {self.detail}")

    @property
    def transient(self) -> bool:
        """Whether asking again, later, may help."""
        return self.code in TRANSIENT


def of_status(status: int, retry_after: float | None = None) -> FetchError:
    """The failure that an HTTP status other than success means."""
    detail = f"HTTP {status}"
    if status in (404, 410):
        return FetchError("gone", detail, status)
    if status in (401, 403, 407, 451):
        return FetchError("forbidden", detail, status)
    if status in (429, 503):
        return FetchError("busy", detail, status, retry_after)
    if status == 408:
        return FetchError("timeout", detail, status, retry_after)
    if status in (500, 502, 504, 522, 524):
        return FetchError("server_error", detail, status, retry_after)
    return FetchError("http_status", detail, status)
