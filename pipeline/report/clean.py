"""Make strings from data safe to show: no control, bidirectional or unpaired characters.

Only what people see is changed; records and shards keep the text as it is. A bidi override can
make a file name or a transcript read as something else, a C0 or C1 character can drive a terminal.
Joiners (U+200C, U+200D) stay: Persian, Indic scripts and emoji need them. Escaping for HTML,
Markdown or YAML is the business of each renderer.
"""

import unicodedata

_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x2070))
_BREAKS = (0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029)
_INVISIBLE = (0xFEFF, *range(0xFFF9, 0xFFFC))

_LINE: dict[int, str | None] = {
    **{code: None for code in (*range(0x20), *range(0x7F, 0xA0), *_BIDI, *_INVISIBLE)},
    **{code: "\ufffd" for code in (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)},
    **{code: " " for code in _BREAKS},
}
_BLOCK = {code: to for code, to in _LINE.items() if code not in (0x09, 0x0A)}


def line(text: str) -> str:
    """`text` on one line, without control and bidi characters; unpaired surrogates as U+FFFD."""
    return text.translate(_LINE)


def block(text: str) -> str:
    """As `line`, but line feeds and tabs stay (`\\r\\n` and `\\r` become line feeds)."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_BLOCK)


def width(text: str) -> int:
    """Columns of a terminal that `text` takes: wide characters two, combining marks none."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in ("W", "F")
        else 1
        for c in text
    )


def cut(text: str, columns: int) -> str:
    """`text` cut to `columns` terminal columns, with an ellipsis where it was longer."""
    if width(text) <= columns:
        return text
    taken, used = [], 0
    for character in text:
        used += width(character)
        if used > columns - 1:
            break
        taken.append(character)
    return "".join(taken) + "…"


def pad(text: str, columns: int, right: bool = False) -> str:
    """`text` filled with spaces to `columns`, set left or right."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space
