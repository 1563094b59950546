"""Quantiles over all rows that reach a step, or over those of each source: exact and order-free.

A quantile needs every value, so it is settled before any row is judged: each block gives the
values of its rows (16 bytes a row and quantile column), they are sorted by group and value, and
the quantile q of n values is the one at place ceil(q n) from below: a value that a row has, never
one in between (`inverted_cdf` of numpy). Rows without a value count in no quantile; rows whose
group is not known are a group of their own.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_TINY = 1e-9  # of a place: q n is a whole number up to rounding

SURVEY = pa.schema(
    [
        pa.field("column", pa.string(), False),
        pa.field("per", pa.string()),
        pa.field("group", pa.string()),
        pa.field("value", pa.float64(), False),
    ]
)
LIMITS = pa.schema(
    [
        pa.field("column", pa.string(), False),
        pa.field("per", pa.string()),
        pa.field("quantile", pa.float64(), False),
        pa.field("group", pa.string()),
        pa.field("limit", pa.float64(), False),
        pa.field("rows", pa.int64(), False),  # that the quantile was taken over
    ]
)


class Wanted(NamedTuple):
    """A quantile of a column, over all rows or over those that share a value of `per`."""

    column: str
    per: str | None
    quantile: float


def survey(
    values: pa.ChunkedArray, column: str, per: str | None, groups: pa.ChunkedArray | None
) -> pa.Table:
    """The known values of one block, with their groups."""
    numbers = values.cast(pa.float64())
    known = pc.fill_null(pc.is_finite(numbers), False)
    named = pa.nulls(len(numbers), pa.string()) if groups is None else groups.cast(pa.string())
    table = pa.table({"group": named, "value": numbers}).filter(known)
    return pa.table(
        [
            pa.repeat(pa.scalar(column), table.num_rows),
            pa.repeat(pa.scalar(per, pa.string()), table.num_rows),
            table["group"],
            table["value"],
        ],
        schema=SURVEY,
    )


def limits(surveys: Iterable[pa.Table], wanted: Sequence[Wanted]) -> pa.Table:
    """The limits of every group, from what all blocks gave; the order of blocks does not matter."""
    found = [table for table in surveys if table.num_rows]
    whole = pa.concat_tables(found) if found else SURVEY.empty_table()
    tables = []
    for column, per in sorted({(w.column, w.per) for w in wanted}, key=str):
        mine = whole.filter(
            pc.and_(
                pc.equal(whole["column"], column),
                pc.is_null(whole["per"]) if per is None else pc.equal(whole["per"], per),
            )
        )
        mine = mine.sort_by([("group", "ascending"), ("value", "ascending")]).combine_chunks()
        values = mine["value"].to_numpy()
        starts = _starts(mine["group"])
        counts = np.diff(np.append(starts, len(values)))
        names = mine["group"].take(pa.array(starts))
        for quantile in sorted({w.quantile for w in wanted if (w.column, w.per) == (column, per)}):
            places = [max(math.ceil(quantile * int(n) - _TINY), 1) - 1 for n in counts]
            tables.append(
                pa.table(
                    [
                        pa.repeat(pa.scalar(column), len(starts)),
                        pa.repeat(pa.scalar(per, pa.string()), len(starts)),
                        pa.repeat(pa.scalar(quantile), len(starts)),
                        names,
                        pa.array(values[starts + np.array(places, np.int64)], pa.float64()),
                        pa.array(counts, pa.int64()),
                    ],
                    schema=LIMITS,
                )
            )
    return pa.concat_tables(tables).combine_chunks() if tables else LIMITS.empty_table()


def _starts(groups: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Where a group begins, in sorted groups; null is a group like any other."""
    codes = groups.combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()
    return np.flatnonzero(np.append([True], codes[1:] != codes[:-1])[: len(codes)]).astype(np.int64)


def limits_of_rows(
    table: pa.Table, wanted: Wanted, groups: pa.ChunkedArray | None, rows: int
) -> npt.NDArray[np.float64]:
    """The limit that holds for each row; NaN for a group of which no value is known."""
    mine = table.filter(
        pc.and_(
            pc.and_(
                pc.equal(table["column"], wanted.column),
                pc.equal(table["quantile"], wanted.quantile),
            ),
            pc.is_null(table["per"])
            if wanted.per is None
            else pc.fill_null(pc.equal(table["per"], wanted.per), False),
        )
    )
    if not mine.num_rows:
        return np.full(rows, np.nan)
    if groups is None:
        return np.full(rows, mine["limit"][0].as_py(), np.float64)
    place = pc.index_in(groups.cast(pa.string()), value_set=mine["group"].combine_chunks())
    found = mine["limit"].take(place).cast(pa.float64())
    numbers: npt.NDArray[np.float64] = pc.fill_null(found, float("nan")).to_numpy()
    return numbers
