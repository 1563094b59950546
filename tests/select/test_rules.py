"""Named rules: how they compose, quantiles over sources, lists, patterns, and notes."""

import math
import pathlib
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import make_id, make_row, make_rows

from schemas.records import Drop
from schemas.tables import from_table
from transforms.select.filter import Filter
from transforms.select.rules import Rule, depth

SNR, LUFS = "snr.snr_db", "loudness.lufs"


def step(rule: dict[str, Any], **settings: Any) -> Filter:
    return Filter.model_validate({"rules": {"mine": rule}, **settings})


def left(filter_: Filter, *rows: dict[str, Any]) -> dict[str, Drop]:
    return {drop.id: drop for drop in from_table(filter_.judge(make_rows(*rows)), Drop)}


def one(rule: dict[str, Any], *, missing: str = "keep", **values: Any) -> Drop | None:
    found = left(step(rule, missing=missing), make_row("x", **values))
    return found.get(make_id("x"))


def test_a_rule_names_itself_its_value_and_its_threshold() -> None:
    drop = one({"column": SNR, "min": 5, "max": 30}, snr__snr_db=31.5)
    assert drop is not None
    assert (drop.step, drop.reason, drop.score, drop.threshold) == ("filter", "mine", 31.5, 30.0)
    assert drop.detail == SNR
    assert one({"column": SNR, "min": 5, "max": 30}, snr__snr_db=5.0) is None


def test_any_of_is_met_by_one_and_decided_by_the_first_that_fails() -> None:
    rule = {"any_of": [{"column": SNR, "min": 10}, {"column": LUFS, "min": -20}]}
    assert one(rule, snr__snr_db=1.0, loudness__lufs=-10.0) is None
    drop = one(rule, snr__snr_db=1.0, loudness__lufs=-30.0)
    assert drop is not None
    assert (drop.score, drop.threshold) == (1.0, 10.0)


def test_not_turns_a_rule_round_and_keeps_the_value_that_decided() -> None:
    rule = {"not": {"all_of": [{"column": SNR, "min": 10}, {"column": "codec", "allow": ["mp3"]}]}}
    assert one(rule, snr__snr_db=20.0, codec="flac") is None
    drop = one(rule, snr__snr_db=20.0, codec="mp3")
    assert drop is not None
    assert (drop.reason, drop.score, drop.threshold) == ("mine", 20.0, 10.0)


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_is_not_known_stays_so_unless_the_rest_decides(unknown: float | None) -> None:
    either = {"any_of": [{"column": SNR, "min": 10}, {"column": LUFS, "min": -20}]}
    both = {"all_of": either["any_of"]}
    assert one(either, missing="drop", snr__snr_db=unknown, loudness__lufs=-10.0) is None
    drop = one(either, missing="drop", snr__snr_db=unknown, loudness__lufs=-30.0)
    assert drop is not None
    assert (drop.reason, drop.score, drop.threshold) == ("mine_unknown", None, 10.0)
    assert one(either, snr__snr_db=unknown, loudness__lufs=-30.0) is None
    failed = one(both, snr__snr_db=unknown, loudness__lufs=-30.0)
    assert failed is not None
    assert (failed.reason, failed.score) == ("mine", -30.0)


LEAVES = st.builds(
    lambda column, limit, low: {"column": column, "min" if low else "max": limit},
    st.sampled_from([SNR, LUFS]),
    st.integers(-3, 3),
    st.booleans(),
)
RULES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all_of": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any_of": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
)
VALUES = st.one_of(st.none(), st.integers(-4, 4).map(float), st.just(math.nan))


def kleene(rule: dict[str, Any], row: dict[str, float | None]) -> bool | None:
    """What a rule says, one row and Python's own logic at a time."""
    if "column" in rule:
        value = row[rule["column"]]
        if value is None or value != value:
            return None
        return value >= rule["min"] if "min" in rule else value <= rule["max"]
    if "not" in rule:
        inner = kleene(rule["not"], row)
        return None if inner is None else not inner
    said = [kleene(part, row) for part in rule.get("all_of", rule.get("any_of"))]
    decisive = "any_of" in rule
    if decisive in said:
        return decisive
    return None if None in said else not decisive


@settings(max_examples=150, deadline=None)
@given(rule=RULES, rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6))
def test_rules_follow_kleenes_logic(
    rule: dict[str, Any], rows: list[tuple[float | None, float | None]]
) -> None:
    found = left(
        step(rule, missing="drop"),
        *(make_row(i, snr__snr_db=a, loudness__lufs=b) for i, (a, b) in enumerate(rows)),
    )
    for i, (snr, lufs) in enumerate(rows):
        said = kleene(rule, {SNR: snr, LUFS: lufs})
        drop = found.get(make_id(i))
        reason = None if drop is None else drop.reason
        assert reason == {True: None, False: "mine", None: "mine_unknown"}[said]
        if drop is not None and drop.reason == "mine":
            assert drop.score in (snr, lufs)


