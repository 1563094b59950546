"""Tables of drops and the advice about missing columns."""

import pyarrow as pa
import pytest
from made_rows import make_id

from schemas.records import Drop
from schemas.tables import arrow_schema, from_table
from transforms.select.columns import MissingColumns, known_columns, require
from transforms.select.drops import drops_table, no_drops


def test_a_table_of_drops_is_one_of_records() -> None:
    table = drops_table(
        id=pa.array([make_id(1), make_id(2)]),
        root=pa.chunked_array([[make_id(3)], [make_id(4)]]),
        step="filter",
        reason=pa.array(["too_short", "too_long"]),
        seconds=pa.array([0.5, 2.0]),
        score=pa.array([0.5, None]),
        threshold=1,
    )
    assert table.schema == arrow_schema(Drop)
    assert from_table(table, Drop) == [
        Drop(
            id=make_id(1),
            root=make_id(3),
            step="filter",
            reason="too_short",
            seconds=0.5,
            score=0.5,
            threshold=1.0,
        ),
        Drop(
            id=make_id(2),
            root=make_id(4),
            step="filter",
            reason="too_long",
            seconds=2.0,
            threshold=1.0,
        ),
    ]


def test_no_drops_has_the_schema() -> None:
    assert no_drops().schema == arrow_schema(Drop)
    assert no_drops().num_rows == 0


def test_columns_that_are_there_are_fine() -> None:
    require("filter", ["id"], ["id", "task"])
    with pytest.raises(MissingColumns, match="step filter cannot judge"):
        require("filter", ["id"], [])


def test_known_columns_are_those_of_clips_and_of_measures() -> None:
    known = known_columns()
    assert known["snr.snr_db"] is float
    assert known["language.language"] is str
    assert known["text_rate.words"] is int
    assert known["partial"] is bool
    assert known["words"] is None
