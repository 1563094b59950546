"""HTML by construction: every string is escaped unless this module made it.

`tag()` is the only way to make markup, so no renderer can forget to escape; it also refuses what a
report must never hold (links that lead out, scripts, handlers). Cheaper to trust than a template.
"""

import html
import re
from collections.abc import Iterable

from pipeline.report import clean

_VOID = frozenset({"meta", "br", "link", "rect", "line", "path", "col"})
_FORBIDDEN = frozenset({"script", "iframe", "object", "embed", "base", "form"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
_AUDIO = re.compile(r"data:audio/flac;base64,[A-Za-z0-9+/]*={0,2}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | Html | None
Attribute = str | int | float | bool | None


def escape(text: str) -> Html:
    """`text` as it stands between tags or inside a quoted attribute."""
    return Html(html.escape(clean.line(text), quote=True))


def preformatted(text: str) -> Html:
    """As `escape`, with its lines kept."""
    return Html(html.escape(clean.block(text), quote=True))


def join(parts: Iterable[Child], between: str = "") -> Html:
    """Parts one after the other; strings are escaped."""
    return Html(
        between.join(
            part if isinstance(part, Html) else escape(part) for part in parts if part is not None
        )
    )


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """One element. Underscores in attribute names are hyphens, a last one is dropped (`class_`).

    `None` and `False` leave an attribute out, `True` writes its name alone.
    """
    if name in _FORBIDDEN or not _NAME.fullmatch(name):
        raise ValueError(f"a report holds no <{name}>")
    head = name + "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{head}>" if name in ("meta", "br", "link", "col") else f"<{head}/>")
    return Html(f"<{head}>{join(children)}</{name}>")


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if not _NAME.fullmatch(name) or name.lower().startswith("on"):
        raise ValueError(f"a report has no attribute {name!r}")
    if value is True:
        return f" {name}"
    text = str(value)
    if name == "src":
        if not _AUDIO.fullmatch(text):
            raise ValueError(f"a report plays only FLAC that it holds itself, not {text[:40]!r}")
        return f' src="{text}"'
    if name == "href" and not re.fullmatch(r"#[a-z0-9-]+|data:,", text):
        raise ValueError(f"a report links only into itself, not to {text!r}")
    return f' {name}="{escape(text)}"'


def language(code: str) -> str | None:
    """`code` where it can be a `lang` attribute (the shape of a BCP 47 tag)."""
    return code if _LANGUAGE.fullmatch(code) else None
