"""Filter: every condition at its border, reasons, unknown scores, and what it refuses."""

import math
from typing import Any

import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import make_id, make_row, make_rows

from schemas.records import Clip, Drop
from schemas.tables import arrow_schema, from_table
from transforms.select.columns import MissingColumns
from transforms.select.conditions import CONDITIONS, Bounds
from transforms.select.filter import Filter

LETTERS = "coverage__letters_per_second"


def drops(step: Filter, *rows: dict[str, Any]) -> list[Drop]:
    table = step.judge(make_rows(*rows))
    assert table.schema == arrow_schema(Drop)
    return from_table(table, Drop)


def one(step: Filter, **values: Any) -> Drop | None:
    """The drop of a single row, if it leaves."""
    found = drops(step, make_row("x", **values))
    return found[0] if found else None


@pytest.mark.parametrize(
    ("setting", "limit", "column", "passes", "fails", "reason"),
    [
        ("min_seconds", 2.0, "seconds", 2.0, 2.0 - 1 / 16_000, "too_short"),
        ("max_seconds", 2.0, "seconds", 2.0, 2.0 + 1 / 16_000, "too_long"),
        ("min_words", 3, "text_rate__words", 3, 2, "too_few_words"),
        ("min_language_probability", 0.5, "language__probability", 0.5, 0.49, "language_uncertain"),
        ("min_snr_db", 5, "snr__snr_db", 5.0, 4.9, "too_noisy"),
        ("min_snr_db", 0, "snr__snr_db", 0.0, -0.1, "too_noisy"),
        ("max_clipping", 0, "clipping__clipped_share", 0.0, 1e-6, "clipped"),
        ("min_speech_ratio", 0.5, "speech_ratio__ratio", 0.5, 0.4, "too_little_speech"),
        ("min_loudness", -40, "loudness__lufs", -40.0, -41.0, "too_quiet"),
        ("max_loudness", -10, "loudness__lufs", -10.0, -9.0, "too_loud"),
        ("max_words_per_second", 5, "text_rate__words_per_second", 5.0, 5.1, "words_too_fast"),
        ("min_chars_per_second", 3, "text_rate__chars_per_second", 3.0, 2.9, "text_too_sparse"),
        ("max_chars_per_second", 25, "text_rate__chars_per_second", 25.0, 26.0, "text_too_dense"),
        ("max_compression_ratio", 2.4, "text_rate__compression_ratio", 2.4, 2.5, "text_repeats"),
        ("max_loop_share", 0.2, "repetition__loop_share", 0.2, 0.21, "text_loops"),
        ("max_letters_per_second", 45, LETTERS, 45.0, 46.0, "text_without_speech"),
        ("min_letters_per_second", 5, LETTERS, 5.0, 4.9, "speech_without_text"),
        ("max_words_outside", 0.3, "coverage__words_outside", 0.3, 0.4, "words_outside_speech"),
        ("min_speech_covered", 0.7, "coverage__speech_covered", 0.7, 0.6, "speech_uncovered"),
        ("max_boilerplate", 0.5, "boilerplate__unspoken", 0.5, 0.6, "boilerplate"),
        ("max_no_speech", 0.6, "confidence__no_speech", 0.6, 0.7, "no_speech"),
        ("min_log_probability", -1, "confidence__mean_log_probability", -1.0, -1.1, "text_unsure"),
        ("max_unsure_words", 0, "confidence__unsure_share", 0.0, 0.1, "words_unsure"),
        ("max_disagreement", 0.3, "agreement__disagreement", 0.3, 1.5, "engines_disagree"),
        ("min_word_agreement", 0.7, "agreement__word_agreement", 0.7, 0.6, "words_contested"),
        ("min_bandwidth_hz", 5000, "bandwidth__hertz", 5000.0, 4000.0, "narrow_band"),
        ("max_dc_offset", 0.01, "dc_offset__share", 0.01, 0.02, "dc_offset"),
        ("max_music", 0.5, "music__music", 0.5, 0.6, "music"),
        ("max_noise", 0.5, "music__noise", 0.5, 0.6, "noise"),
        ("max_overlap", 0.0, "overlap__share", 0.0, 0.1, "overlap"),
        ("min_mos", 3, "mos__mos", 3.0, 2.9, "poor_quality"),
    ],
)
def test_a_number_at_its_border(
    setting: str, limit: float, column: str, passes: float, fails: float, reason: str
) -> None:
    step = Filter(**{setting: limit})
    assert one(step, **{column: passes}) is None
    drop = one(step, **{column: fails})
    assert drop is not None
    assert (drop.reason, drop.threshold, drop.step) == (reason, limit, "filter")
    assert drop.score == pytest.approx(fails)
    assert drop.detail == column.replace("__", ".")
    assert drop.reason in Filter.reasons


