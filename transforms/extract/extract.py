"""The text of web pages: from a file of HTML, Markdown or plain text, or a table of texts.

Main text, title, date and licence are found by trafilatura in a confined child process
(`transforms.page_door`); what is judged here is the text alone. One file gives one page, a table
one per row; every file and row that gives none is a drop that says why. Equal texts of one file
are one page, for a page's id is its text's digest; copies in other files are select's business.

Trade-off: an extractor that works by rules is fast and the same on every machine, and now and then
takes a menu for prose or a poem for a menu; the filters of text at select judge what comes out.
"""

import importlib.metadata
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import Field

from schemas.ids import bytes_digest, digest_of, stream_digest
from schemas.pages import Page
from schemas.records import Drop, Recording
from transforms.engines.language import ENGINES, LanguageEngine
from transforms.engines.models import ModelError
from transforms.extract import domains, encoding
from transforms.extract.judging import Bounds, Refusal, refusal
from transforms.extract.reading import Asked
from transforms.gather.digests import open_regular
from transforms.gather.page_files import SUFFIXES, PageFormat, page_format
from transforms.page_door import PageDoor
from transforms.step import Phase, RecordStep, Scope

Domains = Annotated[tuple[str, ...], Field(strict=False)] | str
Lists = tuple[frozenset[str] | None, frozenset[str]]  # allowed domains (None: all), and denied ones
_LANGUAGE = re.compile(r"[a-z]{2,3}")
LIBRARIES = ("trafilatura", "lxml", "jusText", "htmldate", "courlan", "markdown-it-py")
JUDGED = 5_000  # characters by which the language is told


class Extracting:
    """What a worker holds for `Extract`: the door, the language engine, the lists of domains.

    Whoever loads it closes it; the child dies with the worker in any case.
    """

    def __init__(
        self,
        door: PageDoor,
        language: LanguageEngine,
        allowed: frozenset[str] | None,
        denied: frozenset[str],
    ) -> None:
        self.door, self.language = door, language
        self.allowed, self.denied = allowed, denied

    def close(self) -> None:
        self.door.close()


