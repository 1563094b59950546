"""The nouns of web text on its way to speech: a page, what is to be said of it, and by whom.

    Page      the text that was extracted from a file or a row          extract
    Script    what is to be said, line by line, each by one role        rewrite, question
    Utterance one chunk of a line: the audio or the text of a document  chunk
    Clip      the same once it has been spoken (`schemas.records`)      speak, verify

A page's id is a digest of its text, so copies of a page on many sites are one page, and what is
held out of training by page is held out wherever it was found.

A clip of a page has the page's id as its `task` and as its `recording`, so the clips of a page are
one document's, and a split by recording is one by page. `channel` is the place of its script among
the page's scripts, times run along that channel. An utterance that is not spoken is a clip of no
length (start == end, no audio): text between speech.
"""

import dataclasses
import re

from schemas.ids import digest_of
from schemas.records import RecordError

_ID = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")
READER, ASKER, ANSWERER = "reader", "asker", "answerer"


def _check_ids(record: object, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if not _ID.fullmatch(value):
            raise RecordError(f"{type(record).__name__}: {name} {value!r} is not 32 or 64 hex")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Extracted text of one web page or one row of a table; paragraphs parted by a blank line."""

    id: str  # sha256 of the text (UTF-8, NFC), 64 digits
    root: str  # the bytes it came from: id of the file as gather knows it
    index: int  # place among the pages of those bytes
    uri: str  # the page's own address where known, else the file's
    text: str
    title: str = ""
    language: str | None = None
    language_probability: float | None = None  # None: given, not detected
    date: str | None = None  # ISO 8601 as the page claims it
    licence: str | None = None

    def __post_init__(self) -> None:
        _check_ids(self, "id", "root")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What one role says without a break in a script."""

    role: str  # reader | asker | answerer
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What is to be said of a page: the page itself (one reader), or a question and its answer."""

    id: str
    page: str
    kind: str  # "page" | "rewrite" | "question": the last step that wrote it
    language: str | None
    lines: tuple[Line, ...]
    quality: str = "normal"  # "smoke": made by rules in place of a model (see Transcript.quality)
    engine: str = ""  # what wrote it, with its model; "" for the page's own text
    options: tuple[str, ...] = ()  # wrong answers to its question; its last line is the right one

    def __post_init__(self) -> None:
        _check_ids(self, "id", "page")
        if not self.lines:
            raise RecordError(f"Script {self.id} has no lines")


def script_id(page: str, kind: str, index: int, lines: tuple[Line, ...]) -> str:
    """The id of a script: a digest of its page, of how it was made, and of what it says."""
    return digest_of("script", page, kind, index, *[[line.role, line.text] for line in lines])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One chunk of a script: said by one voice, or left as text between spoken ones.

    The texts of a script's utterances, in the order of `index`, hold every word of its lines once.
    """

    id: str
    page: str
    script: str
    index: int  # place among the script's utterances
    line: int  # place of its line in the script
    role: str
    text: str  # as it stands in the document
    language: str | None
    spoken: bool = True  # False: stays text (Zeng's spans: methods e.1)
    said: str | None = None  # what the voice reads where that differs: "five per cent" for "5 %"
    quality: str = "normal"

    def __post_init__(self) -> None:
        _check_ids(self, "id", "page", "script")


def utterance_id(script: str, index: int, text: str, spoken: bool) -> str:
    """The id of an utterance; its voice is drawn by it."""
    return digest_of("utterance", script, index, text, spoken)
