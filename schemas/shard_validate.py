"""Checks a whole set of shards against its manifest and format 1, and lists every problem found.

Used by `speechloom validate`. Goes on after a problem, so that one run names them all; holds one
shard's index and one sample at a time, and one digest per key and recording.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from schemas.ids import bytes_digest
from schemas.manifest import NAME, PART_NAME, Manifest, ShardEntry, index_name, read_manifest
from schemas.records import frames
from schemas.shard import ShardError, has_audio
from schemas.shard_index import IndexRow, read_index
from schemas.shard_place import ShardPlace
from schemas.shard_reader import Sample, read_shard, verify
from schemas.shard_tokens import TokenizerEntry, check_units

Decode = Callable[[bytes], tuple[int, int]]  # a FLAC -> (frames, rate), all of it decoded


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong: where, a code, and words for people."""

    where: str
    code: str
    message: str


@dataclasses.dataclass
class _Seen:
    keys: dict[str, str] = dataclasses.field(default_factory=dict)  # key -> shard
    splits: dict[str, str] = dataclasses.field(default_factory=dict)  # recording -> split


def validate(root: str | os.PathLike[str], decode: Decode | None = None) -> list[Problem]:
    """Every problem of the set whose `manifest.json` is `root`, or lies in the folder `root`; of a
    bucket too.

    With `decode`, each FLAC is decoded and its frames counted; without it, only its header is
    read. `decode` raises ValueError, RuntimeError or OSError for what it cannot decode.
    Raises `StoreError` where a bucket cannot be read at all.
    """
    place = ShardPlace(root)
    asked = NAME

    def read(name: str) -> bytes:
        nonlocal asked
        asked = name
        return place.read(name)

    try:
        manifest = read_manifest(read)
    except FileNotFoundError:
        where = place.where(asked)
        return [Problem(where=where, code="missing", message="there is no such file")]
    except (ShardError, OSError) as error:
        return [_problem(place.where(NAME), error)]
    found = list(_extra(place.names(), manifest))
    seen = _Seen()
    for entry in manifest.shards:
        try:
            with place.file(entry.name) as path:
                found += _shard(path, place, entry, manifest.tokenizers, seen, decode)
        except FileNotFoundError:
            message = "the manifest names this shard"
            found.append(Problem(where=entry.name, code="missing", message=message))
    return found


def _extra(names: Iterable[str], manifest: Manifest) -> Iterator[Problem]:
    """Files that a careless glob would read, and that the manifest does not name."""
    named = {name for entry in manifest.shards for name in (entry.name, index_name(entry.name))}
    for name in names:
        suffix = PurePosixPath(name).suffix
        looks_ours = suffix in (".tar", ".parquet") or PART_NAME.fullmatch(name)
        listed = name in named or (PART_NAME.fullmatch(name) and len(manifest.shards) > 0)
        if looks_ours and not listed:
            yield Problem(where=name, code="extra", message="the manifest does not name this file")


def _shard(
    path: Path,
    place: ShardPlace,
    entry: ShardEntry,
    tokenizers: tuple[TokenizerEntry, ...],
    seen: _Seen,
    decode: Decode | None,
) -> Iterator[Problem]:
    rows: list[IndexRow] = []
    try:
        with path.open("rb") as stream:
            verify(stream, entry)
    except FileNotFoundError:
        raise
    except (ShardError, OSError) as error:
        yield _problem(entry.name, error)
    try:
        with path.open("rb") as stream:
            for sample in read_shard(stream, entry.name):
                rows.append(sample.row)
                yield from _sample(sample, entry, seen, decode)
                yield from _tokens(sample, entry, tokenizers)
    except (ShardError, OSError) as error:
        yield _problem(entry.name, error)
        return
    yield from _index(place, entry, rows)


def _problem(where: str, error: Exception) -> Problem:
    code = error.code if isinstance(error, ShardError) else "unreadable"
    return Problem(where=where, code=code, message=str(error))


def _sample(
    sample: Sample, entry: ShardEntry, seen: _Seen, decode: Decode | None
) -> Iterator[Problem]:
    document = sample.document
    where = f"{entry.name}: {document.id}"
    other = seen.keys.setdefault(document.id, entry.name)
    if other != entry.name:
        yield Problem(where=where, code="duplicate", message=f"is in {other} too")
    if (document.stream, document.split) != (entry.stream, entry.split):
        yield Problem(
            where=where,
            code="mixed",
            message=f"is of {document.split}/{document.stream}, "
            f"its shard of {entry.split}/{entry.stream}",
        )
    split = seen.splits.setdefault(document.recording, document.split)
    if split != document.split:
        yield Problem(
            where=where,
            code="leak",
            message=f"recording {document.recording} is in {split} and in {document.split}",
        )
    if decode is not None and sample.flac is not None:
        yield from _decoded(sample, where, decode)


def _tokens(
    sample: Sample, entry: ShardEntry, tokenizers: tuple[TokenizerEntry, ...]
) -> Iterator[Problem]:
    """Tokens of every tokenizer that the manifest names, as many as the chunks' times ask for."""
    document = sample.document
    where = f"{entry.name}: {document.id}"
    if (sample.flac is not None) != (entry.audio == "flac"):
        yield Problem(
            where=where, code="mixed", message=f"the manifest says audio {entry.audio!r}, it has "
            f"{'a FLAC' if sample.flac is not None else 'no FLAC'}",
        )  # fmt: skip
    wanted = [one.name for one in tokenizers] if has_audio(document) else []
    if list(sample.tokens) != wanted:
        yield Problem(
            where=where,
            code="bad_tokens",
            message=f"has tokens of {list(sample.tokens)}, the manifest names {wanted}",
        )
        return
    for one in tokenizers if wanted else ():
        try:
            check_units(document, one, sample.tokens[one.name], where)
        except ShardError as error:
            yield _problem(where, error)


def _decoded(sample: Sample, where: str, decode: Decode) -> Iterator[Problem]:
    document = sample.document
    expected = (frames(document.seconds, document.rate), document.rate)
    try:
        found = decode(sample.flac or b"")
    except (ValueError, RuntimeError, OSError) as error:
        yield Problem(where=where, code="bad_flac", message=f"cannot be decoded: {error}")
        return
    if found != expected:
        yield Problem(
            where=where,
            code="bad_flac",
            message=f"decodes to (frames, rate) {found}, its document has {expected}",
        )


def _index(place: ShardPlace, entry: ShardEntry, rows: list[IndexRow]) -> Iterator[Problem]:
    name = index_name(entry.name)
    try:
        data = place.read(name)
        index = read_index(data, name)
    except FileNotFoundError:
        yield Problem(where=name, code="missing", message=f"{entry.name} has no index")
        return
    except (ShardError, OSError) as error:
        yield _problem(name, error)
        return
    if bytes_digest(data) != entry.index_sha256:
        yield Problem(where=name, code="altered", message="not the index that the manifest names")
    if not any(row.outline for row in index):  # of the first days
        rows = [dataclasses.replace(row, outline=None) for row in rows]
    if index != rows:
        wrong = next(
            (a.key for a, b in zip(rows, index, strict=False) if a != b), "the number of samples"
        )
        yield Problem(where=name, code="index_disagrees", message=f"with the shard, first: {wrong}")
    sums = (len(rows), sum(row.chunks for row in rows), sum(row.characters for row in rows))
    if sums != (entry.documents, entry.chunks, entry.characters):
        yield Problem(
            where=entry.name,
            code="count_disagrees",
            message=f"holds (documents, chunks, characters) {sums}, the manifest says "
            f"{(entry.documents, entry.chunks, entry.characters)}",
        )