def sourced(*pairs: tuple[str | None, float | None]) -> pa.Table:
    table = make_rows(*(make_row(i, snr__snr_db=value) for i, (_, value) in enumerate(pairs)))
    return table.append_column("source", pa.array([name for name, _ in pairs], pa.string()))


PAIRS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b"]),
        st.one_of(st.none(), st.just(math.nan), st.integers(0, 9).map(float)),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(
    pairs=PAIRS, quantile=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), cut=st.integers(0, 30)
)
def test_quantiles_are_of_the_source_and_of_no_block(
    pairs: list[tuple[str | None, float | None]], quantile: float, cut: int
) -> None:
    rule = {"column": SNR, "min_quantile": quantile, "per": "source"}
    filter_ = step(rule)
    rows = sourced(*pairs)
    blocks = [rows.slice(0, cut), rows.slice(cut)]
    limits = filter_.limits([filter_.survey(block) for block in reversed(blocks)])
    parts = [filter_.judge(block, limits) for block in blocks]
    apart = pa.concat_tables(parts).to_pylist()
    assert apart == filter_.judge(rows).to_pylist()
    known: dict[str | None, list[float]] = {}
    for name, value in pairs:
        if value is not None and value == value:
            known.setdefault(name, []).append(value)
    limit = {
        name: float(np.quantile(values, quantile, method="inverted_cdf"))
        for name, values in known.items()
    }
    expected = [
        (make_id(i), value, limit[name])
        for i, (name, value) in enumerate(pairs)
        if value is not None and value == value and value < limit[name]
    ]
    assert [(r["id"], r["score"], r["threshold"]) for r in apart] == expected


def test_a_quantile_says_what_it_is_of() -> None:
    rows = sourced(*(("a", float(n)) for n in range(10)), ("b", 100.0))
    (drop,) = from_table(
        step({"column": SNR, "max_quantile": 0.9, "per": "source"}).judge(rows), Drop
    )
    assert (drop.id, drop.score, drop.threshold) == (make_id(9), 9.0, 8.0)
    assert drop.detail == "snr.snr_db, quantile 0.9 of the rows of one source"
    whole = from_table(step({"column": SNR, "max_quantile": 0.9}).judge(rows), Drop)
    assert [d.id for d in whole] == [make_id(10)]
    seconds = step({"column": "seconds", "min_quantile": 0.5})
    assert len(left(seconds, make_row(1, seconds=1.0), make_row(2, seconds=2.0))) == 0
    three = [make_row(n, seconds=float(n)) for n in (1, 2, 3)]
    assert list(left(seconds, *three)) == [make_id(1)]


