"""Shard format 1: how a document stands in a WebDataset tar, and which documents share a tar.

A sample is `<key>.flac` (its chunks' speech end to end; absent in text-only sets and in sets of
tokens alone), `<key>.<tokenizer>.npy` where tokens are stored (`schemas.shard_tokens`), and
`<key>.json`.
The JSON has one fixed schema: every field in every sample, lists of one plain type and never empty,
no null, because `datasets.load_dataset("webdataset")` takes its types from the first samples and
fails, or silently drops a field, where a later one differs. Nested lists of words would read
better; flat ones load everywhere.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from schemas.ranges import cut
from schemas.records import Chunk, Document, RecordError, Word, frames
from schemas.words import word_ranges

FORMAT = 1
KEY = re.compile(r"[a-z0-9_-]{1,64}")
ID = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")
STREAM = re.compile(r"[a-z0-9_-]{1,32}")
SURROGATE = re.compile("[\ud800-\udfff]")
ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON can smuggle one in
MASKED = re.compile(r"(?:[a-z_]+(?:,[a-z_]+)*)?")
NO_WORDS = -1  # word_chunk of the one entry that stands where a document has no words
UNKNOWN = -1.0  # word_confidence where the engine gives none

# field -> type of its value, or of the items of its list; in the order in which they are written
PLAIN: dict[str, type] = {
    "format": int,
    "id": str,
    "stream": str,
    "split": str,
    "language": str,
    "topic": str,
    "licence": str,
    "source": str,
    "quality": str,
    "recording": str,
    "rate": int,
    "seconds": float,
    "audio": str,
}
PER_CHUNK: dict[str, type] = {
    "chunk_start": float,
    "chunk_end": float,
    "chunk_text": str,
    "chunk_speaker": str,
    "chunk_clip": str,
    "chunk_modality": str,
    "chunk_times": str,
    "chunk_gap": float,
    "chunk_after_drop": bool,
    "chunk_masked": str,
    "chunk_muted": float,
}
# Shards of the first days lack these; a reader takes them for what stands here.
LATER: dict[str, Any] = {"chunk_masked": "", "chunk_muted": 0.0}
PER_WORD: dict[str, type] = {
    "word_chunk": int,
    "word_text": str,
    "word_start": float,
    "word_end": float,
    "word_first": int,
    "word_last": int,
    "word_confidence": float,
}


class ShardError(ValueError):
    """A shard, its index or its manifest is not what format 1 allows; `code` says how."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ShardPlan:
    """A shard to be written: its name without `.tar`, and its documents' ids in order."""

    name: str
    ids: tuple[str, ...]
    seconds: float


def plan_shards(
    stream: str, documents: Iterable[tuple[str, float]], target_seconds: float = 7200.0
) -> list[ShardPlan]:
    """Content-defined shards of one stream and split; see `schemas.ranges.cut` for their bounds.

    `documents` are (id, seconds of PCM); for text-only documents give the seconds it would take to
    say them (characters / 15), because members of size 0 never fill a shard. Shards are named
    after their first id: by 8 hex digits, or all 32 where two shards of the stream share those 8.
    """
    if not STREAM.fullmatch(stream):
        raise ShardError("bad_name", f"stream {stream!r} does not match {STREAM.pattern}")
    ranges = cut(documents, target_seconds)
    short = [found.members[0][:8] for found in ranges]
    return [
        ShardPlan(
            name=f"{stream}-{name if short.count(name) == 1 else found.members[0]}",
            ids=found.members,
            seconds=found.size,
        )
        for name, found in zip(short, ranges, strict=True)
    ]


def key_of(document: Document) -> str:
    """The key of a document's sample: its id. Never a name found in data."""
    return document.id


def has_audio(document: Document) -> bool:
    return any(chunk.modality != "text" for chunk in document.chunks)


def to_json(document: Document, *, tokens_only: bool = False) -> bytes:
    """A document as the JSON member of its sample: UTF-8, one line, the same bytes everywhere.

    `tokens_only`: its speech stands in the shard as tokens, without a FLAC.

    Lone surrogates, which UTF-8 cannot hold, become U+FFFD. Raises `ShardError` for a document
    that breaks the format (`check`).
    """
    problem = check(document)
    if problem:
        raise ShardError("bad_document", f"document {document.id}: {problem}")
    fields: dict[str, Any] = {
        name: getattr(document, name) for name in PLAIN if name not in ("format", "audio")
    }
    fields |= {"format": FORMAT, "audio": _audio(document, tokens_only)}
    fields = {name: fields[name] for name in PLAIN}
    for name in PER_CHUNK:
        fields[name] = [getattr(chunk, name.removeprefix("chunk_")) for chunk in document.chunks]
    fields |= {name: [] for name in PER_WORD}
    rows = [row for place, chunk in enumerate(document.chunks) for row in _words(place, chunk)]
    for row in rows or [(NO_WORDS, "", 0.0, 0.0, 0, 0, UNKNOWN)]:
        for name, value in zip(PER_WORD, row, strict=True):
            fields[name].append(value)
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return SURROGATE.sub("\ufffd", text).encode("utf-8")


