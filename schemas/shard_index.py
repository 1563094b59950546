"""The index beside a shard: where each sample's members lie, what they sum to, how much they hold.

An Arrow table in Parquet, one row per sample, in order: random access and exact resume without
reading the tar. `*_crc32` checks one member where the whole shard's sha256 would cost too much.
The column `tokens` is there only where tokens are stored.
"""

import dataclasses
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.shard import ShardError
from schemas.tables import arrow_schema, from_table, to_table


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenMember:
    """One array of tokens of a sample; `name` is its tokenizer's."""

    name: str
    offset: int
    size: int
    crc32: int
    positions: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class IndexRow:
    """One sample. Offsets are of a member's data; a sample without a FLAC has all 0 for it."""

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
    tokens: tuple[TokenMember, ...] = ()  # in the order of their names

    def token_member(self, name: str) -> TokenMember | None:
        """Where the tokens of a tokenizer lie; None where there are none."""
        return next((member for member in self.tokens if member.name == name), None)


def index_bytes(rows: Sequence[IndexRow]) -> bytes:
    """The index as Parquet; the same bytes for the same rows and version of pyarrow."""
    table = to_table(rows, IndexRow)
    if not any(row.tokens for row in rows):
        table = table.drop_columns("tokens")
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False, version="2.6")
    return sink.getvalue()


def index_rows(table: pa.Table) -> list[IndexRow]:
    """The rows of an index's table, or of some of its rows; no column `tokens`: none are stored."""
    schema = arrow_schema(IndexRow)
    if "tokens" not in table.column_names:
        empty = pa.array([[]] * len(table), schema.field("tokens").type)
        table = table.append_column(schema.field("tokens"), empty)
    return from_table(table.cast(schema), IndexRow)


def read_index(data: bytes, where: str) -> list[IndexRow]:
    """The rows of an index. Raises `ShardError` where it is none, or its rows make no sense."""
    try:
        rows = index_rows(pq.ParquetFile(io.BytesIO(data)).read(use_threads=False))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise ShardError("bad_index", f"{where}: not an index of format 1: {error}") from error
    end, last = 0, ""
    for row in rows:
        spans = [(member.offset, member.size) for member in row.tokens]
        spans += [(row.flac_offset, row.flac_size)] if row.flac_size else []
        for offset, size in [*spans, (row.json_offset, row.json_size)]:
            if offset < end or size < 0:
                raise ShardError("bad_index", f"{where}: {row.key}: bytes {offset}+{size} overlap")
            end = offset + size
        if row.key <= last:
            raise ShardError("bad_index", f"{where}: {row.key} does not follow {last}")
        last = row.key
    return rows
