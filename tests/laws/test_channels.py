"""A table that names a channel which holds nothing must say so: the row would just vanish."""

from pathlib import Path

from tests.laws import made_corpus, runs
from tests.laws.made_corpus import Row


def test_a_channel_that_holds_nothing_is_a_drop_with_its_reason(tmp_path: Path) -> None:
    rows = [
        Row(audio="call.wav", channel="0", text="river garden candle winter"),
        Row(audio="call.wav", channel="5", text="copper harbour river garden"),
    ]
    table = made_corpus.write_corpus(tmp_path / "data", names=["call.wav"], table=rows)
    ran = runs.curate(table, tmp_path / "out")
    (row,) = [row for row in ran.funnel if (row.phase, row.step) == ("annotate", "annotate")]
    assert [(drop.reason, drop.items, drop.seconds) for drop in row.drops] == [
        ("no_such_channel", 1, 0.0)
    ]
    diarized = next(row for row in ran.funnel if row.step == "diarize")
    segmented = next(row for row in ran.funnel if row.step == "segment")
    assert 0 < diarized.items_out < segmented.items_out  # channel 0 alone was given