def _audio(document: Document, tokens_only: bool) -> str:
    return "flac" if has_audio(document) and not tokens_only else "none"


def _words(place: int, chunk: Chunk) -> list[tuple[Any, ...]]:
    ranges = word_ranges(chunk.text, chunk.words)
    found = ranges if ranges is not None else [(-1, -1)] * len(chunk.words)
    return [
        (
            place,
            word.text,
            word.start,
            word.end,
            first,
            last,
            UNKNOWN if word.confidence is None else word.confidence,
        )
        for word, (first, last) in zip(chunk.words, found, strict=True)
    ]


def from_json(data: bytes, where: str, *, tokens_only: bool = False) -> Document:
    """The document of a JSON member. Raises `ShardError` for anything that `to_json` cannot give.

    `where` names the member in errors; `tokens_only` as in `to_json`.
    """
    fields = _fields(data, where)
    if type(fields.get("format")) is not int or fields["format"] != FORMAT:
        raise ShardError(
            "wrong_format",
            f"{where}: format {fields.get('format')!r}, this reader knows {FORMAT}; "
            "use the version of speechloom that wrote it",
        )
    for name, kind in PLAIN.items():
        _check_type(fields, name, kind, where)
    if not LATER.keys() & fields.keys() and isinstance(fields.get("chunk_start"), list):
        fields |= {name: [value] * len(fields["chunk_start"]) for name, value in LATER.items()}
    counts = {}
    for name, kind in (PER_CHUNK | PER_WORD).items():
        counts[name] = _check_list(fields, name, kind, where)
    unknown = sorted(set(fields) - set(PLAIN) - set(counts))
    if unknown:
        _refuse(where, f"unknown fields {unknown}")
    for names in (PER_CHUNK, PER_WORD):
        if len({counts[name] for name in names}) != 1 or counts[next(iter(names))] == 0:
            _refuse(where, f"lists of different lengths, or empty: {[counts[n] for n in names]}")
    try:
        document = _document(fields)
    except RecordError as error:
        raise ShardError("bad_json", f"{where}: {error}") from error
    problem = check(document) or _disagreement(document, fields, tokens_only)
    if problem:
        _refuse(where, problem)
    return document


def _refuse(where: str, problem: str) -> NoReturn:
    raise ShardError("bad_json", f"{where}: {problem}")


def _fields(data: bytes, where: str) -> dict[str, Any]:
    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) != len(found):
            raise ValueError("a field stands twice")
        return dict(found)

    try:
        text = data.decode("utf-8")
        fields = json.loads(text, parse_constant=constant, object_pairs_hook=pairs)
        if ESCAPED.search(text) and SURROGATE.search(json.dumps(fields, ensure_ascii=False)):
            raise ValueError("it holds a lone surrogate")
    except (ValueError, RecursionError) as error:  # covers UnicodeDecodeError, JSONDecodeError
        raise ShardError("bad_json", f"{where}: not a JSON document: {error}") from error
    if not isinstance(fields, dict):
        _refuse(where, f"a {type(fields).__name__}, not an object")
    return fields


def _check_type(fields: dict[str, Any], name: str, kind: type, where: str) -> None:
    if name not in fields:
        _refuse(where, f"no field {name}")
    if not _all([fields[name]], kind):
        _refuse(where, f"{name} is {fields[name]!r:.80}, not {kind.__name__}")


def _check_list(fields: dict[str, Any], name: str, kind: type, where: str) -> int:
    """The length of a list whose items all have one type."""
    _check_type(fields, name, list, where)
    if not _all(fields[name], kind):
        place = next(i for i, item in enumerate(fields[name]) if not _all([item], kind))
        _refuse(where, f"{name}[{place}] is {fields[name][place]!r:.80}, not {kind.__name__}")
    return len(fields[name])


def _all(values: list[Any], kind: type) -> bool:
    """Whether all are exactly of this type (no bool for an int), and finite."""
    return set(map(type, values)) <= {kind} and (
        kind is not float or all(map(math.isfinite, values))
    )