def test_a_drop_names_the_clip_its_task_and_its_seconds() -> None:
    drop = one(Filter(max_seconds=1), seconds=1.5)
    assert drop is not None
    assert (drop.id, drop.root) == (make_id("x"), make_id("task of x"))
    assert (drop.seconds, drop.start, drop.end) == (1.5, None, None)


def test_seconds_are_those_of_the_record() -> None:
    """On the grid of the rate, not the difference of two floats."""
    row = make_row("x", seconds=0.3)
    table = make_rows(row)
    clip = Clip(**{k: v for k, v in row.items() if k in Clip.__slots__ and not isinstance(v, list)})
    drop = one(Filter(max_seconds=0.1), seconds=0.3)
    assert drop is not None
    assert drop.seconds == clip.seconds == 0.3
    assert table["end"][0].as_py() - table["start"][0].as_py() != 0.3


def test_language_is_the_measured_one_then_the_carried_one() -> None:
    step = Filter(language=["en", "de"])
    assert one(step, language__language="en") is None
    assert one(step, language__language="en", language="es") is None
    drop = one(step, language__language="es", language="en")
    assert drop is not None
    assert drop.reason == "wrong_language"
    assert (drop.score, drop.threshold) == (None, None)
    assert drop.detail == "language.language is 'es', not among en, de"
    assert one(step, language="en-GB") is None
    assert one(step, language="DE_at") is None
    carried = one(step, language="es-MX")
    assert carried is not None
    assert "'es'" in carried.detail
    assert one(step) is None  # too short to tell, and nobody said: kept


def test_languages_must_agree_where_both_are_known() -> None:
    step = Filter(languages_agree=True)
    assert one(step, language_agreement__agrees=True) is None
    assert one(step, language_agreement__agrees=None) is None
    drop = one(step, language_agreement__agrees=False)
    assert drop is not None
    assert (drop.reason, drop.score, drop.threshold) == ("languages_disagree", None, None)
    with pytest.raises(pydantic.ValidationError):
        Filter(languages_agree=False)  # off is null: false would keep only what disagrees


def test_every_condition_is_off_at_first_and_has_a_column_and_a_line() -> None:
    columns = set(make_rows().column_names) | {"seconds"}
    for reason, setting, column in CONDITIONS:
        assert Filter.model_fields[setting].default is None
        assert {reason, f"{reason}_unknown"} <= set(Filter.reasons)
        assert column in columns


def test_quality_is_a_list_of_what_stays() -> None:
    step = Filter(quality=["given", "normal"])
    assert one(step, quality="given") is None
    drop = one(step, quality="smoke")
    assert drop is not None
    assert drop.reason == "text_quality"


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_an_unknown_score_stays_unless_told_otherwise(unknown: float | None) -> None:
    assert one(Filter(min_snr_db=5), snr__snr_db=unknown) is None
    drop = one(Filter(min_snr_db=5, missing="drop"), snr__snr_db=unknown)
    assert drop is not None
    assert (drop.reason, drop.score, drop.threshold) == ("too_noisy_unknown", None, 5.0)
    assert drop.reason in Filter.reasons


