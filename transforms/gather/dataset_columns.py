"""Which columns of a data set are taken: its audio, and what is said of it.

Audio is known by its type, the rest by the names that our tables know, or by a setting. Others are
ignored, unlike in a table: data sets of strangers have dozens of columns, and nobody can rename
them. So what is ignored is told once in the log, and a misspelt setting is an error.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pydantic
from pydantic import Field

from transforms.gather.found import DataError
from transforms.gather.given import (
    LICENCES,
    MAX_NAME,
    MAX_TEXT,
    checked_channel,
    checked_language,
    checked_text,
)

Kind = Literal["audio", "string", "integer", "label", "other"]
FIELDS: dict[str, tuple[Kind, ...]] = {
    "text": ("string",),
    "speaker": ("string", "integer", "label"),
    "language": ("string", "label"),
    "licence": ("string", "label"),
    "channel": ("integer",),
    "feed": ("string", "integer", "label"),
}


class DatasetSettings(pydantic.BaseModel):
    """What is taken of a Hugging Face dataset."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")

    config: str | None = Field(
        default=None, description="Configuration of the data set (off: its only one)."
    )
    split: str | None = Field(default=None, description="Split to take (off: all, in order).")
    audio: str | None = Field(
        default=None, description="Column of audio (off: the only one of that type)."
    )
    text: str | None = Field(
        default=None,
        description="Column of the given text; a.b is the field b of the column a (off: text).",
    )
    speaker: str | None = Field(default=None, description="Column of speakers (off: speaker).")
    language: str | None = Field(default=None, description="Column of languages (off: language).")
    licence: str | None = Field(
        default=None, description="Column of licences (off: licence or license)."
    )
    channel: str | None = Field(
        default=None, description="Column of channels, counted from 0 (off: channel)."
    )
    feed: str | None = Field(
        default=None, description="Column of what splits must not part (off: feed)."
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The columns that are taken of a data set."""

    audio: str
    given: tuple[tuple[str, str], ...]  # field of a source, column
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()  # column, names of its numbers
    ignored: tuple[str, ...] = ()


def chosen(
    where: str,
    kinds: Mapping[str, Kind],
    labels: Mapping[str, tuple[str, ...]],
    settings: DatasetSettings,
    ignore: Sequence[str],
) -> Columns:
    """The columns to take of those there are, by their kinds. Raises `DataError`."""
    audio = _audio(where, kinds, settings.audio)
    given = {}
    for field, fit in FIELDS.items():
        column = _column(where, field, kinds, getattr(settings, field), ignore)
        if column is None:
            continue
        if kinds[column] not in fit:
            raise DataError(
                where,
                f"column {column!r} is to give the {field}, and holds no {' or '.join(fit)}",
                f"Choose another by crawl.dataset.{field}, or name it in crawl.ignore_columns.",
            )
        given[field] = column
    taken = {audio, *given.values()}
    return Columns(
        audio=audio,
        given=tuple(given.items()),
        labels=tuple((name, labels[name]) for name in given.values() if name in labels),
        ignored=tuple(name for name in kinds if name not in taken),
    )


def _audio(where: str, kinds: Mapping[str, Kind], named: str | None) -> str:
    if named is not None:
        return _there(where, "audio", kinds, named)
    found = [name for name, kind in kinds.items() if kind == "audio"]
    if not found:
        raise DataError(
            where,
            f"no column of audio among {_names(kinds)}",
            "Name the column with the bytes by --set crawl.dataset.audio=NAME.",
        )
    if len(found) > 1:
        raise DataError(
            where,
            f"several columns of audio: {_names(found)}",
            f"Choose one, as by --set crawl.dataset.audio={found[0]}.",
        )
    return found[0]


def _column(
    where: str, field: str, kinds: Mapping[str, Kind], named: str | None, ignore: Sequence[str]
) -> str | None:
    if named is not None:
        return _there(where, field, kinds, named)
    names = LICENCES if field == "licence" else (field,)
    found = [name for name in names if name in kinds and name not in ignore]
    if len(found) > 1:
        raise DataError(
            where,
            f"columns {_names(found)} mean the same",
            f"Choose one, as by --set crawl.dataset.{field}={found[0]}.",
        )
    return found[0] if found else None


def _there(where: str, field: str, kinds: Mapping[str, Kind], name: str) -> str:
    if name not in kinds:
        raise DataError(
            where,
            f"crawl.dataset.{field} names the column {name!r}, which is not there",
            f"There are {_names(kinds)}.",
        )
    return name


def _names(names: Sequence[str] | Mapping[str, Kind]) -> str:
    return ", ".join(names) or "none"


def said(where: str, row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """What a row says of its audio, by the fields of a source. Raises `DataError`."""
    labels = dict(columns.labels)
    found: dict[str, Any] = {}
    for field, column in columns.given:
        value: Any = row
        for name in [column] if column in row else column.split("."):
            value = None if value is None else value.get(name)
        if value is not None and column in labels:
            value = _label(where, column, value, labels[column])
        if field in ("speaker", "feed") and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if field == "language":
            found[field] = checked_language(where, value)
        elif field == "channel":
            found[field] = checked_channel(where, value)
        else:
            limit = MAX_TEXT if field == "text" else MAX_NAME
            found[field] = checked_text(where, column, value, limit)
    return found


def _label(where: str, column: str, value: Any, names: tuple[str, ...]) -> str | None:
    if value == -1:  # how data sets write a label that is not given
        return None
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise DataError(where, f"column {column!r} holds {value!r}, which is no label", "")
    return names[value]
