"""YAML 1.2 as a tree that remembers where each value stood, and refuses what can surprise.

Read are the scalars of the YAML 1.2 core schema and nothing more: `no` is Norwegian, `12:30` and
`2026-01-01` are text, `010` is ten. Refused, each with its line and column: anchors and aliases
(a 300 byte file can expand to gigabytes, or contain itself), tags, merge keys, duplicate keys,
several documents, NaN and infinity, more than 1 MiB, more than 32 levels.

The scalars are resolved here from the parser's events rather than by a YAML loader, because
loaders add spellings of their own (`1_000`, `0b1`, dates) and drop positions. The trade-off: about
10 microseconds per node, which settings never notice.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 100_000

Scalar = str | int | float | bool | None

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a file (or the option it came from), line and column from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file of settings."""

    place: Place
    path: str  # dotted: "streams.web.filter.min_snr_db"; "" for the file as a whole
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path + ': ' if self.path else ''}{self.message}"


class SettingsError(ValueError):
    """All that is wrong with a file of settings, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda p: (p.place.file, p.place.line or 0, p.place.column or 0))
        )
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self.problems),)


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A value and its place; of a mapping, the places of its keys too."""

    place: Place
    value: "Scalar | list[Node] | dict[str, Node]"
    keys: dict[str, Place] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, place: Place) -> "Node":
        """The tree of a plain value, as JSON has it, all of it standing at one place."""
        if isinstance(value, Mapping):
            below = {key: cls.of(child, place) for key, child in value.items()}
            return cls(place, below, dict.fromkeys(below, place))
        if isinstance(value, list | tuple):
            return cls(place, [cls.of(child, place) for child in value])
        return cls(place, value)

    def plain(self) -> Any:
        """The value without places, as JSON has it."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, key: str | int) -> "Node | None":
        """The value under a key or at an index, where there is one."""
        if isinstance(self.value, dict):
            return self.value.get(str(key))
        if isinstance(self.value, list) and isinstance(key, int) and -1 < key < len(self.value):
            return self.value[key]
        return None


def shown(value: object, limit: int = 60) -> str:
    """A value for people, as one would write it in YAML; text in quotes, cut to `limit`."""
    text = legible(value if isinstance(value, str) else _words(value), limit)
    return f"'{text}'" if isinstance(value, str) else text


def legible(text: str, limit: int) -> str:
    """A text cut to `limit` characters, with control and invisible characters escaped."""
    safe = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def _words(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(item) for item in value[:20]) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in list(value.items())[:20]) + "}"
    return str(value)


def read(path: str | Path) -> Node:
    """The tree of a file. Raises `SettingsError`, for a file that cannot be read too."""
    name = str(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError([Problem(Place(name), "", f"cannot be read: {reason}")]) from error
    return parse(data, name)


def parse(data: bytes | str, file: str) -> Node:
    """The tree of a text; `file` is the name that errors give. Raises `SettingsError`."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_BYTES:
        _refuse(Place(file), f"is larger than {MAX_BYTES} bytes; settings are short")
    reader = _Reader(file)
    return reader.tree(_text(raw, file))


def _refuse(place: Place, message: str) -> NoReturn:
    raise SettingsError([Problem(place, "", message)])


def _text(raw: bytes, file: str) -> str:
    """UTF-8, with or without a byte order mark, holding printable characters only."""
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        _refuse(_place_after(before, file), f"is not UTF-8 (byte 0x{raw[error.start]:02x})")
    if found := _FORBIDDEN.search(text):
        _refuse(
            _place_after(text[: found.start()], file),
            f"holds the control character U+{ord(found[0]):04X}",
        )
    return text


def _place_after(before: str, file: str) -> Place:
    lines = re.split(r"\r\n|\r|\n", before)
    return Place(file, len(lines), len(lines[-1]) + 1)


