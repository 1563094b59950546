"""Rows of the joined table, as select sees them, from a few named values."""

from typing import Any

import pyarrow as pa

from schemas.ids import digest_of
from schemas.records import Clip
from schemas.tables import arrow_schema
from transforms.step import Measure, registry

RATE = 16_000


def score_fields() -> list[pa.Field]:
    """The fields of every measure's scores, `<measure>.<column>`."""
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return [
        pa.field(f"{name}.{column}", kinds[kind])
        for name, step in registry().items()
        if issubclass(step, Measure)
        for column, kind in step.columns.items()
    ]


def make_id(name: object) -> str:
    return digest_of("made", name)


def make_row(name: object, **values: Any) -> dict[str, Any]:
    """One row: a two-second clip of its own task, all scores unknown, unless said otherwise."""
    row = {
        "id": make_id(name),
        "task": make_id(f"task of {name}"),
        "recording": make_id(f"recording of {name}"),
        "channel": 0,
        "index": 0,
        "start": 1.0,
        "end": 3.0,
        "rate": RATE,
        "speaker": "spk0",
        "speaker_given": False,
        "text": "",
        "quality": "normal",
        "times": "none",
        "words": [],
        "transcripts": [],
        "source_rate": RATE,
        "codec": "",
        "pcm_sha256": "",
        "partial": False,
    }
    seconds = values.pop("seconds", None)
    if seconds is not None:
        row["end"] = row["start"] + seconds
    return row | {key.replace("__", "."): value for key, value in values.items()}


def make_rows(*rows: dict[str, Any]) -> pa.Table:
    schema = pa.schema(list(arrow_schema(Clip)) + score_fields())
    return pa.Table.from_pylist(list(rows), schema=schema)
