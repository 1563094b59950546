"""Plain values as YAML 1.2 text that `schemas.strict_yaml` reads back to the same values.

For showing people the settings that a run really used: block style, no surprises. Text stands
without quotes only where it is plainly text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.strict_yaml import WORDS

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# Not allowed in YAML, or not to be seen by whoever reads it.
_ESCAPED = re.compile(r"[\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]")


def write(value: Any) -> str:
    """The text of mappings, lists, text, finite numbers, booleans and null; ends with a newline.

    Raises `ValueError` for NaN, infinity and half surrogate pairs, which YAML settings cannot hold.
    """
    text = "\n".join(_lines(value)) + "\n"
    text.encode()  # half of a surrogate pair raises UnicodeEncodeError, a ValueError
    return text


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _entry(f"{_text(str(key))}:", child, "  ")
    elif isinstance(value, list | tuple) and value and not _flat(value):
        for child in value:
            yield from _entry("-", child, "  ")
    else:
        yield flow(value)


def _entry(head: str, child: Any, indent: str) -> Iterator[str]:
    nested = isinstance(child, Mapping | list | tuple) and len(child) > 0 and not _flat(child)
    if not nested:
        yield f"{head} {flow(child)}"
        return
    lines = list(_lines(child))
    if head == "-":
        yield f"- {lines[0]}"
        lines = lines[1:]
    else:
        yield head
    yield from (indent + line for line in lines)


def _flat(value: Any) -> bool:
    """Whether a value is best shown in one line: a list of single values."""
    return isinstance(value, list | tuple) and not any(
        isinstance(item, Mapping | list | tuple) for item in value
    )


def flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value, allow_nan=False)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text not in WORDS:
        return text
    return _ESCAPED.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
