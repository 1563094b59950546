"""Lists of domains that pages are kept of or kept from.

An entry stands for a host and for all below it: `example.org` for `www.example.org` too, `edu` for
every host of that ending. A list is written in the recipe, lies in a file (one entry a line, `#`
begins a remark), or is the one that comes with speechloom, `knowledge`: a starter of our own
choice, for the list behind SpeLangy's Krist set is not published (methods a.3).
"""

import functools
import hashlib
import json
import urllib.parse
from pathlib import Path
from typing import Any

Named = str | tuple[str, ...]
BUILT_IN = {"knowledge": "knowledge_domains.json"}
MAX_ENTRIES = 1_000_000


def entries(named: Named, folder: Path) -> frozenset[str]:
    """The entries of a list: of a recipe's own, of the built-in one, or of a file.

    Raises `ValueError` with the place for what is no list of domains.
    """
    if not isinstance(named, str):
        return frozenset(checked(one, "the recipe") for one in named)
    if named in BUILT_IN:
        groups = built_in(named)["domains"]
        return frozenset(checked(one, named) for group in groups.values() for one in group)
    path = folder / named
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the list of domains {named} cannot be read ({error}); name a file, a list, or the "
            f"built-in {', '.join(BUILT_IN)}"
        ) from error
    found = {
        checked(text, f"{named}:{number}")
        for number, line in enumerate(lines, 1)
        if (text := line.partition("#")[0].strip())
    }
    if not found or len(found) > MAX_ENTRIES:
        raise ValueError(f"{named} names {len(found)} domains; 1 to {MAX_ENTRIES} are taken")
    return frozenset(found)


@functools.cache
def built_in(name: str) -> dict[str, Any]:
    """A list that comes with speechloom: version, about, and domains by kind."""
    text = Path(__file__).with_name(BUILT_IN[name]).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def fingerprint(named: Named | None, found: frozenset[str] | None) -> Any:
    """What a list holds, as a digest; the built-in one has a version too."""
    if named is None or found is None:
        return None
    text = "\n".join(sorted(found))
    version = built_in(named)["version"] if isinstance(named, str) and named in BUILT_IN else None
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "version": version}


def checked(text: str, where: str) -> str:
    """An entry in its one spelling. Raises `ValueError`."""
    plain = text.strip().lower().removeprefix("*.").strip(".")
    try:
        ascii_ = plain.encode("idna").decode("ascii") if plain else ""
    except UnicodeError:
        ascii_ = ""
    allowed = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")
    if not ascii_ or not set(ascii_) <= allowed or ".." in ascii_:
        raise ValueError(f"{where}: {text[:80]!r} is no domain; write example.org or edu")
    return ascii_


def host_of(uri: str) -> str | None:
    """The host of a web address, in ASCII; None where there is none."""
    if not uri.lower().startswith(("http://", "https://")):
        return None
    try:
        host = urllib.parse.urlsplit(uri).hostname or ""
        return host.encode("idna").decode("ascii").lower().rstrip(".") or None
    except (ValueError, UnicodeError):
        return None


def listed(host: str, domains: frozenset[str]) -> str | None:
    """The entry that stands for a host; None: there is none."""
    parts = host.split(".")
    tails = (".".join(parts[first:]) for first in range(len(parts)))
    return next((tail for tail in tails if tail in domains), None)
