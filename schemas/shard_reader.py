"""Reads shards: front to back from any stream, or one sample by its row of the index.

Nothing is decoded and nothing is guessed: a sample is both its members, whole and agreeing with
the format, or a `ShardError` that names the shard and the sample. Bytes come from a file object or
a function, so the same code reads disks, buckets and HTTP ranges.
"""

import dataclasses
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from schemas.manifest import ShardEntry
from schemas.records import Document
from schemas.shard import ShardError, document_counts, from_json, has_audio
from schemas.shard_index import IndexRow
from schemas.shard_tar import Member, members
from schemas.shard_writer import check_flac

Fetch = Callable[[int, int], bytes]  # (offset, size) -> the bytes there


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One document as it stands in a shard, and its row as an index should hold it."""

    document: Document
    flac: bytes | None
    row: IndexRow


def read_shard(stream: BinaryIO, where: str) -> Iterator[Sample]:
    """The samples of a shard, in order. Raises `ShardError` before it would yield a wrong one.

    Keys ascend, and all samples have audio or none has: what loaders that take the members of the
    first samples for granted rely on. A tar that breaks off yields the samples before the break and
    then raises: it never just stops.
    """
    last, audio = "", None
    found = members(stream, where)
    for member in found:
        key, _, kind = member.name.partition(".")
        if key <= last:
            raise ShardError("order", f"{where}: {member.name} does not follow {last}")
        flac = member if kind == "flac" else None
        if flac is not None:
            member = _partner(found, flac, where)
        sample = _sample(member, flac, where)
        if audio is not None and audio != (flac is not None):
            raise ShardError(
                "missing_member", f"{where}: {key} has other members than the samples before it"
            )
        last, audio = key, flac is not None
        yield sample
    if audio is None:
        raise ShardError("empty", f"{where}: a shard holds at least one document")


def _partner(found: Iterator[Member], flac: Member, where: str) -> Member:
    wanted = flac.name.removesuffix(".flac") + ".json"
    member = next(found, None)
    if member is None or member.name != wanted:
        got = "the end" if member is None else member.name
        raise ShardError("missing_member", f"{where}: {wanted} is missing; {got} stands there")
    return member


def _sample(member: Member, flac: Member | None, where: str) -> Sample:
    row = IndexRow(
        key=member.name.removesuffix(".json"),
        flac_offset=flac.offset if flac else 0,
        flac_size=len(flac.data) if flac else 0,
        flac_crc32=zlib.crc32(flac.data) if flac else 0,
        json_offset=member.offset,
        json_size=len(member.data),
        json_crc32=zlib.crc32(member.data),
        seconds=0.0,
        chunks=0,
        characters=0,
        words=0,
    )
    document = _document(member.data, row.key, flac is not None, where)
    if flac is not None:
        check_flac(document, flac.data)
    counts: dict[str, Any] = dict(document_counts(document))
    row = dataclasses.replace(row, seconds=document.seconds, **counts)
    return Sample(document=document, flac=flac.data if flac else None, row=row)


def _document(data: bytes, key: str, flac: bool, where: str) -> Document:
    document = from_json(data, f"{where}: {key}.json")
    if document.id != key:
        raise ShardError("bad_json", f"{where}: {key}.json is document {document.id}")
    if has_audio(document) != flac:
        raise ShardError(
            "missing_member", f"{where}: {key} has speech and no .flac, or the reverse"
        )
    return document


def read_document(fetch: Fetch, row: IndexRow, where: str) -> Document:
    """The document of one row of the index, without its audio."""
    data = _checked(fetch, row.json_offset, row.json_size, row.json_crc32, f"{where}: {row.key}")
    return _document(data, row.key, row.flac_size > 0, where)


def read_flac(fetch: Fetch, row: IndexRow, where: str) -> bytes:
    """The FLAC of one row of the index."""
    if not row.flac_size:
        raise ShardError("missing_member", f"{where}: {row.key} is text only")
    return _checked(fetch, row.flac_offset, row.flac_size, row.flac_crc32, f"{where}: {row.key}")


def read_sample(fetch: Fetch, row: IndexRow, where: str) -> Sample:
    """One whole sample by its row of the index."""
    document = read_document(fetch, row, where)
    flac = read_flac(fetch, row, where) if row.flac_size else None
    check_flac(document, flac)
    return Sample(document=document, flac=flac, row=row)


def _checked(fetch: Fetch, offset: int, size: int, crc32: int, where: str) -> bytes:
    data = fetch(offset, size)
    if len(data) != size:
        raise ShardError("truncated", f"{where}: {len(data)} of {size} bytes at {offset}")
    if zlib.crc32(data) != crc32:
        raise ShardError("altered", f"{where}: bytes {offset}+{size} are not those of the index")
    return data


def file_fetch(path: Path) -> Fetch:
    """Reads ranges of a local file; opens it anew each time, so it may be shared by workers."""

    def fetch(offset: int, size: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    return fetch


def verify(stream: BinaryIO, entry: ShardEntry) -> None:
    """Raise `ShardError` unless a stream holds exactly the bytes that the manifest names."""
    digest, size = hashlib.sha256(), 0
    while data := stream.read(1 << 20):
        digest.update(data)
        size += len(data)
        if size > entry.bytes:
            raise ShardError("altered", f"{entry.name}: longer than its {entry.bytes} bytes")
    if size < entry.bytes:
        raise ShardError("truncated", f"{entry.name}: {size} of {entry.bytes} bytes")
    if digest.hexdigest() != entry.sha256:
        raise ShardError(
            "altered",
            f"{entry.name}: sha256 {digest.hexdigest()}, the manifest says {entry.sha256}",
        )
