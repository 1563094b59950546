"""What a row of a table gives: a path, and what its owner knows of the file.

Columns: one of audio, path, uri, file; then text or cues, speaker, licence (or license), language,
channel, feed. `cues` names a WebVTT or SubRip file that says what is said when (`cue_files`);
`feed` what must not be parted by splits: a show, a series, a book.
Nothing is guessed: an unknown column is an error that names the nearest known one, unless its name
begins with x_ or the recipe ignores it. An empty cell, or one of blanks, is a value not given.
"""

import dataclasses
import difflib
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.ids import digest_of
from transforms.gather.found import DataError, shown
from transforms.gather.table import rows

PATHS = ("audio", "path", "uri", "file")
LICENCES = ("licence", "license")
OTHERS = ("text", "cues", "speaker", "language", "channel", "feed")
KNOWN = (*PATHS, *OTHERS, *LICENCES)

MAX_TEXT = 100_000  # characters; near 2 hours of speech at 15 a second
MAX_NAME = 1_000  # characters of a speaker or a licence
MAX_PATH = 4_096  # characters; the system's PATH_MAX
MAX_CHANNEL = 255

_ALSO_CALLED = {
    "audio": ("audio_filepath", "audio_file", "audio_path", "filename", "file_name", "filepath"),
    "text": ("transcript", "transcription", "sentence", "caption", "normalized_text"),
    "cues": ("subtitles", "captions", "vtt", "srt", "webvtt", "transcript_file"),
    "speaker": ("speaker_id", "client_id", "voice", "spk"),
    "language": ("lang", "locale", "language_id"),
    "feed": ("show", "podcast", "series", "program", "programme", "group", "book"),
}
_SPANS = frozenset({"start", "end", "begin", "offset", "start_time", "end_time", "segment"})
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """One row, checked."""

    place: int
    path: str  # as the table says it: relative to the table's folder, or absolute
    text: str | None = None
    speaker: str | None = None
    licence: str | None = None
    language: str | None = None
    channel: int | None = None
    cues: str | None = None  # a path, as `path`
    feed: str | None = None

    def digest(self) -> str:
        """Equal for rows that say the same, wherever they stand."""
        path = self.path.encode("utf-8", "surrogateescape").hex()
        others = (self.text, self.speaker, self.licence, self.language, self.channel)
        cues = [self.cues.encode("utf-8", "surrogateescape").hex()] if self.cues else []
        feed = [["feed", self.feed]] if self.feed else []
        return digest_of("row", path, *others, *cues, *feed)


def given(table: str, ignore: Sequence[str]) -> Iterator[Given]:
    """The rows of a table. Raises `DataError` with the line for anything that is not right."""

    def check(where: str, columns: Sequence[str]) -> list[str]:
        return _columns(where, columns, frozenset(ignore))

    for place, values in rows(table, check):
        yield _given(f"{shown(table)}:{place}", place, values)


def _columns(where: str, columns: Sequence[str], ignore: frozenset[str]) -> list[str]:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(where, f"column {twice[0]!r} stands twice", "Rename one of them.")
    used = [name for name in columns if name not in ignore and not name.startswith("x_")]
    for name in used:
        if name not in KNOWN:
            raise DataError(where, *_unknown(name))
    for names in (PATHS, LICENCES):
        several = [name for name in used if name in names]
        if len(several) > 1:
            raise DataError(
                where,
                f"columns {several[0]!r} and {several[1]!r} mean the same",
                f"Rename one to x_{several[1]}, or name it in the setting ignore_columns.",
            )
    if not any(name in PATHS for name in used):
        raise DataError(
            where, "no column names the files", f"Call that column one of {', '.join(PATHS)}."
        )
    return used


def _unknown(name: str) -> tuple[str, str]:
    way_out = f"rename it to x_{name}, or name it in the setting ignore_columns, to ignore it."
    plain = name.strip().lower()
    if plain in _SPANS:
        return (
            f"column {name!r} is not supported: a row is a whole file, never a stretch of one",
            f"Cut the files first; or {way_out}",
        )
    nearest = next((known for known, names in _ALSO_CALLED.items() if plain in names), None)
    if nearest is None:
        close = difflib.get_close_matches(plain, KNOWN, n=1, cutoff=0.6)
        nearest = close[0] if close else None
    hint = f"Did you mean {nearest!r}? Else" if nearest else f"Known are {', '.join(KNOWN)};"
    return f"unknown column {name!r}", f"{hint} {way_out}"


def _given(where: str, place: int, values: dict[str, Any]) -> Given:
    name = next((key for key in values if key in PATHS), "")
    path = checked_text(where, name, values.get(name), MAX_PATH)
    if path is None:
        raise DataError(where, f"column {name!r} is empty", "Each row names a file.")
    licence = next((key for key in values if key in LICENCES), "licence")
    cues = checked_text(where, "cues", values.get("cues"), MAX_PATH)
    if cues is not None and (values.get("text") or "").strip():
        raise DataError(
            where,
            "both text and cues are given",
            "Leave one of them empty: cues say the words and when they are said.",
        )
    return Given(
        place=place,
        path=_local(where, name, path),
        text=checked_text(where, "text", values.get("text"), MAX_TEXT),
        speaker=checked_text(where, "speaker", values.get("speaker"), MAX_NAME),
        licence=checked_text(where, licence, values.get(licence), MAX_NAME),
        language=checked_language(where, values.get("language")),
        channel=checked_channel(where, values.get("channel")),
        cues=None if cues is None else _local(where, "cues", cues),
        feed=checked_text(where, "feed", values.get("feed"), MAX_NAME),
    )


def checked_text(where: str, name: str, value: Any, limit: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(
            where, f"column {name!r} holds {type(value).__name__}, not a string", 'Write it "...".'
        )
    if len(value) > limit:
        raise DataError(
            where, f"column {name!r} holds {len(value)} characters, at most {limit}", "Shorten it."
        )
    if "\0" in value:
        raise DataError(where, f"column {name!r} holds a NUL character", "Remove it.")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(
            where,
            f"column {name!r} holds half a surrogate pair, which is not text",
            "Write real characters; a file name of other bytes can stand in the column uri, "
            "percent-encoded, as file:///...",
        )
    return value if value.strip() else None


def _local(where: str, name: str, path: str) -> str:
    scheme = _SCHEME.match(path)
    if scheme is None:
        return path
    if scheme[1].lower() != "file" or name != "uri":
        fix = "Fetch the files first and name them by local paths; file: belongs in the column uri."
        raise DataError(where, f"{path[:80]!r} is not a local path", fix)
    parts = urllib.parse.urlsplit(path)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise DataError(
            where,
            f"{path[:80]!r} is not a plain file: uri",
            "Write file:///folder/name, with ? and # percent-encoded.",
        )
    raw = urllib.parse.unquote_to_bytes(parts.path)
    if b"\0" in raw:
        raise DataError(where, f"column {name!r} holds a NUL character", "Remove it.")
    return raw.decode("utf-8", "surrogateescape")


def checked_language(where: str, value: Any) -> str | None:
    language = checked_text(where, "language", value, MAX_NAME)
    if language is not None and not _LANGUAGE.fullmatch(language):
        raise DataError(
            where, f"{language[:80]!r} is not a language code", "Write it like en, fr or pt-BR."
        )
    return language


def checked_channel(where: str, value: Any) -> int | None:
    """A whole number from 0; digits of a text table count as one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 3:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_CHANNEL:
        raise DataError(
            where,
            f"channel {str(value)[:80]!r} is not a whole number from 0 to {MAX_CHANNEL}",
            "The first channel is 0; leave it empty for all channels.",
        )
    return value
