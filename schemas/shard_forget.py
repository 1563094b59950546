"""A shard without some of its documents: the others' bytes as they are, index and entry anew.

Reads the tar once and holds one member at a time. It goes by what the tar holds, so a shard whose
tar is rewritten already, and whose index is not, comes out right as well.
"""

import dataclasses
import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from schemas.manifest import ShardEntry
from schemas.shard_index import IndexRow, TokenMember, index_bytes
from schemas.shard_tar import ending, header, members, padding


def without(
    source: Path, target: Path, rows: Sequence[IndexRow], gone: Collection[str], entry: ShardEntry
) -> tuple[ShardEntry, bytes] | None:
    """Write a shard without the documents `gone` (keys). Its entry and the bytes of its index;
    None where nothing is left of it (then `target` is an empty file)."""
    places: dict[str, int] = {}
    digest = hashlib.sha256()
    size = 0
    with source.open("rb") as old, target.open("xb") as new:

        def write(data: bytes) -> None:
            nonlocal size
            new.write(data)
            digest.update(data)
            size += len(data)

        for member in members(old, source.name):
            if member.name.partition(".")[0] in gone:
                continue
            write(header(member.name, len(member.data)))
            places[member.name] = size
            write(member.data + padding(len(member.data)))
        if not places:
            return None
        write(ending(size))
    left = [_moved(row, places) for row in rows if f"{row.key}.json" in places]
    index = index_bytes(left)
    found = dataclasses.replace(
        entry,
        sha256=digest.hexdigest(),
        bytes=size,
        index_sha256=hashlib.sha256(index).hexdigest(),
        documents=len(left),
        chunks=sum(row.chunks for row in left),
        seconds=math.fsum(row.seconds for row in left),
        characters=sum(row.characters for row in left),
        words=sum(row.words for row in left),
    )
    return found, index


def _moved(row: IndexRow, places: Mapping[str, int]) -> IndexRow:
    def token(one: TokenMember) -> TokenMember:
        return dataclasses.replace(one, offset=places[f"{row.key}.{one.name}.npy"])

    return dataclasses.replace(
        row,
        flac_offset=places[f"{row.key}.flac"] if row.flac_size else 0,
        json_offset=places[f"{row.key}.json"],
        tokens=tuple(token(one) for one in row.tokens),
    )