def test_an_unknown_score_hides_no_later_failure() -> None:
    drop = one(Filter(min_snr_db=5, max_clipping=0.1), clipping__clipped_share=0.5)
    assert drop is not None
    assert drop.reason == "clipped"
    unknown = one(Filter(language=["en"], missing="drop"))
    assert unknown is not None
    assert unknown.reason == "wrong_language_unknown"
    assert unknown.detail == "language.language is 'unknown', not among en"


def test_the_first_condition_in_the_documented_order_is_the_reason() -> None:
    bad = {"snr__snr_db": 0.0, "clipping__clipped_share": 1.0, "language__language": "es"}
    everything = Filter(max_clipping=0.1, min_snr_db=5, language=["en"], min_seconds=3)
    reasons = []
    for setting in ("min_seconds", "language", "min_snr_db", "max_clipping"):
        drop = one(everything, **bad)
        assert drop is not None
        reasons.append(drop.reason)
        everything = Filter(**(everything.model_dump() | {setting: None}))
    assert reasons == ["too_short", "wrong_language", "too_noisy", "clipped"]
    assert one(everything, **bad) is None


def test_where_reaches_any_column() -> None:
    def where(column: str, **bounds: Any) -> Filter:
        return Filter(where={column: Bounds(**bounds)})

    assert one(where("snr.snr_db", min=5, max=30), snr__snr_db=30.0) is None
    drop = one(where("snr.snr_db", min=5, max=30), snr__snr_db=31.0)
    assert drop is not None
    assert (drop.reason, drop.score, drop.threshold) == ("where", 31.0, 30.0)
    assert one(where("codec", allow=["mp3", "flac"]), codec="flac") is None
    denied = one(where("codec", deny=["mp3"]), codec="mp3")
    assert denied is not None
    assert denied.detail == "codec is 'mp3', among mp3"
    assert one(where("partial", deny=[True]), partial=True) is not None
    assert one(where("partial", deny=[True]), partial=False) is None
    assert one(where("channel", allow=[0]), channel=1) is not None
    assert one(where("text_rate.words", min=2), text_rate__words=1) is not None


def test_where_values_of_data_are_cut_in_the_detail() -> None:
    text = "\u202e\u05e9\u05dc\u05d5\u05dd" * 100
    drop = one(Filter(where={"text": Bounds(allow=["x"])}), text=text)
    assert drop is not None
    assert len(drop.detail) < 120


def test_score_only_drops_nothing_and_still_needs_its_scores() -> None:
    strict = Filter(min_snr_db=5, score_only=True)
    assert one(strict, snr__snr_db=-10.0) is None
    assert "snr.snr_db" in strict.needs()


def test_needs_is_what_is_read_and_no_more() -> None:
    assert Filter().needs() == {"id", "task", "start", "end", "rate"}
    step = Filter(language=["en"], min_snr_db=5, where={"codec": Bounds(deny=["mp3"])})
    assert step.needs() == Filter().needs() | {
        "language.language",
        "language",
        "snr.snr_db",
        "codec",
    }
    row = make_row("x", language__language="es")
    assert step.judge(make_rows(row).select(sorted(step.needs()))).num_rows == 1
    for column in step.needs():
        with pytest.raises(MissingColumns, match=repr(column)):
            step.judge(make_rows(row).drop_columns([column]))


def test_a_missing_score_names_the_measure_that_would_provide_it() -> None:
    rows = make_rows(make_row("x")).drop_columns(["snr.snr_db"])
    with pytest.raises(MissingColumns, match=r"measure 'snr' provides: add `- snr: \{\}`"):
        Filter(min_snr_db=5).judge(rows)
    with pytest.raises(MissingColumns, match=r"no measure provides; the nearest is 'snr\.snr_db'"):
        Filter(where={"snr.snr_bd": Bounds(min=5)}).judge(rows)


def test_limits_on_what_is_no_number_are_refused_when_planned() -> None:
    with pytest.raises(TypeError, match="use allow or deny"):
        Filter(where={"language.language": Bounds(min=5)}).needs()
    with pytest.raises(TypeError, match=r"'snr\.snr_db'"):
        Filter(where={"snr.snr_db": Bounds(allow=["x"])}).judge(make_rows(make_row("x")))


