"""Read a report back with the standard library's HTML parser."""

from html.parser import HTMLParser

VOID = frozenset({"meta", "br", "link", "rect", "line", "path", "col"})


class Page(HTMLParser):
    """The elements of a page: (tag, attributes, text inside) in document order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.comments: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "elements are left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open[-1]][0] == tag, f"</{tag}> closes another element"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for place in self.open:
            self.elements[place][2].append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def skeleton(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every element with the names of its attributes."""
        return [(tag, tuple(sorted(attributes))) for tag, attributes, _ in self.elements]

    def texts(self, tag: str, class_: str | None = None) -> list[str]:
        """The text of each element of a name and, if given, with a class."""
        return [
            " ".join("".join(parts).split())
            for name, attributes, parts in self.elements
            if name == tag and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]

    def all(self, tag: str, class_: str | None = None) -> list[dict[str, str | None]]:
        """The attributes of each element of a name and, if given, with a class."""
        return [
            attributes
            for name, attributes, _ in self.elements
            if name == tag and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]

    def text(self) -> str:
        """All words of the page."""
        return " ".join("".join(self.elements[0][2]).split())
