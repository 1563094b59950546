"""Licence names as people write them to the identifiers that data hubs know.

Only an exact reading counts (letters and digits alone are compared): a licence that is nearly known
is not known, and the card then says `other` with the words as they were given.
"""

_KNOWN = [
    "apache-2.0",
    "mit",
    "cc0-1.0",
    "cc-by-2.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "odc-by",
    "odbl",
    "pddl",
    "gpl-3.0",
    "lgpl-3.0",
    "agpl-3.0",
    "bsd-3-clause",
]
_ALIASES = {"cc0": "cc0-1.0", "apache2": "apache-2.0", "odcby10": "odc-by", "odbl10": "odbl"}


def _bare(name: str) -> str:
    return "".join(c for c in name.lower() if c.isascii() and c.isalnum())


_BY_BARE = {**{_bare(name): name for name in _KNOWN}, **_ALIASES}


def identifier(name: str) -> str | None:
    """The hub's identifier of a licence, or None where it has none."""
    return _BY_BARE.get(_bare(name))
