"""The main text of an HTML page, by trafilatura, with what the page says of itself.

Its tree is read rather than its text, which drops the joiners that Persian, Hindi and emoji are
written with. Code and tables of data are left out and counted: nobody reads them aloud. A table
that a page is laid out by keeps the cells that hold prose. The date is what the page claims; no
clock of ours is asked for it.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

Favour = Literal["precision", "balanced", "recall"]

LATEST = "2100-01-01"  # for htmldate, which would otherwise ask the clock
CELL_WORDS = 25  # a cell of a table with so many words is prose
_CC = re.compile(
    r"//(?:www\.)?creativecommons\.org/"
    r"(licenses/[a-z+-]{2,24}/\d\.\d(?:/[a-z]{2,5}(?=/|$))?|publicdomain/(?:zero|mark)/1\.0)",
    re.IGNORECASE,
)
_META = ("dcterms.license", "dc.rights", "dcterms.rights", "license", "licence")
_BLOCKS = ("p", "head", "quote", "list", "item", "table", "row", "cell", "code", "div", "fw")
_SKIPPED = ("graphic", "comments")


class ParserLimit(ValueError):
    """The parser gave up inside the page: what it has read is not the whole of it."""


def page_of(
    text: str, url: str, favour: Favour, tables: bool
) -> tuple[list[str], int, dict[str, str]]:
    """Paragraphs, characters left out, and title, date, uri and licence as far as the page says.

    Raises `ParserLimit`, and whatever the library raises for a page that it stumbles over.
    """
    import trafilatura

    tree = trafilatura.load_html(text)
    if tree is None:
        return [], 0, {}
    if trouble := _given_up(tree):
        raise ParserLimit(trouble)
    licence = licence_of(tree)
    found: Any = trafilatura.bare_extraction(
        tree,
        url=url or None,
        favor_precision=favour == "precision",
        favor_recall=favour == "recall",
        include_comments=False,
        include_tables=True,
        with_metadata=True,
        date_extraction_params={
            "original_date": True,
            "extensive_search": False,
            "max_date": LATEST,
        },
    )
    if found is None or found.body is None:
        return [], 0, {}
    walk = _Walk(tables)
    blocks = list(walk.blocks(found.body))
    told = {"title": found.title, "date": found.date, "uri": found.url, "licence": licence}
    return blocks, walk.left, {name: str(value) for name, value in told.items() if value}


def _given_up(tree: Any) -> str | None:
    """What the parser said as it gave up: too deep (256 elements), or 10 MB in one text."""
    parser = tree.getroottree().parser
    log = () if parser is None else parser.error_log
    return next((str(one.message) for one in log if one.type_name == "ERR_RESOURCE_LIMIT"), None)


class _Walk:
    """The blocks of a body in order; `left` counts what is not said."""

    def __init__(self, tables: bool) -> None:
        self.tables = tables
        self.left = 0

    def blocks(self, element: Any) -> Iterator[str]:
        """Paragraphs inside an element that is a container."""
        loose = [element.text or ""]
        for child in element:
            if child.tag in _BLOCKS and not self._inline_code(child):
                yield "".join(loose)
                loose = []
                yield from self._block(child)
            elif child.tag not in _SKIPPED:
                loose.append(self._said(child))
            loose.append(child.tail or "")
        yield "".join(loose)

    def _block(self, element: Any) -> Iterator[str]:
        if element.tag == "code":
            self.left += len(_letters(element))
        elif element.tag == "list":
            yield "\n".join(" ".join(self._said(item).split()) for item in element)
        elif element.tag == "table":
            yield from self._table(element)
        else:
            yield from self.blocks(element)

    def _table(self, element: Any) -> Iterator[str]:
        rows: list[str] = []
        for row in element.iter("row"):
            cells = [" ".join(self._said(cell).split()) for cell in row.iter("cell")]
            if any(len(cell.split()) >= CELL_WORDS for cell in cells):
                yield "\n".join(rows)
                rows = []
                yield from cells
            elif self.tables:
                rows.append("; ".join(filter(None, cells)))
            else:
                self.left += sum(map(len, cells))
        yield "\n".join(rows)

    def _said(self, element: Any) -> str:
        """The text of an inline element or an item, without code blocks."""
        if element.tag == "lb":
            return "\n"
        if element.tag in _SKIPPED:
            return ""
        if element.tag == "code" and not self._inline_code(element):
            self.left += len(_letters(element))
            return ""
        parts = [element.text or ""]
        for child in element:
            apart = " " if child.tag in _BLOCKS and child.tag != "code" else ""
            parts += [apart, self._said(child), apart, child.tail or ""]
        return "".join(parts)

    @staticmethod
    def _inline_code(element: Any) -> bool:
        """A name or a short term inside a sentence, as opposed to a block of code."""
        text = _letters(element)
        within = element.getparent()
        alone = within is None or within.tag in ("body", "code", "div", "quote")
        return element.tag == "code" and not alone and "\n" not in text and len(text) <= 60


def _letters(element: Any) -> str:
    return "".join(element.itertext())


def licence_of(tree: Any) -> str | None:
    """The one licence that a page names: a Creative Commons link, else `rel`, else its meta tags.

    Creative Commons licences in one spelling, whatever translation of the deed is linked. None
    where a page names several, for instance that of a picture: which of them is the text's would be
    a guess, and a wrong one worse than none.
    """
    links = [(one, (one.get("href") or "").strip()) for one in tree.iter("a", "link")]
    by_rel = {to for one, to in links if to and "license" in (one.get("rel") or "").lower().split()}
    by_meta = {
        (one.get("content") or "").strip()
        for one in tree.iter("meta")
        if (one.get("name") or one.get("property") or "").lower() in _META
    } - {""}
    named = [to for _, to in links] + sorted(by_meta)
    commons = {of_commons(found) for found in map(_CC.search, named) if found}
    for kind in (commons, by_rel, by_meta):
        if kind:
            return str(kind.pop())[:1000] if len(kind) == 1 else None
    return None


def of_commons(found: re.Match[str]) -> str:
    """The one spelling of a Creative Commons licence."""
    return f"https://creativecommons.org/{found[1].lower()}/"