class Extract(RecordStep):
    """Web pages to plain text: boilerplate left out, language told, licence kept."""

    phase: ClassVar[Phase] = "extract"
    reasons: ClassVar[dict[str, str]] = {
        "empty": "there is no text in it",
        "too_short": "its text is shorter than `min_characters`",
        "too_long": "its text is longer than `max_characters`",
        "not_text": "it is code, tables, numbers or signs, with too little prose",
        "wrong_language": "its language is none of `languages`",
        "domain_not_allowed": "its address is not below `allow_domains`, or below `deny_domains`",
        "huge_word": "it has a word longer than `max_word_characters`, as data in a page has",
        "binary": "its bytes are those of an image, an archive or the like",
        "encoding": "its bytes are not text in the encoding that it says, or it does not say one",
        "too_large": "it has more bytes than `max_bytes`",
        "bad_row": "a row of a table that cannot be read, or whose cells are not text",
        "bad_column": "a table without a column of text, or with one of another type",
        "broken": "the table, or a row group of it, cannot be read from here on",
        "duplicate": "an earlier row of the same file holds the same text",
        "parser_limit": "the parser gave up inside it: elements nested deeper than 256, or one "
        "text of more than 10 MB",
        "crash": "the reader stumbled over it twice",
        "timeout": "reading it took longer than `deadline_seconds`, twice",
        "memory": "reading it needed more than `memory_mb`, twice",
        "io": "the file cannot be read",
        "changed": "the file does not hold the bytes that were found in it",
        "not_page": "neither its name nor its first bytes say that it is a page",
    }

    min_characters: int = Field(
        default=200, ge=0, description="Shortest text that is kept (characters; ours, ~15 s spoken)"
    )
    max_characters: int | None = Field(
        default=500_000,
        ge=1,
        description="Longest text that is kept (characters; off: any; ours, ~9 hours spoken)",
    )
    max_word_characters: int | None = Field(
        default=1_000,
        ge=1,
        description="Longest word of a page that is kept, parted by blanks or full-width signs "
        "(characters; off: any; ours: a longer one is data)",
    )
    min_prose_share: float | None = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Least share of the text in lines that read as prose, not as code, numbers or "
        "signs (share of characters, 0..1; off: any; ours)",
    )
    languages: Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        default=None,
        description="Languages that are kept, as told from the text, or as a table says (ISO "
        "639-1; off: all)",
    )
    allow_domains: Domains | None = Field(
        default=None,
        description="Domains whose pages are kept: a list, a file of them, or `knowledge`, the "
        "built-in starter list (off: all; a page without a web address is then dropped; SpeLangy "
        "a.3 keeps knowledge-dense domains, which ones is not published)",
    )
    deny_domains: Domains = Field(
        default=(), description="Domains whose pages are dropped: a list, or a file of them (none)"
    )
    include_tables: bool = Field(
        default=False, description="Keep tables of data, a line per row (flag; ours: no, for "
        "nobody reads them aloud; cells that hold prose are kept)",
    )  # fmt: skip
    favour: Literal["precision", "balanced", "recall"] = Field(
        default="balanced",
        description="What the extractor prefers where it is unsure: less text, or more "
        "(trafilatura's default is balanced)",
    )
    fallback_encoding: str | None = Field(
        default=None,
        description="What files that are no UTF-8 and do not say what they are in are read as "
        "(encoding; off: they are dropped, for any guess reads them as something)",
    )
    max_bytes: int = Field(
        default=16 << 20,
        ge=1,
        le=1 << 28,
        description="Largest page, or row of a table (bytes; ours, 16 MiB)",
    )
    deadline_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Time for one page or row (seconds; ours, 100x measured for a large one)",
    )
    memory_mb: int = Field(
        default=1024, ge=512, description="Address space of the reading process (MiB; ours)"
    )

    # what files of domains say: it travels with the step, for a worker may have no such file
    _read: Lists | None = pydantic.PrivateAttr(default=None)

    @pydantic.field_validator("languages")
    @classmethod
    def _codes(cls, languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for one in languages or ():
            if not _LANGUAGE.fullmatch(one):
                raise ValueError(f"a language is written like en or deu, not {one!r}")
        return languages

    @pydantic.field_validator("allow_domains", "deny_domains")
    @classmethod
    def _domains(cls, named: Domains | None) -> Domains | None:
        for one in () if named is None or isinstance(named, str) else named:
            domains.checked(one, "the list")
        return named

    @pydantic.field_validator("fallback_encoding")
    @classmethod
    def _encoding(cls, name: str | None) -> str | None:
        if name is not None and encoding.known(name) is None:
            raise ValueError(f"{name!r} is no encoding of text that is known, such as cp1252")
        return name

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(
                f"max_characters {self.max_characters} is below min_characters "
                f"{self.min_characters}: nothing would be kept"
            )
        return self

    def bound(self, folder: Path) -> Self:
        files = (self.allow_domains, self.deny_domains)
        if not any(isinstance(one, str) and one not in domains.BUILT_IN for one in files):
            return self  # nothing lies anywhere, so steps that say the same are equal
        placed = self.model_copy()
        placed._read = self._lists(folder)
        return placed

    def _lists(self, folder: Path = Path()) -> Lists:
        allowed = self.allow_domains
        return self._read or (
            None if allowed is None else domains.entries(allowed, folder),
            domains.entries(self.deny_domains, folder),
        )

    def fingerprint(self) -> Any:
        """Versions of what reads and tells languages, and what the lists of domains hold."""
        allowed, denied = self._lists()
        return {
            **{name: _version(name) for name in LIBRARIES},
            "language": ENGINES["lid.176"].fingerprint(),
            "allow_domains": domains.fingerprint(self.allow_domains, allowed),
            "deny_domains": domains.fingerprint(self.deny_domains, denied),
        }

    def load(self) -> Extracting:
        """A started door, the language engine and the lists. Whoever loads it closes it."""
        door = PageDoor(self.deadline_seconds, self.memory_mb)
        door.start()
        return Extracting(door, ENGINES["lid.176"](), *self._lists())

    def __call__(
        self, records: Sequence[Recording], model: Extracting, scope: Scope
    ) -> Iterator[Page | Drop]:
        (file,) = records
        if scope.path is None:
            raise ValueError(f"extract needs a path in the scope of {file.id}")
        try:
            changed = _changed(scope.path, file)
            format = _format(scope.path, file)
        except OSError as error:
            yield self._drop(file, file.id, Refusal("io", detail=error.strerror or ""))
            return
        if changed:
            yield self._drop(file, file.id, Refusal("changed", detail=changed))
            return
        if format is None:
            yield self._drop(file, file.id, Refusal("not_page"))
            return
        given, dropped = 0, 0
        for found in self._pages(file, format, model, scope.path):
            given, dropped = given + isinstance(found, Page), dropped + isinstance(found, Drop)
            yield found
        if not given and not dropped:
            yield self._drop(file, file.id, Refusal("empty", detail="a table without rows"))

    def _pages(
        self, file: Recording, format: PageFormat, model: Extracting, path: str
    ) -> Iterator[Page | Drop]:
        asked = Asked(
            format=format,
            url=file.uri if domains.host_of(file.uri) else "",
            favour=self.favour,
            tables=self.include_tables,
            max_bytes=self.max_bytes,
            max_characters=self.max_characters,
            fallback=None if self.fallback_encoding is None
            else encoding.known(self.fallback_encoding),
        )  # fmt: skip
        seen: dict[str, int] = {}
        single = format in ("html", "markdown", "text")
        for answer in model.door.pages(path, asked):
            index = answer["index"]
            whole = single or answer.get("file", False)
            own = file.id if whole else row_id(file.id, index)
            where = "" if whole else f"row {index + 1}" + _named(answer)
            found = self._judged(answer, file, model)
            if isinstance(found, Page) and found.id in seen:
                same = f"{where}, the same as row {seen[found.id] + 1}"
                yield self._drop(file, own, Refusal("duplicate", detail=same))
            elif isinstance(found, Page):
                seen[found.id] = index
                yield found
            else:
                detail = "; ".join(filter(None, (where, found.detail)))
                yield self._drop(
                    file, own, Refusal(found.code, found.score, found.threshold, detail)
                )

    def _judged(self, answer: dict[str, Any], file: Recording, model: Extracting) -> Page | Refusal:
        """The page of an answer, or why it is none."""
        if "code" in answer:
            limits = {"too_long": self.max_characters, "too_large": self.max_bytes}
            limit = limits.get(answer["code"])
            return Refusal(answer["code"], answer.get("score"), limit, answer["detail"])
        text: str = answer["text"]
        uri = address(file.uri, answer.get("uri") or answer.get("url") or "")
        bounds = Bounds(
            min_characters=self.min_characters,
            max_characters=self.max_characters,
            max_word=self.max_word_characters,
            min_prose=self.min_prose_share,
        )
        bad = self._place(uri, model) or refusal(text, answer["left"], bounds)
        if bad is not None:
            return bad
        language, probability = _given_language(answer.get("language")), None
        if language is None:
            guess = model.language.guess([text[:JUDGED]])[0]
            language, probability = guess.language, guess.probability
        if self.languages is not None and language not in self.languages:
            return Refusal("wrong_language", probability, None, language)
        return Page(
            id=bytes_digest(text.encode()),
            root=file.id,
            index=answer["index"],
            uri=uri,
            text=text,
            title=_short(answer.get("title")) or "",
            language=language,
            language_probability=probability,
            date=_short(answer.get("date")),
            licence=_short(answer.get("licence")),
        )

    def _place(self, uri: str, model: Extracting) -> Refusal | None:
        """Why a page's address keeps it out; None: it does not."""
        host = domains.host_of(uri)
        if model.allowed is not None and (host is None or not domains.listed(host, model.allowed)):
            return Refusal("domain_not_allowed", detail=host or "it has no web address")
        entry = domains.listed(host, model.denied) if host else None
        return Refusal("domain_not_allowed", detail=f"{host} is below {entry}") if entry else None

    def _drop(self, file: Recording, own: str, why: Refusal) -> Drop:
        return Drop(
            id=own,
            root=file.id,
            step=self.name(),
            reason=why.code,
            seconds=0.0,
            score=why.score,
            threshold=why.threshold,
            detail=why.detail,
        )


def _version(name: str) -> str:
    """Raises `ModelError` where a library is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as missing:
        raise ModelError("extract", f"needs the Python package {name}: run make setup") from missing


def row_id(file: str, index: int) -> str:
    """The id by which a row of a table leaves."""
    return digest_of("row of pages", file, index)


def address(fetched: str, claimed: str) -> str:
    """The address of a page: what it claims, where nothing that is known contradicts it.

    A page that was fetched is of the host that gave it: it may name another address there, or on
    the host above or below (`www.`), but not elsewhere, or lists of domains could be talked round.
    """
    own, other = domains.host_of(fetched), domains.host_of(claimed)
    if other is None:
        return fetched
    if own is None or own == other or own.endswith("." + other) or other.endswith("." + own):
        return claimed[:8_192]
    return fetched


def _format(path: str, file: Recording) -> PageFormat | None:
    """What the bytes are to be read as: as gather found, else by name and beginning."""
    known = next((format for format in SUFFIXES.values() if format == file.container), None)
    if known is not None:
        return known
    return page_format(path, file.uri)


def _changed(path: str, file: Recording) -> str:
    """How a file differs from what was found in it; empty: it does not."""
    with os.fdopen(open_regular(path), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size != file.size:
            return f"{file.size} bytes became {size}"
        found = stream_digest(stream)
    return "" if found == file.id else f"the sha256 of its bytes is now {found}"


def _given_language(value: str | None) -> str | None:
    """The primary subtag of a language that a table or a head gives; None where it is no code."""
    code = re.split(r"[-_]", (value or "").strip().lower())[0]
    return code if _LANGUAGE.fullmatch(code) else None


def _named(answer: dict[str, Any]) -> str:
    return f" ({answer['id']})" if answer.get("id") else ""


def _short(value: str | None) -> str | None:
    return " ".join(value.split())[:1_000] or None if value else None
