"""Markdown as paragraphs of plain text: what a reader would say aloud of it.

Parsed by markdown-it-py (CommonMark), for what is emphasis and what is an asterisk is no matter of
regular expressions. Code and raw HTML are left out and counted; a list keeps one line per item.
"""

import re
from typing import Any

_FRONT = re.compile(r"\A---[ \t]*\n(.{0,8192}?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
_PLAIN = re.compile(r"^(title|date|lang|language|licence|license):[ \t]*(\S.*?)[ \t]*$", re.M)


def parser() -> Any:
    """The parser, built once."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def blocks_of(text: str, parse: Any, tables: bool) -> tuple[list[str], int, dict[str, str]]:
    """Paragraphs, characters of code and tables that were left out, and what the head says."""
    front = _FRONT.match(text)
    said = dict(_PLAIN.findall(front[1] or "")) if front else {}
    found: list[str] = []
    left, inside = 0, {"list": 0, "table": 0}
    lines: list[str] = []
    cells: list[str] = []
    for token in parse.parse(text[front.end() :] if front else text):
        kind, _, end = token.type.rpartition("_")
        thing = "list" if kind in ("bullet_list", "ordered_list") else kind
        if token.type in ("fence", "code_block", "html_block"):
            left += len(token.content)
        elif token.type == "inline":
            line = _inline(token)
            if inside["table"]:
                cells.append(line)
            elif inside["list"]:
                lines.append(line)
            else:
                found.append(line)
        elif kind == "tr" and end == "close":
            row = "; ".join(filter(None, cells))
            left += 0 if tables else len(row)
            lines += [row] if tables else []
            cells = []
        elif thing in inside and end in ("open", "close"):
            inside[thing] += 1 if end == "open" else -1
            if not any(inside.values()) and lines:
                found.append("\n".join(lines))
                lines = []
    said = {name: value.strip("\"'") for name, value in said.items()}
    return found, left, said


def _inline(token: Any) -> str:
    parts = []
    for child in token.children or ():
        if child.type in ("text", "code_inline", "image"):
            parts.append(child.content)
        elif child.type == "softbreak":
            parts.append(" ")
        elif child.type == "hardbreak":
            parts.append("\n")
    return "".join(parts)
