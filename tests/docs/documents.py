"""The documents of the repository, cut into what a test can check: fenced blocks, links, headings.

A fence says by its words what becomes of the block:

    ```sh               runs, in a copy of the repository; `exit=2` is the exit code to expect
    ```python           runs there, too; blocks of one document share their names
    ```python file=p    is written to p in the copy (yaml, csv and others alike)
    ```python into=p    is put before the table of engines of p, ```python table=p into that table
    ```text output      is what the block before printed: same lines, other numbers
    ```text             is read by people only
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Whose commands run. The others are generated, or are the README of something else.
RUN = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/writing-recipes.md",
    "docs/adding.md",
    "docs/filtering.md",
    "docs/operating.md",
    "docs/ledger.md",
    "docs/security.md",
    "docs/decisions.md",
    "docs/licences.md",
    "docs/running.md",
    "docs/training.md",
)
LANGUAGES = {"sh", "python", "yaml", "csv", "json", "text"}
WORDS = {"file", "into", "table", "exit", "output"}

_FENCE = re.compile(r"^( *)(`{3,})(.*)$")
_LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"(`+).+?\1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a document."""

    document: str
    line: int  # of its fence
    language: str
    words: dict[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def all_documents() -> list[str]:
    """Every Markdown file of the repository that people read."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    found += ROOT.glob("benchmarks/*.md")
    return sorted({path.relative_to(ROOT).as_posix() for path in found})


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, text: str | None = None) -> list[Block]:
    """The fenced blocks of a document. Raises `ValueError` where a fence is not closed."""
    return list(_blocks(document, read(document) if text is None else text))


def _blocks(document: str, text: str) -> Iterator[Block]:
    begun: tuple[int, str, str, list[str]] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        fence = _FENCE.match(line)
        if begun is None:
            if fence:
                begun = (number, fence[2], fence[3].strip(), [])
        elif fence and fence[2] == begun[1] and not fence[3].strip():
            said = begun[2].split()
            pairs = (word.partition("=") for word in said[1:])
            yield Block(
                document=document,
                line=begun[0],
                language=said[0] if said else "",
                words={key: value for key, _, value in pairs},
                text="\n".join(begun[3]) + "\n",
            )
            begun = None
        else:
            begun[3].append(line)
    if begun is not None:
        raise ValueError(f"{document}:{begun[0]}: the fence is not closed")


def prose(text: str) -> str:
    """The text without its fenced blocks; their lines stay as empty ones."""
    kept, inside = [], ""
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if fence and (not inside or (fence[2] == inside and not fence[3].strip())):
            inside = "" if inside else fence[2]
            kept.append("")
        else:
            kept.append("" if inside else line)
    return "\n".join(kept)


def links(text: str) -> list[tuple[int, str]]:
    """The targets of a text's links, with their lines; code is no link."""
    return [
        (number, target)
        for number, line in enumerate(prose(text).split("\n"), 1)
        for target in _LINK.findall(_CODE.sub("", line))
    ]


def anchors(text: str) -> set[str]:
    """What a link may name behind `#`: the headings as GitHub spells them."""
    found: set[str] = set()
    for line in prose(text).split("\n"):
        heading = re.match(r"#{1,6} (.+)", line)
        if heading:
            plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
            number = sum(1 for name in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", name))
            found.add(slug if not number else f"{slug}-{number}")
    return found


_NUMBER = re.compile(r"-?\d[\d,.:]*")
_HEX = re.compile(r"\b[0-9a-f]{8,64}\b")


def skeleton(text: str, here: str = "") -> list[str]:
    """The lines of an output without what differs from machine to machine: numbers, ids, places.

    "min", "h" and "s" behind numbers go too: a slow machine counts in others.
    """
    found = []
    for line in text.split("\n"):
        plain = line.replace(here, "…") if here else line
        plain = _HEX.sub("#", plain)
        plain = re.sub(r"\d{8}T\d{6}-[0-9a-f]{6}", "#", plain)
        plain = _NUMBER.sub("#", plain)
        plain = re.sub(r"(# (s|min|h|x|MB|GB|kB)\b ?)+", "# ", plain)
        plain = re.sub(r"\s+", " ", plain).strip()
        if plain:
            found.append(plain)
    return found


def missing_line(shown: str, printed: str, here: str = "") -> str | None:
    """The first line of `shown` that `printed` does not hold in its order.

    "..." on a line of its own stands for lines that are not shown, … at the end of a line for the
    rest of it.
    """
    lines = iter(skeleton(printed, here))
    for line in skeleton(shown):
        if line == "...":
            continue
        start = line.removesuffix("…")
        if not any(one.startswith(start) if start != line else one == line for one in lines):
            return line
    return None
