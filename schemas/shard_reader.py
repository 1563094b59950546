"""Reads shards: front to back from any stream, or one sample by its row of the index.

Nothing is decoded and nothing is guessed: a sample is all its members, whole and agreeing with
the format, or a `ShardError` that names the shard and the sample. Bytes come from a file object or
a function, so the same code reads disks, buckets and HTTP ranges.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from schemas.checksums import crc32
from schemas.manifest import ShardEntry
from schemas.records import Document
from schemas.shard import FORMAT, ShardError, document_counts, from_json, has_audio
from schemas.shard_index import IndexRow, TokenMember, outline_of
from schemas.shard_tar import Member, members
from schemas.shard_tokens import TokenizerEntry, Units, npy_head, read_npy
from schemas.shard_writer import check_flac

Fetch = Callable[[int, int], bytes]  # (offset, size) -> the bytes there


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One document as it stands in a shard, and its row as an index should hold it."""

    document: Document
    flac: bytes | None
    row: IndexRow
    tokens: Mapping[str, Units] = dataclasses.field(default_factory=dict)  # by tokenizer


def read_shard(stream: BinaryIO, where: str) -> Iterator[Sample]:
    """The samples of a shard, in order. Raises `ShardError` before it would yield a wrong one.

    Keys ascend, and all samples have the same members: what loaders that take those of the first
    samples for granted rely on. A sample is its tokens by name, its FLAC, its JSON. A tar that
    breaks off yields the samples before the break and then raises: it never just stops.
    """
    last = ""
    kinds: list[str] | None = None
    found = members(stream, where)
    for member in found:
        key = member.name.partition(".")[0]
        if key <= last:
            raise ShardError("order", f"{where}: {member.name} does not follow {last}")
        group = _group(found, member, key, where)
        if kinds is not None and kinds != list(group):
            raise ShardError(
                "missing_member", f"{where}: {key} has other members than the samples before it"
            )
        last, kinds = key, list(group)
        yield _sample(group, key, where)
    if kinds is None:
        raise ShardError("empty", f"{where}: a shard holds at least one document")


def _group(found: Iterator[Member], member: Member, key: str, where: str) -> dict[str, Member]:
    """The members of one sample by kind, up to the JSON that ends it."""
    group = {member.name.partition(".")[2]: member}
    while "json" not in group:
        follower = next(found, None)
        got = "the end" if follower is None else follower.name
        name, _, kind = got.partition(".")
        ordered = sorted([*group, kind], key=_rank) == [*group, kind] and kind not in group
        if follower is None or name != key or not ordered:
            raise ShardError(
                "missing_member", f"{where}: {key}.json is missing; {got} stands there"
            )
        group[kind] = follower
    return group


def _rank(kind: str) -> tuple[int, str]:
    return ("flac", "json").index(kind) if kind in ("flac", "json") else -1, kind.removesuffix(
        ".npy"
    )


def _sample(group: Mapping[str, Member], key: str, where: str) -> Sample:
    data, flac = group["json"], group.get("flac")
    tokens, stored = {}, []
    for kind, member in group.items():
        if kind not in ("flac", "json"):
            name = kind.removesuffix(".npy")
            tokens[name] = read_npy(member.data, f"{where}: {member.name}")
            stored.append(
                TokenMember(
                    name=name,
                    offset=member.offset,
                    size=len(member.data),
                    crc32=crc32(member.data),
                    positions=len(tokens[name]),
                )
            )
    document = _document(data.data, key, flac is not None, bool(tokens), where)
    if flac is not None:
        check_flac(document, flac.data)
    counts: dict[str, Any] = dict(document_counts(document))
    row = IndexRow(
        key=key,
        flac_offset=flac.offset if flac else 0,
        flac_size=len(flac.data) if flac else 0,
        flac_crc32=crc32(flac.data) if flac else 0,
        json_offset=data.offset,
        json_size=len(data.data),
        json_crc32=crc32(data.data),
        seconds=document.seconds,
        tokens=tuple(stored),
        outline=outline_of(document),
        **counts,
    )
    return Sample(document=document, flac=flac.data if flac else None, row=row, tokens=tokens)


