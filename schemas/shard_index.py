"""The index beside a shard: where each sample's members lie, what they sum to, how much they hold.

An Arrow table in Parquet, one row per sample, in order: random access and exact resume without
reading the tar. `*_crc32` checks one member where the whole shard's sha256 would cost too much.
The column `tokens` is there only where tokens are stored, `outline` in all indexes but those of
the first days: with it a trainer plans its packs and never parses a sample's JSON.
"""

import dataclasses
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.records import Document, frames
from schemas.shard import SURROGATE, ShardError
from schemas.tables import arrow_schema, from_row, from_table, to_table


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenMember:
    """One array of tokens of a sample; `name` is its tokenizer's."""

    name: str
    offset: int
    size: int
    crc32: int
    positions: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What views and policies by chunks look at, per chunk; the JSON says the same and more."""

    rate: int  # frames per second
    end: tuple[int, ...]  # the frame after each chunk's last; the first begins at 0
    text: tuple[str, ...]
    speaker: tuple[str, ...]
    gap: tuple[float, ...]  # seconds
    after_drop: tuple[bool, ...]
    modality: tuple[str, ...]


def outline_of(document: Document) -> Outline:
    """The outline of a document that stands in a shard."""
    chunks = document.chunks
    return Outline(
        rate=document.rate,
        end=tuple(frames(chunk.end, document.rate) for chunk in chunks),
        text=tuple(SURROGATE.sub("\ufffd", chunk.text) for chunk in chunks),
        speaker=tuple(SURROGATE.sub("\ufffd", chunk.speaker) for chunk in chunks),
        gap=tuple(chunk.gap for chunk in chunks),
        after_drop=tuple(chunk.after_drop for chunk in chunks),
        modality=tuple(chunk.modality for chunk in chunks),
    )


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
    outline: Outline | None = None  # None: of the first days, or not asked for

    def token_member(self, name: str) -> TokenMember | None:
        """Where the tokens of a tokenizer lie; None where there are none."""
        for member in self.tokens:
            if member.name == name:
                return member
        return None


def index_bytes(rows: Sequence[IndexRow]) -> bytes:
    """The index as Parquet; the same bytes for the same rows and version of pyarrow."""
    table = to_table(rows, IndexRow)
    if not any(row.tokens for row in rows):
        table = table.drop_columns("tokens")
    if not all(row.outline for row in rows):
        table = table.drop_columns("outline")
    sink = io.BytesIO()
    # hardly a value stands twice: dictionaries took a sixth of the room
    pq.write_table(
        table, sink, compression="zstd", use_dictionary=False, store_schema=False, version="2.6"
    )
    return sink.getvalue()


def index_rows(table: pa.Table) -> list[IndexRow]:
    """The rows of an index's table, or of some of its rows; no column `tokens`: none are stored."""
    schema = arrow_schema(IndexRow)
    if "tokens" not in table.column_names:
        empty = pa.array([[]] * len(table), schema.field("tokens").type)
        table = table.append_column(schema.field("tokens"), empty)
    if "outline" in table.column_names:
        return from_table(table.select(schema.names).cast(schema), IndexRow)
    schema = pa.schema([field for field in schema if field.name != "outline"])
    found = table.select(schema.names).cast(schema).to_pylist()
    return [from_row(IndexRow, {**row, "outline": None}) for row in found]


def read_index(data: bytes, where: str) -> list[IndexRow]:
    """The rows of an index. Raises `ShardError` where it is none, or its rows make no sense."""
    try:
        rows = index_rows(index_table(data))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise bad_index(where, error) from error
    check_rows(rows, where)
    return rows


def index_table(data: bytes) -> pa.Table:
    return pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)


def bad_index(where: str, error: Exception) -> ShardError:
    return ShardError("bad_index", f"{where}: not an index of format 1: {error}")


def check_rows(rows: Sequence[IndexRow], where: str) -> None:
    """Raise `ShardError` unless keys ascend and members follow one another."""
    end, last = 0, ""
    for row in rows:
        for member in row.tokens:
            if member.offset < end or member.size < 0:
                raise _overlap(where, row, member.offset, member.size)
            end = member.offset + member.size
        if row.flac_size:
            if row.flac_offset < end or row.flac_size < 0:
                raise _overlap(where, row, row.flac_offset, row.flac_size)
            end = row.flac_offset + row.flac_size
        if row.json_offset < end or row.json_size < 0:
            raise _overlap(where, row, row.json_offset, row.json_size)
        end = row.json_offset + row.json_size
        if row.key <= last:
            raise ShardError("bad_index", f"{where}: {row.key} does not follow {last}")
        last = row.key


def _overlap(where: str, row: IndexRow, offset: int, size: int) -> ShardError:
    return ShardError("bad_index", f"{where}: {row.key}: bytes {offset}+{size} overlap")
