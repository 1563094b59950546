"""The rows of an index, column by column: what `read_index` gives, outlines aside.

A general codec turns each row into a mapping and each mapping into a record; for short clips that
weighed as much as reading their tokens. Here the columns are turned into plain lists at once.
"""

import itertools
from typing import Any

import pyarrow as pa

from schemas.shard_index import IndexRow, TokenMember, bad_index, check_rows
from schemas.tables import arrow_schema

PLAIN = (
    *("key", "flac_offset", "flac_size", "flac_crc32", "json_offset", "json_size", "json_crc32"),
    *("seconds", "chunks", "characters", "words"),
)
MEMBER = ("name", "offset", "size", "crc32", "positions")


def read_rows(table: pa.Table, where: str) -> list[IndexRow]:
    """The rows of an index, their `outline` left out. Raises `ShardError` for what is no index."""
    try:
        columns = [_plain(table, name) for name in PLAIN]
        tokens = _tokens(table)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise bad_index(where, error) from error
    rows = _rows(columns, tokens)
    check_rows(rows, where)
    return rows


def _rows(columns: list[list[Any]], tokens: list[tuple[TokenMember, ...]]) -> list[IndexRow]:
    """Spelt out, for a record from a mapping costs twice as much."""
    return [
        IndexRow(
            key=a, flac_offset=b, flac_size=c, flac_crc32=d, json_offset=e, json_size=f,
            json_crc32=g, seconds=h, chunks=i, characters=j, words=k, tokens=own,
        )
        for a, b, c, d, e, f, g, h, i, j, k, own in zip(*columns, tokens, strict=True)
    ]  # fmt: skip


def _plain(table: pa.Table, name: str) -> list[Any]:
    kind = arrow_schema(IndexRow).field(name).type
    return _list(_one(table[name]).cast(kind), name)


def _tokens(table: pa.Table) -> list[tuple[TokenMember, ...]]:
    if "tokens" not in table.column_names:
        return [()] * len(table)
    column = _one(table["tokens"]).cast(arrow_schema(IndexRow).field("tokens").type)
    if column.null_count:
        raise ValueError("tokens has gaps")
    flat = column.flatten()
    own = [_list(flat.field(name), f"tokens.{name}") for name in MEMBER]
    found = [
        TokenMember(name=a, offset=b, size=c, crc32=d, positions=e)
        for a, b, c, d, e in zip(*own, strict=True)
    ]
    borders = column.offsets.to_numpy()
    return [tuple(found[a:b]) for a, b in itertools.pairwise((borders - borders[0]).tolist())]


def _one(column: pa.ChunkedArray) -> Any:
    found = column.combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


def _list(column: Any, name: str) -> list[Any]:
    if column.null_count:
        raise ValueError(f"{name} has gaps")
    if pa.types.is_string(column.type):
        found: list[Any] = column.to_pylist()
    else:
        found = column.to_numpy().tolist()
    return found