def _document(data: bytes, key: str, flac: bool, tokens: bool, where: str) -> Document:
    document = from_json(data, f"{where}: {key}.json", tokens_only=tokens and not flac)
    if document.id != key:
        raise ShardError("bad_json", f"{where}: {key}.json is document {document.id}")
    if has_audio(document) != (flac or tokens):
        raise ShardError(
            "missing_member", f"{where}: {key} has speech and no .flac or tokens, or the reverse"
        )
    return document


def read_document(fetch: Fetch, row: IndexRow, where: str) -> Document:
    """The document of one row of the index, without its audio."""
    data = _checked(fetch, row.json_offset, row.json_size, row.json_crc32, f"{where}: {row.key}")
    return _document(data, row.key, row.flac_size > 0, bool(row.tokens), where)


def names_itself(fetch: Fetch, row: IndexRow, where: str) -> bool:
    """Whether the JSON of a row is, to the byte, what the index says, and begins as the writer
    begins that of this key. Not parsed: for readers that take the outline for it.

    Raises `ShardError` where its bytes are others. False: ask `read_document` what is wrong.
    """
    data = fetch(row.json_offset, row.json_size)
    if len(data) != row.json_size or crc32(data) != row.json_crc32:
        _checked(
            lambda *_: data, row.json_offset, row.json_size, row.json_crc32, f"{where}: {row.key}"
        )
    begin = b'{"format":%d,"id":"%s",' % (FORMAT, row.key.encode())
    return bytes(data[: len(begin)]) == begin


def read_flac(fetch: Fetch, row: IndexRow, where: str) -> bytes:
    """The FLAC of one row of the index."""
    if not row.flac_size:
        raise ShardError("missing_member", f"{where}: {row.key} has no FLAC")
    return _checked(fetch, row.flac_offset, row.flac_size, row.flac_crc32, f"{where}: {row.key}")


def read_tokens(fetch: Fetch, row: IndexRow, entry: TokenizerEntry, where: str) -> Units:
    """The tokens [positions, codebooks] of one row of the index, without its FLAC and its JSON.

    `entry` is the manifest's. Raises `ShardError` where there are none of this tokenizer, or they
    are not what the index or the entry says; `check_units` checks them against the document.
    """
    member = row.token_member(entry.name)
    if member is None:
        raise ShardError("missing_member", f"{where}: {row.key} has no tokens of {entry.name}")
    data = fetch(member.offset, member.size)
    dtype = entry.dtype
    head = npy_head(dtype, member.positions, entry.codebooks)
    size = len(head) + member.positions * entry.codebooks * dtype.itemsize
    sound = len(data) == member.size == size and crc32(data) == member.crc32
    if sound and bytes(data[: len(head)]) == head:
        flat: Units = np.frombuffer(data, dtype, offset=len(head))
        return flat.reshape(member.positions, entry.codebooks)
    # something is wrong: what, costs more to say than a sound array to read
    place = f"{where}: {row.key}.{entry.name}.npy"
    data = _checked(lambda *_: data, member.offset, member.size, member.crc32, place)
    units = read_npy(data, place)
    raise ShardError(
        "bad_tokens",
        f"{place}: {units.dtype} {units.shape}, its index and tokenizer say {dtype} "
        f"{(member.positions, entry.codebooks)}",
    )


def read_sample(fetch: Fetch, row: IndexRow, where: str) -> Sample:
    """One whole sample by its row of the index."""
    document = read_document(fetch, row, where)
    flac = read_flac(fetch, row, where) if row.flac_size else None
    if flac is not None:
        check_flac(document, flac)
    tokens = {}
    for member in row.tokens:
        place = f"{where}: {row.key}.{member.name}.npy"
        data = _checked(fetch, member.offset, member.size, member.crc32, place)
        tokens[member.name] = read_npy(data, place)
    return Sample(document=document, flac=flac, row=row, tokens=tokens)


def _checked(fetch: Fetch, offset: int, size: int, checksum: int, where: str) -> bytes:
    data = fetch(offset, size)
    if len(data) != size:
        raise ShardError("truncated", f"{where}: {len(data)} of {size} bytes at {offset}")
    if crc32(data) != checksum:
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
