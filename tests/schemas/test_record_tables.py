import dataclasses
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import AudioRef, Clip, Drop, Segment, Transcript, Word
from schemas.tables import arrow_schema, from_row, from_table, to_row, to_table

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
TIME = st.floats(0, 1e6)


def span() -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(TIME, TIME).map(lambda pair: (min(pair), max(pair)))


WORDS = st.builds(
    lambda text, times, confidence: Word(
        text=text, start=times[0], end=times[1], confidence=confidence
    ),
    st.text(max_size=6),
    span(),
    st.none() | st.floats(0, 1),
)
TRANSCRIPTS = st.builds(
    Transcript,
    engine=st.text(max_size=5),
    text=st.text(max_size=9),
    language=st.none() | st.text(max_size=2),
    words=st.lists(WORDS, max_size=2).map(tuple),
    times=st.sampled_from(["measured", "estimated", "none"]),
    mean_log_probability=st.none() | NUMBER,
)
REFS = st.builds(
    AudioRef,
    tar=HEX,
    offset=st.integers(0, 2**50),
    size=st.integers(0, 2**40),
    start=st.just(0),
    end=st.integers(0, 2**40),
    rate=st.just(16000),
)
CLIPS = st.builds(
    lambda times, **rest: Clip(start=times[0], end=times[1], **rest),
    times=span(),
    id=HEX,
    task=HEX,
    recording=HEX,
    channel=st.integers(0, 9),
    index=st.integers(0, 2**31),
    rate=st.sampled_from([16000, 24000]),
    speaker=st.text(max_size=5),
    text=st.text(max_size=9),
    language=st.none() | st.text(max_size=2),
    words=st.lists(WORDS, max_size=2).map(tuple),
    transcripts=st.lists(TRANSCRIPTS, max_size=2).map(tuple),
    audio=st.none() | REFS,
    partial=st.booleans(),
)


@given(st.lists(CLIPS, max_size=4))
def test_records_come_back_equal(clips: list[Clip]) -> None:
    table = to_table(clips, Clip)
    assert table.schema == arrow_schema(Clip)
    assert from_table(table, Clip) == clips
    assert [from_row(Clip, to_row(clip)) for clip in clips] == clips


def test_what_may_be_none_may_be_null_and_nothing_else() -> None:
    schema = arrow_schema(Segment)
    assert schema.field("audio").nullable
    assert not schema.field("start").nullable
    assert schema.field("audio").type.field("tar").type == pa.string()
    drop = arrow_schema(Drop)
    assert [f.name for f in drop if f.nullable] == ["start", "end", "score", "threshold"]


def test_an_empty_table_keeps_its_columns() -> None:
    assert to_table([], Drop).schema.names == [f.name for f in dataclasses.fields(Drop)]


def test_columns_that_a_class_does_not_know_are_ignored() -> None:
    word = Word(text="a", start=0.0, end=1.0)
    table = to_table([word], Word).append_column("new", pa.array([5]))
    assert from_table(table, Word) == [word]


@dataclasses.dataclass(frozen=True)
class Holds:
    side: Literal["a", "b"]
    number: int | None


def test_a_number_stays_what_it_was() -> None:
    table = to_table([Holds("a", 3), Holds("b", None)], Holds)
    assert [type(row["number"]) for row in table.to_pylist()] == [int, type(None)]


@pytest.mark.parametrize("hint", [dict[str, int], set[str], Any, int | str, tuple[int, int]])
def test_what_a_column_cannot_hold_is_refused_at_once(hint: Any) -> None:
    record = dataclasses.make_dataclass("Record", [("field", hint)])
    with pytest.raises(TypeError, match="cannot hold"):
        arrow_schema(record)
