"""Held-out documents of shards as evaluation sets: `text` and `gap` items.

Splits are disjoint by recording, speaker and near-duplicate, so what a model has not trained on is
known. Items are drawn by the digest of their id: the same ones whatever the shards' order, and the
first n of a larger draw. Items of one recording are one group.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from schemas.ids import digest_of
from schemas.records import Chunk, Document, frames
from schemas.shard_index import IndexRow
from schemas.shard_reader import read_document, read_flac
from trainer.data_settings import DataSettings, SetSettings
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.layout import AUDIO, EvalSet, write_set
from trainer.shard_sets import ShardSet, open_sets
from transforms import flac


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """An item to be, and where its audio lies."""

    id: str
    shard: int
    row: IndexRow
    first: int  # chunk of the document
    last: int


def held_out(
    shards: str,
    out: Path,
    *,
    kind: Literal["text", "gap"],
    split: str = "valid",
    recipe: str | None = None,
    chunks: int = 4,
    most: int = 500,
) -> EvalSet:
    """Write a set of at most `most` items; a gap's are of 2 to `chunks` chunks.

    Raises `EvaluationError` where the split has no such item, `ShardError` for what cannot be read.
    """
    if split == "train":
        raise EvaluationError("the split train is what models learn: choose valid or test")
    if chunks < 2 or most < 1:
        raise EvaluationError("a gap needs at least 2 chunks, and a set at least one item")
    own = SetSettings(shards=shards, split=split, recipe=recipe)
    (source,) = open_sets(DataSettings(sets={"held_out": own}))
    chosen = sorted(_candidates(source, kind, chunks), key=lambda one: one.id)[:most]
    if not chosen:
        wanted = "two chunks of one speaker in a row" if kind == "gap" else "text"
        raise EvaluationError(f"{shards}: no document of split {split} has {wanted}")
    items: list[dict[str, Any]] = []
    for found in chosen:
        document = _document(source, found)
        part = document.chunks[found.first : found.last]
        item: dict[str, Any] = {"kind": kind, "id": found.id, "group": document.recording}
        if kind == "text":
            items.append(item | {"text": [chunk.text for chunk in part if chunk.text.strip()]})
            continue
        sides = [
            {"text": chunk.text, "audio": _name(found, place)} for place, chunk in enumerate(part)
        ]
        del sides[-1]["audio"]  # it is predicted, and never heard
        items.append(item | {"speaker": part[0].speaker, "chunks": sides})
    return write_set(out, items, () if kind == "text" else _sounds(source, chosen))


def _sounds(source: ShardSet, chosen: Sequence[_Found]) -> Iterator[tuple[str, bytes]]:
    """The chunks of each item but its last, one at a time."""
    for found in chosen:
        document = _document(source, found)
        data = read_flac(source.fetch(found.shard), found.row, source.where(found.shard))
        for place, chunk in enumerate(document.chunks[found.first : found.last - 1]):
            start, end = frames(chunk.start, document.rate), frames(chunk.end, document.rate)
            yield _name(found, place), flac.encode(flac.decode(data, start, end), document.rate)


def _document(source: ShardSet, found: _Found) -> Document:
    return read_document(source.fetch(found.shard), found.row, source.where(found.shard))


def _name(found: _Found, place: int) -> str:
    return f"{AUDIO}/{found.id}-{place}.flac"


def _candidates(source: ShardSet, kind: str, chunks: int) -> Iterator[_Found]:
    for shard in range(len(source.entries)):
        for _, row in source.rows(shard):
            document = read_document(source.fetch(shard), row, source.where(shard))
            spans = _texts(document) if kind == "text" else _runs(document, chunks)
            for first, last in spans:
                found = digest_of("held_out", kind, document.id, first, last)[:16]
                yield _Found(found, shard, row, first, last)


def _texts(document: Document) -> Iterator[tuple[int, int]]:
    if any(chunk.text.strip() for chunk in document.chunks):
        yield 0, len(document.chunks)


def _runs(document: Document, most: int) -> Iterator[tuple[int, int]]:
    """Stretches of 2 to `most` chunks in a row of one speaker, each spoken and written."""
    for speaker, group in itertools.groupby(enumerate(document.chunks), lambda at: _voice(at[1])):
        if speaker is None:
            continue
        places = [place for place, _ in group]
        for first in range(places[0], places[-1], most):
            last = min(first + most, places[-1] + 1)
            if last - first >= 2:
                yield first, last


def _voice(chunk: Chunk) -> str | None:
    """Whose chunk it is; None where it cannot be compared with its other side."""
    whole = chunk.modality == "both" and chunk.text.strip() and chunk.end > chunk.start
    return chunk.speaker or None if whole else None