def test_lists_may_stand_in_files_and_are_part_of_the_key(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "deny.txt"
    path.write_text("mp3\n\n opus \n", encoding="utf-8")
    rule = {"column": "codec", "deny_file": str(path)}
    assert one(rule, codec="flac") is None
    drop = one(rule, codec="opus")
    assert drop is not None
    assert drop.detail == "codec is 'opus', among mp3, opus"
    digests = step(rule).fingerprint()
    assert digests is not None and len(digests[str(path)]) == 64
    assert Filter(min_seconds=1).fingerprint() is None
    with pytest.raises(TypeError, match=r"filter\.rules\.mine: the list .*gone.* cannot be read"):
        step({"column": "codec", "deny_file": str(tmp_path / "gone")}).needs()
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(TypeError, match="holds no value"):
        step({"column": "codec", "allow_file": str(tmp_path / "empty")}).needs()


def test_long_lists_are_cut_in_what_a_drop_says() -> None:
    drop = one({"column": "codec", "allow": [f"c{n}" for n in range(100)]}, codec="x")
    assert drop is not None
    assert drop.detail.endswith("c11 and 88 more")


def test_patterns_match_text_of_any_script() -> None:
    assert one({"column": "text", "avoid": r"(?i)lorem\s+ipsum"}, text="Hello") is None
    drop = one({"column": "text", "avoid": r"(?i)lorem\s+ipsum"}, text="so LOREM  ipsum it is")
    assert drop is not None
    assert drop.detail == r"text matches (?i)lorem\s+ipsum"
    hebrew = {"column": "text", "match": r"\p{Hebrew}"}
    assert one(hebrew, text="\u202b\u05e9\u05dc\u05d5\u05dd") is None
    refused = one(hebrew, text="")
    assert refused is not None
    assert refused.detail.startswith("text matches nothing of")


def test_hostile_patterns_and_texts_take_linear_time() -> None:
    rules = [
        {"column": "text", "avoid": p}
        for p in (r"(a+)+$", r"(a|a)*c", r"(.*)*x", r"(a?){50}a{50}b")
    ]
    filter_ = step({"all_of": rules})

    def spent(length: int) -> float:
        rows = make_rows(make_row("x", text="a" * length + "b"))
        began = time.perf_counter()
        filter_.judge(rows)
        return time.perf_counter() - began

    spent(1000)
    assert spent(400_000) < 5  # backtracking would take longer than the universe
    assert spent(400_000) < 100 * max(spent(40_000), 1e-3)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"column": SNR},
        {"min": 5},
        {"column": SNR, "min": 5, "all_of": [{"column": SNR, "min": 5}]},
        {"all_of": []},
        {"any_of": [{"column": SNR, "min": 5}], "not": {"column": SNR, "min": 5}},
        {"column": SNR, "min": 6, "max": 5},
        {"column": SNR, "min": math.nan},
        {"column": SNR, "min_quantile": 1.5},
        {"column": SNR, "min_quantile": 0.9, "max_quantile": 0.1},
        {"column": SNR, "min": 1, "per": "source"},
        {"column": "codec", "allow": []},
        {"column": "text", "match": "("},
        {"column": "text", "match": r"(?=a)b"},
        {"column": "text", "match": r"(a)\1"},
        {"column": "text", "match": "(x{1000}){1000}"},
        {"column": "text", "match": "a" * 2001},
        {"column": SNR, "least": 5},
    ],
)
def test_rules_that_make_no_sense_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        step(rule)


@pytest.mark.parametrize(
    "name", ["too_short", "where", "mine_unknown", "Mine", "a b", "", "x" * 49]
)
def test_names_that_would_be_mistaken_are_refused(name: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="cannot name a rule"):
        Filter.model_validate({"rules": {name: {"column": SNR, "min": 5}}})


def test_rules_are_not_endlessly_deep() -> None:
    rule: dict[str, Any] = {"column": SNR, "min": 5}
    for _ in range(7):
        rule = {"not": rule}
    assert depth(Rule.model_validate(rule)) == 8
    with pytest.raises(pydantic.ValidationError, match="more than 8 deep"):
        Rule.model_validate({"not": rule})


def test_conditions_that_do_not_fit_their_column_are_refused_when_planned() -> None:
    for rule, said in (
        ({"column": "codec", "min": 5}, "is no number, so it has no min"),
        ({"column": "codec", "min_quantile": 0.5}, "so it has no min_quantile"),
        ({"column": SNR, "match": "5"}, "is no text"),
    ):
        with pytest.raises(TypeError, match=said):
            step({"not": rule}).needs()


def test_needs_are_those_of_every_condition_inside() -> None:
    rule = {
        "any_of": [
            {"column": SNR, "min_quantile": 0.1, "per": "source"},
            {"not": {"column": "seconds", "max": 2}},
        ]
    }
    assert step(rule).needs() == Filter().needs() | {SNR, "source"}


def test_a_rule_survives_the_canonical_form() -> None:
    rule = {"not": {"any_of": [{"column": SNR, "max": 3}, {"column": "text", "match": "x"}]}}
    dumped = step(rule).model_dump(mode="json")
    assert "not" in dumped["rules"]["mine"]
    assert Filter.model_validate(dumped) == step(rule)


def test_score_only_notes_what_would_have_left() -> None:
    rows = make_rows(make_row(1, snr__snr_db=1.0), make_row(2, snr__snr_db=9.0))
    strict = step({"column": SNR, "min": 5})
    lenient = step({"column": SNR, "min": 5}, score_only=True)
    assert lenient.judge(rows).num_rows == 0
    assert lenient.notes(rows).to_pylist() == strict.judge(rows).to_pylist()
    assert strict.notes(rows).num_rows == 0


def test_the_order_in_which_rules_are_written_changes_nothing() -> None:
    rules = {"b": {"column": SNR, "min": 5}, "a": {"column": LUFS, "min": -20}}
    row = make_row("x", snr__snr_db=0.0, loudness__lufs=-30.0)
    for order in (["a", "b"], ["b", "a"]):
        filter_ = Filter.model_validate({"rules": {name: rules[name] for name in order}})
        assert left(filter_, row)[make_id("x")].reason == "a"
