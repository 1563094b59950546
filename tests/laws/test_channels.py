"""Rows for channels of a recording: what none names, and what holds nothing, is said aloud."""

from pathlib import Path

import pytest

from pipeline.pointers import read_pointers
from tests.laws import made_corpus, runs
from tests.laws.made_corpus import Row
from transforms.gather.found import DataError


def test_a_channel_that_holds_nothing_is_a_drop_with_its_reason(tmp_path: Path) -> None:
    rows = [
        Row(audio="call.wav", channel="0", text="river garden candle winter"),
        Row(audio="call.wav", channel="5", text="copper harbour river garden"),
    ]
    table = made_corpus.write_corpus(tmp_path / "data", names=["call.wav"], table=rows)
    ran = runs.curate(table, tmp_path / "out")
    (row,) = [row for row in ran.funnel if (row.phase, row.step) == ("annotate", "annotate")]
    assert [
        (drop.items, drop.seconds) for drop in row.drops if drop.reason == "no_such_channel"
    ] == [(1, 0.0)]
    diarized = next(row for row in ran.funnel if row.step == "diarize")
    segmented = next(row for row in ran.funnel if row.step == "segment")
    assert 0 < diarized.items_out < segmented.items_out  # channel 0 alone was given


def test_speech_of_a_channel_that_no_row_names_is_accounted_for(tmp_path: Path) -> None:
    rows = [Row(audio="call.wav", channel="0", text="river garden candle winter")]
    table = made_corpus.write_corpus(tmp_path / "data", names=["call.wav"], table=rows)
    ran = runs.curate(table, tmp_path / "out")
    (row,) = [row for row in ran.funnel if (row.phase, row.step) == ("annotate", "annotate")]
    (drop,) = row.drops
    heard = next(row for row in ran.funnel if row.step == "gate")
    diarized = next(row for row in ran.funnel if row.step == "diarize")
    assert drop.reason == "channel_not_named" and drop.items == heard.items_out - diarized.items_in
    assert heard.seconds_out == pytest.approx(diarized.seconds_in + drop.seconds, abs=1e-9)


def test_a_row_for_a_channel_is_refused_where_channels_are_mixed(tmp_path: Path) -> None:
    rows = [Row(audio="call.wav", channel="0", text="river garden candle winter")]
    table = made_corpus.write_corpus(tmp_path / "data", names=["call.wav"], table=rows)
    with pytest.raises(DataError, match=r"table\.csv:2.*the recipe mixes all channels"):
        runs.curate(table, tmp_path / "out", ["decode.channels=mix"])
    assert not (tmp_path / "out" / "hear").exists()  # before any work


def test_a_trial_does_not_take_the_place_of_the_whole_run(tmp_path: Path) -> None:
    names = ["talk0.wav", "talk1.wav", "talk2.wav"]
    table = made_corpus.write_corpus(tmp_path / "data", names=names)
    whole = runs.curate(table, tmp_path / "out")
    trial = runs.curate(table, tmp_path / "out", limit_seconds=5.0)
    assert trial.result.compose_key != whole.result.compose_key
    pointers = {pointer.name: pointer.compose for pointer in read_pointers(whole.store)}
    assert pointers == {
        "laws": whole.result.compose_key,
        "laws.trial": trial.result.compose_key,
    }