def _document(fields: dict[str, Any]) -> Document:
    words: list[list[Word]] = [[] for _ in fields["chunk_text"]]
    names = ("word_chunk", "word_text", "word_start", "word_end", "word_confidence")
    for place, text, start, end, confidence in zip(*(fields[n] for n in names), strict=True):
        if place == NO_WORDS and len(fields["word_chunk"]) == 1:
            break
        if not 0 <= place < len(words):
            raise RecordError(f"word_chunk {place} of {len(words)} chunks")
        word = Word(
            text=text,
            start=start,
            end=end,
            confidence=None if confidence == UNKNOWN else confidence,
        )
        words[place].append(word)
    own = [name for name in PER_CHUNK]
    rows = zip(*(fields[name] for name in own), strict=True)
    chunks = []
    for row, found in zip(rows, words, strict=True):
        values = {name.removeprefix("chunk_"): value for name, value in zip(own, row, strict=True)}
        chunks.append(Chunk(**values, words=tuple(found)))
    plain = {n: fields[n] for n in PLAIN if n not in ("format", "seconds", "audio")}
    return Document(**plain, chunks=tuple(chunks))


def _disagreement(document: Document, fields: dict[str, Any], tokens_only: bool) -> str | None:
    """What the fields say that the document they were read into does not."""
    if fields["seconds"] != document.seconds:
        return f"seconds is {fields['seconds']}, the last chunk ends at {document.seconds}"
    if fields["audio"] != _audio(document, tokens_only):
        return f"audio is {fields['audio']!r}, which its chunks and its other members contradict"
    if fields["word_chunk"] != sorted(fields["word_chunk"]):
        return "word_chunk is not ascending"
    for place, first, last in zip(
        fields["word_chunk"], fields["word_first"], fields["word_last"], strict=True
    ):
        if place >= 0 and (first, last) != (-1, -1):
            length = len(document.chunks[place].text)
            if not 0 <= first <= last <= length:
                return f"a word at characters {first}..{last} of a text of {length}"
    return None


def check(document: Document) -> str | None:
    """What is wrong with a document as a sample of format 1, or None.

    Chunks lie end to end from 0, on the grid of the rate; words lie inside their chunk; a chunk
    that is text only takes no time.
    """
    at, rate = 0.0, document.rate
    if not KEY.fullmatch(key_of(document)) or not STREAM.fullmatch(document.stream):
        return f"id {document.id!r} or stream {document.stream!r} cannot be a name"
    if not ID.fullmatch(document.recording):
        return f"recording {document.recording!r:.80} is not an id"
    if rate <= 0:
        return f"rate is {rate}"
    for place, chunk in enumerate(document.chunks):
        if not ID.fullmatch(chunk.clip):
            return f"chunk {place}: clip {chunk.clip!r:.80} is not an id"
        if chunk.start != at or chunk.end < chunk.start:
            return f"chunk {place} is at {chunk.start}..{chunk.end}, the one before ends at {at}"
        if frames(chunk.end, rate) / rate != chunk.end:
            return f"chunk {place} ends at {chunk.end}, not at a frame of {rate} Hz"
        if chunk.modality not in ("both", "speech", "text"):
            return f"chunk {place} has modality {chunk.modality!r}"
        if chunk.times not in ("measured", "estimated", "none"):
            return f"chunk {place} has times {chunk.times!r}"
        if chunk.modality == "text" and chunk.end != chunk.start:
            return f"chunk {place} is text only and takes {chunk.end - chunk.start} s"
        if not math.isfinite(chunk.gap):
            return f"chunk {place} has a gap of {chunk.gap}"
        if not MASKED.fullmatch(chunk.masked):
            return f"chunk {place} is masked by {chunk.masked!r:.80}"
        if not 0 <= chunk.muted <= chunk.end - chunk.start + 1e-6:
            return f"chunk {place} of {chunk.end - chunk.start} s is muted for {chunk.muted} s"
        for word in chunk.words:
            if not chunk.start <= word.start <= word.end <= chunk.end:
                return f"word {word.text!r} at {word.start}..{word.end} is outside chunk {place}"
            if word.confidence is not None and not 0 <= word.confidence <= 1:
                return f"word {word.text!r} has confidence {word.confidence}, not 0 to 1"
        at = chunk.end
    return None


def document_counts(document: Document) -> dict[str, int]:
    """How much a document holds, besides seconds: chunks, characters of text, blank-cut words."""
    texts = [chunk.text for chunk in document.chunks]
    return {
        "chunks": len(texts),
        "characters": sum(map(len, texts)),
        "words": sum(len(text.split()) for text in texts),
    }