@pytest.mark.parametrize(
    "settings",
    [
        {"min_seconds": 3, "max_seconds": 2},
        {"min_loudness": -10, "max_loudness": -20},
        {"min_chars_per_second": 9, "max_chars_per_second": 8},
        {"min_letters_per_second": 9, "max_letters_per_second": 8},
        {"min_log_probability": 0.1},
        {"language": []},
        {"language": ["english"]},
        {"language": ["EN"]},
        {"language": "en"},
        {"quality": []},
        {"quality": ["good"]},
        {"min_snr_db": "5"},
        {"min_snr_db": math.nan},
        {"max_clipping": 2},
        {"missing": "ignore"},
        {"min_snr": 5},
        {"where": {"snr.snr_db": {}}},
        {"where": {"snr.snr_db": {"min": 2, "max": 1}}},
        {"where": {"snr.snr_db": {"least": 2}}},
        {"where": {"codec": {"allow": []}}},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Filter(**settings)


def test_blocks_without_rows_or_without_any_known_score() -> None:
    step = Filter(min_snr_db=5, language=["en"], missing="drop")
    assert step.judge(make_rows()).num_rows == 0
    rows = make_rows(make_row("x"))
    for column in ("snr.snr_db", "language.language"):
        place = rows.column_names.index(column)
        rows = rows.set_column(place, column, pa.nulls(1))
    assert step.judge(rows)["reason"].to_pylist() == ["wrong_language_unknown"]
    assert Filter(min_snr_db=5).judge(rows).num_rows == 0


NUMBERS = st.one_of(st.none(), st.floats(-50, 50), st.just(math.nan))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "snr__snr_db": NUMBERS,
            "loudness__lufs": NUMBERS,
            "language__language": st.sampled_from([None, "en", "es", "he"]),
            "quality": st.sampled_from(["given", "normal", "smoke"]),
            "seconds": st.integers(0, 40).map(lambda n: n / 8),
        }
    ),
    max_size=12,
)
STEPS = st.builds(
    Filter,
    min_seconds=st.sampled_from([None, 0, 1.5]),
    min_snr_db=st.sampled_from([None, 0, 5]),
    min_loudness=st.sampled_from([None, -30.0]),
    language=st.sampled_from([None, ["en"]]),
    quality=st.sampled_from([None, ["given"]]),
    missing=st.sampled_from(["keep", "drop"]),
)


def expected(step: Filter, row: dict[str, Any]) -> str | None:
    """The reason by which a row leaves, one row and one condition at a time."""
    for code, setting, column in CONDITIONS:
        limit = getattr(step, setting)
        if limit is None:
            continue
        value = row["end"] - row["start"] if column == "seconds" else row.get(column)
        if value is None or value != value:
            if step.missing == "drop":
                return f"{code}_unknown"
        elif (
            value not in limit
            if isinstance(limit, list)
            else value < limit
            if setting.startswith("min_")
            else value > limit
        ):
            return code
    return None


@settings(max_examples=120, deadline=None)
@given(values=ROWS, step=STEPS)
def test_the_block_is_judged_as_its_rows_are(values: list[dict[str, Any]], step: Filter) -> None:
    rows = [make_row(i, **value) for i, value in enumerate(values)]
    found = {drop.id: drop for drop in drops(step, *rows)}
    reasons = {row["id"]: expected(step, row) for row in rows}
    assert {i: d.reason for i, d in found.items()} == {i: r for i, r in reasons.items() if r}
    table = step.judge(make_rows(*rows))
    assert table["id"].to_pylist() == [r["id"] for r in rows if reasons[r["id"]]]
    backwards = step.judge(make_rows(*rows[::-1])).to_pylist()
    assert backwards[::-1] == table.to_pylist()
    for row in rows:
        assert step.judge(make_rows(row)).num_rows == (reasons[row["id"]] is not None)
