"""URLs: which are taken at all, and one spelling for those that ask for the same thing.

Canonical means: scheme and host in lower case, host in its ASCII form, no default port, no
fragment, dot segments resolved, percent-encoding in upper case and only where it is needed, an
empty path written `/`. The query is left in its order, for order may carry meaning. Two spellings
of one URL thus meet once in the frontier; two URLs of one thing do not, and are recognised by the
digest of what they gave. Idempotent: the canonical form of a canonical form is itself.
"""

import dataclasses
import functools
import re
import urllib.parse

import idna

MAX_URL = 8_192  # characters; servers refuse longer ones
SCHEMES = {"http": 80, "https": 443}

_CONTROLS = re.compile(r"[\x00-\x20\x7f]")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PATH, _QUERY = "/:@!$&'()*+,;=%~", "/:@!$&'()*+,;=%~?"


class UrlError(ValueError):
    """A URL that is not taken; `code` is the reason of its drop."""

    def __init__(self, code: str, url: str, why: str) -> None:
        self.code, self.why = code, why
        super().__init__(f"{shown(url)}: {why}")


@dataclasses.dataclass(frozen=True, slots=True)
class Url:
    """A canonical URL and the parts that decisions are made by."""

    text: str
    scheme: str
    host: str  # ASCII, lower case; an IPv6 address without brackets
    port: int
    target: str  # path and query: what robots.txt speaks of

    @property
    def origin(self) -> str:
        """Scheme, host and port: what shares one robots.txt."""
        return self.text[: -len(self.target)]


def canonical(text: str, base: str | None = None) -> Url:
    """The canonical form of a URL, or of a reference found in the document `base`.

    Raises `UrlError` with code `bad_url`, `scheme` or `user_info`.
    """
    if len(text) > MAX_URL:
        raise UrlError("bad_url", text, f"{len(text)} characters; {MAX_URL} are taken")
    # what browsers do with blanks around a link and line breaks within it
    text = re.sub(r"[\t\r\n]", "", text.strip(" \t\r\n\f"))
    try:
        joined = urllib.parse.urljoin(base, text) if base is not None else text
        parts = urllib.parse.urlsplit(joined)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise UrlError("bad_url", text, str(error)) from error
    if parts.scheme not in SCHEMES:
        named = f"scheme {parts.scheme!r}" if parts.scheme else "no scheme"
        raise UrlError("scheme", text, f"{named}; only http and https are fetched")
    if "@" in parts.netloc:
        raise UrlError("user_info", text, "a URL with a user or a password in it is not fetched")
    host = _host(host, text)
    if port == 0:
        raise UrlError("bad_url", text, "port 0")
    number = SCHEMES[parts.scheme] if port is None else port
    path = _dotless(_encoded(parts.path, _PATH)) or "/"
    query = _encoded(parts.query, _QUERY)
    target = path + (f"?{query}" if query else "")
    named = f"[{host}]" if ":" in host else host
    default = SCHEMES[parts.scheme] == number
    whole = f"{parts.scheme}://{named}{'' if default else f':{number}'}{target}"
    if len(whole) > MAX_URL:
        raise UrlError("bad_url", text, f"{len(whole)} characters; {MAX_URL} are taken")
    return Url(whole, parts.scheme, host, number, target)


def of_canonical(text: str) -> Url:
    """The parts of a URL that is canonical already, as rows of the frontier are."""
    end = text.index("/", len("https://"))  # no host is empty, so neither scheme ends beyond it
    return Url(text, *_authority(text[:end]), text[end:])


def host_of_canonical(text: str) -> str:
    """The host of a URL that is canonical already; an IPv6 address without brackets."""
    return _authority(text[: text.index("/", len("https://"))])[1]


@functools.lru_cache(maxsize=4096)  # a queue asks for those of few hosts, URL after URL
def _authority(origin: str) -> tuple[str, str, int]:
    """Scheme, host and port of a canonical origin."""
    scheme, _, authority = origin.partition("://")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):  # no port; an IPv6 address has colons of its own
        host, port = authority, ""
    number = int(port) if port else SCHEMES[scheme]
    return scheme, host.removeprefix("[").removesuffix("]"), number


def shown(url: str) -> str:
    """A URL for logs and records: no user or password, no control characters, not endless."""
    cleaned = _CONTROLS.sub("?", url)
    head, mark, rest = cleaned.partition("//")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    netloc = rest[:end]
    if mark and "@" in netloc:
        rest = "***@" + netloc.rpartition("@")[2] + rest[end:]
    cleaned = head + mark + rest
    return cleaned if len(cleaned) <= 200 else cleaned[:197] + "..."


def _host(host: str, text: str) -> str:
    """A host in lower-case ASCII. Raises `UrlError` for what cannot be the name of one."""
    if ":" in host:  # urlsplit has taken it out of brackets and checked it
        if "%" in host:
            raise UrlError("bad_url", text, "an address with a zone")
        return host.lower()
    host = host.rstrip(".").lower() if host not in (".", "") else ""
    if not host:
        raise UrlError("bad_url", text, "no host")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise UrlError("bad_url", text, f"host: {error}") from error
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise UrlError("bad_url", text, f"host {host[:80]!r} is not a name")
    return host


def _encoded(text: str, safe: str) -> str:
    """Percent-encoding in one form: upper case, none for unreserved characters, UTF-8 else."""
    text = _STRAY.sub("%25", text)

    def one(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if character in _UNRESERVED else f"%{found[1].upper()}"

    return urllib.parse.quote(_ENCODED.sub(one, text), safe=safe, errors="replace")


def _dotless(path: str) -> str:
    """A path without `.` and `..` (RFC 3986, 5.2.4); it never climbs above the root."""
    found: list[str] = []
    pieces = path.split("/")[1:] if path.startswith("/") else path.split("/")
    for place, piece in enumerate(pieces):
        last = place == len(pieces) - 1
        if piece == "..":
            if found:
                found.pop()
            if last:
                found.append("")
        elif piece == ".":
            if last:
                found.append("")
        else:
            found.append(piece)
    return "/" + "/".join(found)
