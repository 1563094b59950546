"""Drops by the million: a table of `Drop` built from columns, never from Python objects."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.records import Drop
from schemas.tables import arrow_schema

Column: TypeAlias = Any  # an Arrow array, or one plain value for every row


def drops_table(
    *,
    id: Column,
    root: Column,
    step: str,
    reason: Column,
    seconds: Column,
    score: Column = None,
    threshold: Column = None,
    detail: Column = "",
) -> pa.Table:
    """A table of whole-record drops (`start` and `end` are null), one per element of `id`.

    Each of the others is a column of the same length or one value for all rows.
    """
    given = {
        "id": id,
        "root": root,
        "step": step,
        "reason": reason,
        "seconds": seconds,
        "score": score,
        "threshold": threshold,
        "detail": detail,
    }
    schema = arrow_schema(Drop)
    rows = len(id) if isinstance(id, pa.Array | pa.ChunkedArray) else 1
    columns = []
    for field in schema:
        values = given.get(field.name)
        if isinstance(values, pa.Array | pa.ChunkedArray):
            columns.append(values.cast(field.type))
        else:
            columns.append(pa.repeat(pa.scalar(values, field.type), rows))
    return pa.table(columns, schema=schema)


def no_drops() -> pa.Table:
    """An empty table of `Drop`."""
    return arrow_schema(Drop).empty_table()


def clip_seconds(rows: pa.Table) -> npt.NDArray[np.float64]:
    """`Clip.seconds` of each row, exactly as the record computes it; reads start, end and rate."""
    rate = rows["rate"].to_numpy().astype(np.float64)
    start = np.rint(rows["start"].to_numpy() * rate)
    end = np.rint(rows["end"].to_numpy() * rate)
    seconds: npt.NDArray[np.float64] = (end - start) / rate
    return seconds


SECONDS_COLUMNS = frozenset({"start", "end", "rate"})  # what `clip_seconds` reads
