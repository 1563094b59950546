"""Recipes: what is read, what goes without saying, what does not fit, and what is written back."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_steps import KNOWN, STREAM, Filter

from pipeline.recipe import Recipe, ShardSettings, from_canonical, resolve
from schemas.settings import SettingsError, parse


def recipe(text: str, *overrides: str) -> Recipe:
    return resolve(parse(text, "r.yaml"), overrides, KNOWN)


def told(text: str, *overrides: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        recipe(text, *overrides)
    return str(caught.value).split("\n")


def of_stream(steps: str) -> str:
    return f"name: r\nstreams:\n  web: {steps}\n"


ONE = of_stream(STREAM)
TWO = f"name: r\nstreams:\n  web: {STREAM}\n  call: {STREAM}\n"


def names(steps: tuple[object, ...]) -> list[str]:
    return [step.name() for step in steps]  # type: ignore[attr-defined]


def test_steps_stand_in_their_order_and_by_phase() -> None:
    made = recipe(ONE)
    assert (made.name, made.seed, made.shards) == ("r", 0, ShardSettings())
    assert names(made.steps("web", "hear")) == ["decode", "segment", "gate"]
    assert names(made.steps("web", "annotate")) == ["diarize", "transcribe"]
    assert names(made.steps("web", "measure")) == ["snr"]
    assert made.steps("web", "select")[0] == Filter(min_snr_db=5.0)


def test_decode_and_split_go_without_saying() -> None:
    without = recipe(ONE)
    said = recipe(
        of_stream(
            "[crawl, decode, segment, gate, diarize, transcribe, snr, "
            "filter: {min_snr_db: 5}, split, interleave]"
        )
    )
    assert without == said
    assert names(without.streams["web"])[1] == "decode"
    assert names(without.streams["web"])[-2:] == ["split", "interleave"]


def test_a_step_may_be_a_name_a_name_with_nothing_or_with_settings() -> None:
    forms = ["segment", "segment: ", "segment: {}", "segment: {engine: silero}"]
    made = {recipe(of_stream(STREAM.replace("segment", f))).text() for f in forms}
    assert len(made) == 1


def test_filters_may_repeat() -> None:
    text = of_stream(STREAM.replace("interleave", "filter: {min_snr_db: 9}, interleave"))
    assert [s.min_snr_db for s in recipe(text).steps("web", "select")[:2]] == [5.0, 9.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (STREAM.replace("gate", "gat"), "web.gat: there is no step 'gat'; did you mean gate?"),
        (STREAM.replace("gate", "gate: {min_second: 1}"), "gate.min_second: unknown key; did you"),
        (STREAM.replace("gate", "gate: 3"), "streams.web.gate: expected keys with values, not 3"),
        (STREAM.replace("gate", "gate, gate"), "streams.web.gate.2: the step stands here twice"),
        (STREAM.replace("gate, ", "").replace("snr,", "snr, gate,"), "the phase hear stands after"),
        (STREAM.replace("segment, gate", "gate, segment"), "gate: stands before segment, whose"),
        (STREAM.replace("interleave", "filter, segment, interleave"), "the step stands here twice"),
        (STREAM.replace("snr, ", ""), "reads snr.snr_db, but the stream does not measure"),
        (
            STREAM.replace("min_snr_db: 5", "where: {snr.noise: 1}"),
            "reads 'snr.noise', which no measure gives; did you mean snr.noise_db?",
        ),
        (STREAM.replace("min_snr_db: 5", "where: {words: 1}"), "reads 'words', which no measure"),
        (STREAM.replace("min_snr_db: 5", "where: {wrong: 1}"), "web.filter: where: 'wrong' is no"),
        (STREAM.replace("gate", "[gate]"), "a step is a name, or one name with its settings"),
        (STREAM.replace("gate", "7"), "not 7"),
        (STREAM.replace("gate", "{gate: , min_seconds: 1}"), "indent the settings further"),
        (STREAM.replace(", interleave", ""), "streams.web: the stream lacks interleave (it makes"),
        ("[]", "the stream lacks crawl (it finds the recordings), segment"),
        ("{crawl: {}}", "streams.web: expected a list, not {crawl: {}}"),
    ],
)
def test_what_does_not_fit_is_told(steps: str, message: str) -> None:
    lines = told(of_stream(steps))
    assert message in "\n".join(lines)
    assert all(line.startswith("r.yaml:3:") for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"name: r\nstreams: {{Web: {STREAM}}}", "'Web' is no name for a stream"),
        (f"name: r\nstreams: {{filter: {STREAM}}}", "may not be named like a step"),
        (f"name: r\nstreams: {{seed: {STREAM}}}", "may not be named like a step"),
        (f"name: R r\nstreams: {{web: {STREAM}}}", "r.yaml:1:7: name: expected text like"),
        (f"streams: {{web: {STREAM}}}", "name: is missing"),
        ("name: r", "streams: is missing: Steps of each stream, in order"),
        ("name: r\nstreams: {}", "streams: expected at least 1 of them"),
        (ONE + "seed: 1.0", "r.yaml:4:7: seed: expected a whole number, not 1.0"),
        (ONE + "seed: -1", "seed: expected a number of at least 0, not -1"),
        (ONE + "sed: 1", "r.yaml:4:1: sed: unknown key; did you mean seed?"),
        (ONE + "shards: {hours: 0}", "shards.hours: expected a number above 0"),
        (ONE + "shards: {audio: none}", "shards: audio is none and tokens is empty"),
        (ONE + "shards: {tokens: [dmle]}", "'dmle' is no speech tokenizer; did you mean dmel?"),
        (ONE + "shards: {tokens: [dmel/20]}", "dmel/STRIDExSTACK"),
        (ONE + "shards: {tokens: [dmel, dmel]}", "a tokenizer is named twice"),
        (ONE + "shards: {tokens: [kmeans/units.npz]}", "kmeans/FILE.safetensors"),
        ("[name]", "expected keys with values"),
    ],
)
def test_what_is_wrong_around_the_steps_is_told(text: str, message: str) -> None:
    assert message in "\n".join(told(text))


def test_everything_is_told_at_once() -> None:
    text = of_stream(STREAM.replace("gate", "gat").replace("snr, ", "")) + "sed: 1\n"
    assert [line.split(": ")[1] for line in told(text, "filter.min_snr_db=x", "nothing.x=1")] == [
        "streams.web.filter.min_snr_db",
        "nothing.x",
        "streams.web.gat",
        "sed",
    ]


@pytest.mark.parametrize(
    ("override", "web", "call"),
    [
        ("filter.min_snr_db=10", 10.0, 10.0),
        ("web.filter.min_snr_db=10", 10.0, 5.0),
        ("streams.call.filter.min_snr_db=0", 5.0, 0.0),
        ("call.filter={min_snr_db: 3}", 5.0, 3.0),
        ("call.filter.1.min_snr_db=3", 5.0, 3.0),
        ("filter.min_snr_db=null", None, None),
    ],
)
def test_overrides_reach_one_stream_or_all(
    override: str, web: float | None, call: float | None
) -> None:
    made = recipe(TWO, override)
    found = {name: made.steps(name, "select")[0].min_snr_db for name in ("web", "call")}  # type: ignore[attr-defined]
    assert found == {"web": web, "call": call}


def test_overrides_reach_steps_that_go_without_saying_and_the_recipe_itself() -> None:
    made = recipe(ONE, "decode.rate=24000", "seed=3", "shards.hours=0.5", "name=other")
    assert made.steps("web", "hear")[0].rate == 24000  # type: ignore[attr-defined]
    assert (made.seed, made.shards.hours, made.name) == (3, 0.5, "other")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("filtr.min_snr_db=1", "'filtr' is no step of the recipe; did you mean filter?"),
        ("web.filtr.min_snr_db=1", "'filtr' is no step of stream web; did you mean filter?"),
        ("wep.filter.min_snr_db=1", "'wep' is no step of the recipe; did you mean web?"),
        ("filter.min_snr=1", "streams.web.filter.min_snr: unknown key; did you mean min_snr_db?"),
        ("filter.2.min_snr_db=1", "stream web holds filter 1 time(s)"),
        ("web=1", "stream web is set step by step"),
        ("streams=1", "is set step by step"),
    ],
)
def test_a_wrong_override_is_told_with_the_nearest(override: str, message: str) -> None:
    lines = told(ONE, override)
    assert lines[0].startswith(f"--set {override}: ")
    assert message in lines[0]


def test_a_step_that_stands_twice_needs_its_number() -> None:
    text = of_stream(STREAM.replace("interleave", "filter: {min_snr_db: 9}, interleave"))
    assert "say which, as in web.filter.1.min_snr_db" in told(text, "filter.min_snr_db=1")[0]
    made = recipe(text, "filter.2.min_snr_db=1")
    assert [s.min_snr_db for s in made.steps("web", "select")[:2]] == [5.0, 1.0]  # type: ignore[attr-defined]


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "filter.min_snr_db": st.none() | st.floats(-50, 50),
        "gate.min_seconds": st.none() | st.floats(0, 10),
        "segment.engine": st.sampled_from(["silero", "energy"]),
        "transcribe.engines": st.lists(st.sampled_from(["given", "no", "12:30"]), max_size=3),
        "interleave.granularity": st.sampled_from(["fine", "coarse"]),
        "seed": st.integers(0, 2**63 - 1),
        "shards.hours": st.floats(0.01, 24),
    },
)


@given(SETTINGS)
def test_what_is_written_back_is_the_same_recipe(settings: dict[str, object]) -> None:
    made = recipe(TWO, *(f"{key}={json.dumps(value)}" for key, value in settings.items()))
    stored = json.loads(json.dumps(made.canonical(), allow_nan=False))
    assert from_canonical(stored, KNOWN) == made
    assert recipe(made.text()) == made
    assert recipe(made.text()).text() == made.text()
    for key, value in settings.items():
        head, _, field = key.partition(".")
        if head in KNOWN:
            step = next(s for s in made.streams["call"] if s.name() == head)
            assert step.model_dump(mode="json")[field] == value


def test_a_recipe_travels_to_workers() -> None:
    made = resolve(
        parse("name: r\nstreams: {web: [crawl, segment, diarize, transcribe, interleave]}", "x")
    )
    assert pickle.loads(pickle.dumps(made)) == made
