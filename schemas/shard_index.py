"""The index beside a shard: where each sample's members lie, what they sum to, how much they hold.

An Arrow table in Parquet, one row per sample, in order: random access and exact resume without
reading the tar. `*_crc32` checks one member where the whole shard's sha256 would cost too much.
"""

import dataclasses
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.shard import ShardError
from schemas.tables import arrow_schema, from_table, to_table


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class IndexRow:
    """One sample. Offsets are of a member's data; a text-only sample has no FLAC: all 0."""

    key: str
    flac_offset: int
    flac_size: int
    flac_crc32: int
    json_offset: int
    json_size: int
    json_crc32: int
    seconds: float
    chunks: int
    characters: int
    words: int


def index_bytes(rows: Sequence[IndexRow]) -> bytes:
    """The index as Parquet; the same bytes for the same rows and version of pyarrow."""
    sink = io.BytesIO()
    pq.write_table(
        to_table(rows, IndexRow), sink, compression="zstd", store_schema=False, version="2.6"
    )
    return sink.getvalue()


def read_index(data: bytes, where: str) -> list[IndexRow]:
    """The rows of an index. Raises `ShardError` where it is none, or its rows make no sense."""
    try:
        table = pq.read_table(io.BytesIO(data))
        rows = from_table(table.cast(arrow_schema(IndexRow)), IndexRow)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise ShardError("bad_index", f"{where}: not an index of format 1: {error}") from error
    end, last = 0, ""
    for row in rows:
        spans = [(row.flac_offset, row.flac_size)] if row.flac_size else []
        for offset, size in [*spans, (row.json_offset, row.json_size)]:
            if offset < end or size < 0:
                raise ShardError("bad_index", f"{where}: {row.key}: bytes {offset}+{size} overlap")
            end = offset + size
        if row.key <= last:
            raise ShardError("bad_index", f"{where}: {row.key} does not follow {last}")
        last = row.key
    return rows
