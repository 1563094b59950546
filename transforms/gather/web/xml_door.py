"""XML from strangers: bounded, forgiving of what is broken, deaf to what is hostile.

Feeds are often not well-formed, so the parser recovers; entities of a document's own are never
resolved and nothing is ever loaded, so neither a bomb nor a reference to a local file does a thing.
The price: such an entity's text is missing, where a browser would show it.
"""

import io
from collections.abc import Iterator
from typing import Any

MAX_BYTES = 64 << 20


class XmlError(ValueError):
    """A document that cannot be read as XML; the message says why."""


def parsed(body: bytes) -> Any:
    """The root element (lxml). Raises `XmlError` for what is no XML at all, too large, too deep,
    or declares entities of its own."""
    from lxml import etree

    if len(body) > MAX_BYTES:
        raise XmlError(f"{len(body)} bytes of XML; {MAX_BYTES} are read")
    if b"<!ENTITY" in body:
        raise XmlError("it declares entities, as XML bombs do")
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.parse(io.BytesIO(body), parser).getroot()
    except (etree.XMLSyntaxError, ValueError) as error:
        raise XmlError(f"not XML: {error}") from error
    if root is None:
        raise XmlError("not XML: there is no element in it")
    return root


def local(element: Any) -> str:
    """An element's name without its namespace, in lower case; feeds spell them freely."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def namespace(element: Any) -> str:
    """The namespace of an element's name; empty where it has none."""
    tag = element.tag
    return tag[1:].partition("}")[0] if isinstance(tag, str) and tag.startswith("{") else ""


def children(element: Any, name: str) -> Iterator[Any]:
    """The child elements of a name, whatever their namespace."""
    return (child for child in element if local(child) == name)


def text(element: Any | None) -> str:
    """An element's own text, without blanks around it."""
    return "" if element is None or element.text is None else str(element.text).strip()


def first(element: Any, *names: str) -> Any | None:
    """The first child of the first of some names that there is."""
    for name in names:
        found = next(children(element, name), None)
        if found is not None:
            return found
    return None
