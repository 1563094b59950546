"""Opt-outs: the ways in which an owner reserves what they publish, read from all places they stand.

Headers (`X-Robots-Tag`, `TDM-Reservation`), `<meta>` tags, the well-known file of the TDM
reservation protocol, and ai.txt. A signal that speaks to all, or to our agent, counts; one for
somebody else does not. What is not understood is no signal: these are requests for less, and are
few and short. Reading a page's own tags needs its body, so a page's opt-out is seen only after it
was fetched; it is then discarded unread.
"""

import html.parser
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

# noindex: not to be stored for finding; the others speak of learning from it
TOKENS = ("noai", "noimageai", "noml", "noindex", "none")
HEAD = 256 * 1024  # bytes of a page in which its tags are looked for
MAX_RULES = 1_000  # of a tdmrep.json or an ai.txt

_AGENT = re.compile(r"\s*([A-Za-z0-9_-]+)\s*:\s*(.*)", re.DOTALL)
_NOT_AGENTS = frozenset(
    ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
)


def of_headers(headers: Iterable[tuple[str, str]], agent: str) -> str | None:
    """The first opt-out among an answer's headers, as text for people; None: there is none."""
    for name, value in headers:
        lowered = name.lower()
        if lowered == "x-robots-tag":
            token = _token(value, agent)
            if token is not None:
                return f"X-Robots-Tag: {token}"
        elif lowered == "tdm-reservation" and value.strip() == "1":
            return "TDM-Reservation: 1"
    return None


def _token(value: str, agent: str) -> str | None:
    """The opt-out in one X-Robots-Tag: `noai`, `ourbot: noai`, `otherbot: noai` (not for us)."""
    found = _AGENT.fullmatch(value)
    if found is not None and found[1].lower() not in _NOT_AGENTS:
        if found[1].lower() != agent.lower():
            return None
        value = found[2]
    words = [word.strip().lower() for word in value.split(",")]
    return next((token for token in TOKENS if token in words), None)


class _Tags(html.parser.HTMLParser):
    """Collects the `<meta>` tags of a page's head."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            given = {name.lower(): value or "" for name, value in attrs}
            if "name" in given and "content" in given:
                self.found.append((given["name"].strip().lower(), given["content"]))


def of_page(body: bytes, agent: str) -> str | None:
    """The first opt-out among a page's own tags, in its first `HEAD` bytes."""
    tags = _Tags()
    tags.feed(body[:HEAD].decode("latin-1"))
    for name, content in tags.found:
        if name in ("robots", agent.lower()):
            words = [word.strip().lower() for word in content.split(",")]
            token = next((one for one in TOKENS if one in words), None)
            if token is not None:
                return f"meta {name}: {token}"
        if name == "tdm-reservation" and content.strip() == "1":
            return "meta tdm-reservation: 1"
    return None


def of_tdmrep(body: bytes, path: str) -> str | None:
    """The reservation of a path by an origin's /.well-known/tdmrep.json; the first rule that
    matches decides, as its specification says. A file that is not of that form says nothing."""
    try:
        rules: Any = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(rules, list):
        return None
    for rule in rules[:MAX_RULES]:
        if not isinstance(rule, dict) or not isinstance(rule.get("location"), str):
            continue
        if _matches(rule["location"], path):
            reserved = rule.get("tdm-reservation")
            return f"tdmrep.json: {rule['location']}" if reserved in (1, "1") else None
    return None


def of_ai_txt(body: bytes, path: str, agent: str) -> str | None:
    """The refusal of a path by an origin's /ai.txt: records as in robots.txt, with patterns."""
    applies, begun, rules = False, False, 0
    verdict: str | None = None
    longest = -1
    for line in body[: 64 * 1024].decode("utf-8-sig", "replace").splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            continue
        if name == "user-agent":
            applies = (applies and not begun) or value in ("*",) or value.lower() == agent.lower()
            begun = False
        elif name in ("disallow", "allow"):
            begun, rules = True, rules + 1
            if rules > MAX_RULES:
                break
            if applies and value and _matches(value, path) and len(value) > longest:
                longest = len(value)
                verdict = f"ai.txt: Disallow: {value}" if name == "disallow" else None
    return verdict


def _matches(pattern: str, path: str) -> bool:
    """Whether a pattern of `*` and a final `$` matches the beginning of a path."""
    if len(pattern) > 1_000 or pattern.count("*") > 10:
        return False
    whole = pattern.endswith("$")
    parts: Sequence[str] = (pattern[:-1] if whole else pattern).split("*")
    if not parts[0].startswith("/") and parts[0]:
        parts = ["", *parts]  # `mp3` and `.mp3` mean anything that holds them
    at = 0
    for place, part in enumerate(parts):
        if place == 0:
            if not path.startswith(part):
                return False
            at = len(part)
        elif whole and place == len(parts) - 1:
            return len(path) - len(part) >= at and path.endswith(part)
        else:
            found = path.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
    return not whole or at == len(path)