class _Reader:
    """Builds the tree from the parser's events, and gathers what is wrong on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.nodes = 0

    def tree(self, text: str) -> Node:
        events = iter(YAML(typ="safe", pure=True).parse(text))
        root: Node | None = None
        try:
            for event in events:
                if isinstance(event, DocumentStartEvent):
                    if root is not None:
                        self._stop(event, "a second document begins; settings are one document")
                    if event.version not in (None, (1, 2)) or event.tags:
                        self._stop(event, "directives are not supported; this is YAML 1.2")
                    root = self._node(next(events), events, 1)
        except MarkedYAMLError as error:
            unclosed = "unexpected end of stream" in (error.problem or "")
            first, second = error.problem_mark, error.context_mark
            self._stop_at((second or first) if unclosed else (first or second), _explain(error))
        except (YAMLError, ValueError) as error:  # ValueError: an escape beyond Unicode
            if isinstance(error, SettingsError):
                raise
            self._stop_at(None, f"is not YAML: {shown(str(error))}")
        if self.problems:
            raise SettingsError(self.problems)
        return root if root is not None else Node(Place(self.file, 1, 1), None)

    def _place(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _note(self, event: Any, message: str) -> None:
        self.problems.append(Problem(self._place(event), "", message))

    def _stop(self, event: Any, message: str) -> NoReturn:
        self._note(event, message)
        raise SettingsError(self.problems)

    def _stop_at(self, mark: Any, message: str) -> NoReturn:
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        raise SettingsError([*self.problems, Problem(place, "", message)])

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._stop(event, f"holds more than {MAX_NODES} values; settings are short")
        if depth > MAX_DEPTH:
            self._stop(event, f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, AliasEvent):
            self._note(event, "aliases are not supported: write the value out here")
            return Node(self._place(event), None)
        if event.anchor is not None:
            self._note(event, f"anchors are not supported: remove {shown('&' + event.anchor)}")
        if event.tag is not None:
            self._note(event, f"tags are not supported: remove {shown(event.tag)}")
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, events, depth)
        if isinstance(event, SequenceStartEvent):
            items = []
            while not isinstance(item := next(events), SequenceEndEvent):
                items.append(self._node(item, events, depth + 1))
            return Node(self._place(event), items)
        return Node(self._place(event), self._scalar(event))

    def _mapping(self, start: Any, events: Iterator[Any], depth: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            key = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if not isinstance(event, ScalarEvent):
                self._note(event, "a key is a word")
                continue
            name: str = event.value
            if name == "<<" and event.style is None:
                self._note(event, "merge keys are not supported: write the keys out")
            elif name in values:
                first = keys[name].line
                self._note(
                    event, f"the key {shown(name)} stands here twice (first in line {first})"
                )
            else:
                values[name], keys[name] = value, key.place
        return Node(self._place(start), values, keys)

    def _scalar(self, event: Any) -> Scalar:
        text: str = event.value
        if _SURROGATE.search(text):
            self._note(event, "holds half of a surrogate pair, which is no character")
        if event.style is not None:  # quoted, or a block
            return text
        if text in WORDS:
            return WORDS[text]
        if _INTEGER.fullmatch(text):
            return self._integer(event, text)
        if _NOT_FINITE.fullmatch(text):
            self._note(event, f"{text} is no setting: numbers are finite")
            return None
        if _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                self._note(event, f"{shown(text)} is too large for a number")
            return number
        return text

    def _integer(self, event: Any, text: str) -> int:
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        number = int(text, base) if len(text) <= 64 else 1 << 64
        if not -(1 << 63) <= number < 1 << 63:
            self._note(event, f"{shown(text)} does not fit into 64 bits")
            return 0
        return number


def _explain(error: MarkedYAMLError) -> str:
    """What the parser says, in words for someone who does not write parsers."""
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "a tab stands where YAML wants spaces"
    if "mapping values are not allowed" in problem:
        return "a second `: ` in one line, or a line indented too far; quote text that holds `: `"
    if "cannot start any token" in problem and (found := re.search(r"character '(.+?)'", problem)):
        return f"a value cannot begin with {found[1]} unless it is quoted"
    if "unexpected end of stream" in problem:
        return "a quote is opened here and never closed"
    context = f"{error.context}: " if error.context else ""
    return legible(f"{context}{problem}", 200)
