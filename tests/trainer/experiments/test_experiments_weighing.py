"""Weights that follow losses: right direction, in the log, and the same after a stop."""

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.data.reading import opened, settings_of
from tests.trainer.loop.made_runs import steps_of
from trainer import journal
from trainer.config import Config, differences, filled, of_json
from trainer.data import DataState
from trainer.experiments.weighing import (
    LEAST,
    Seen,
    WeighingSettings,
    exponentiated,
    normalised,
    set_of,
)
from trainer.loop import train
from trainer.objectives import KINDS

EQUAL = {"a": 1.0, "b": 1.0, "c": 2.0}
LOSSES = st.dictionaries(st.sampled_from("abc"), st.floats(0, 20), max_size=3)


@given(LOSSES, st.floats(0, 10), st.floats(0, 1))
def test_weights_stay_shares_whatever_the_losses(
    losses: dict[str, float], rate: float, smoothing: float
) -> None:
    weigh = exponentiated(WeighingSettings(every=1, rate=rate, smoothing=smoothing), EQUAL)
    found = normalised(weigh(1, losses, normalised(EQUAL)))
    assert math.fsum(found.values()) == pytest.approx(1)
    assert set(found) == set(EQUAL) and min(found.values()) >= LEAST / 2
    if rate == 0:
        assert found == pytest.approx(normalised(EQUAL))


def test_what_loses_beyond_its_reference_is_raised() -> None:
    """Worked by hand: equal weights, excesses 1 and 0, so e : 1."""
    settings = WeighingSettings(every=1, smoothing=0.0, reference={"a": 2.0, "b": 3.0})
    found = exponentiated(settings, {"a": 1, "b": 1})(1, {"a": 3.0, "b": 2.5}, {"a": 0.5, "b": 0.5})
    assert found["a"] == pytest.approx(math.e / (1 + math.e))
    smooth = settings.model_copy(update={"smoothing": 0.1})
    mixed = exponentiated(smooth, {"a": 1, "b": 1})(1, {"a": 3.0, "b": 2.5}, {"a": 0.5, "b": 0.5})
    assert mixed["a"] == pytest.approx(0.9 * found["a"] + 0.05)


def test_a_set_of_which_nothing_was_read_keeps_its_weight() -> None:
    settings = WeighingSettings(every=1, smoothing=0.0)
    before = {"a": 0.2, "b": 0.4, "c": 0.4}
    found = exponentiated(settings, EQUAL)(1, {"b": 3.0, "c": 1.0}, before)
    assert found["a"] == pytest.approx(0.2)
    assert found["b"] / found["c"] == pytest.approx(math.exp(2))


def test_a_set_is_raised_for_what_others_learn_of_it() -> None:
    graph = {"a": {"b": 1.0}, "b": {}}
    settings = WeighingSettings(every=1, smoothing=0.0, graph=graph)
    found = exponentiated(settings, {"a": 1, "b": 1})(1, {"a": 0.0, "b": 2.0}, {"a": 0.5, "b": 0.5})
    assert found["a"] == pytest.approx(math.exp(2) / (1 + math.exp(2)))


def test_weights_without_sense_are_refused() -> None:
    for wrong in ({"a": -1.0, "b": 2.0}, {"a": 0.0}, {"a": math.nan}, {"a": math.inf}):
        with pytest.raises(ValueError, match="at least 0 and finite"):
            normalised(wrong)
    with pytest.raises(ValueError, match="reference has"):
        WeighingSettings(every=1, reference={"a": 1.0}).check(("a", "b"))
    with pytest.raises(ValueError, match="graph names"):
        WeighingSettings(every=1, graph={"x": {}}).check(("a", "b"))


def test_losses_are_means_over_targets_by_kind() -> None:
    seen = Seen(("a", "b"), "text")
    row = [{"text": 10.0, "switch_text": 2.0}.get(kind, 99.0) for kind in KINDS]
    number = [{"text": 4.0, "switch_text": 2.0}.get(kind, 1.0) for kind in KINDS]
    none = [0.0 for _ in KINDS]
    for _ in range(2):
        seen.add([row, none], [number, none])
    assert seen.losses() == {"a": 2.0}
    other = Seen(("a", "b"), "text")
    other.load(json.loads(json.dumps(seen.as_json())))
    assert other.losses() == seen.losses()
    with pytest.raises(ValueError, match="other sets"):
        Seen(("a",), "text").load(seen.as_json())


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0.01, 0.99)), max_size=5))
def test_shares_are_exact_to_a_pack_in_every_stretch(changes: list[tuple[int, float]]) -> None:
    logged, pack = [], 0
    for length, share in changes:
        pack += length
        logged.append((pack, normalised({"a": share, "b": 1 - share})))
    sets = [set_of(number, {"a": 1.0, "b": 1.0}, 3, logged) for number in range(pack + 20)]
    begins = [(0, {"a": 0.5, "b": 0.5}), *logged, (pack + 20, {})]
    for (first, weights), (last, _) in itertools.pairwise(begins):
        for end in range(first + 1, last + 1):
            part = sets[first:end]
            assert abs(part.count("a") - weights["a"] * len(part)) < 1 + 1e-3


def test_a_state_with_other_weights_deals_by_them(talk_set: Path, page_set: Path) -> None:
    data = opened(settings_of(talk=talk_set, page=page_set, packs=1))
    first = list(data.batches(steps=5))
    state = first[-1].state.reweighted({"talk": 0.9, "page": 0.1})
    assert DataState.of_json(json.loads(json.dumps(state.as_json()))) == state
    rest = [one.batch.packs[0].set_name for one in data.batches(state, steps=40)]
    assert Counter(rest) == {"talk": 36, "page": 4}
    logged = [(5, {"talk": 0.9, "page": 0.1})]
    assert rest == [set_of(5 + n, {"talk": 1, "page": 1}, 0, logged) for n in range(40)]
    with pytest.raises(ValueError, match="weights of"):
        state.reweighted({"talk": 1.0})
    assert dataclasses.replace(state, weights=()).as_json().keys() == {"pack", "sets"}


def weighed(tiny: Config, **values: Any) -> Config:
    plain = tiny.canonical()
    plain["weighing"] = {"every": 3, "rate": 2.0, **values}
    plain["stop"] = {"steps": 11}
    return of_json(plain, "made")


def weights_of(out: Path) -> list[dict[str, Any]]:
    lines = [line for line in journal.read(out) if line["event"] == "weights"]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def test_a_run_changes_its_weights_and_resumes_in_the_middle_of_a_stretch(
    tiny: Config, tmp_path: Path
) -> None:
    config = weighed(tiny)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", until=2)
    train(config, tmp_path / "parts", until=7)
    train(config, tmp_path / "parts")
    log = weights_of(tmp_path / "whole")
    assert [(row["step"], row["pack"]) for row in log] == [(3, 12), (6, 24), (9, 36)]
    assert log[0]["weights"] != {"page": 0.5, "talk": 0.5}
    worse = max(log[0]["losses"], key=lambda name: log[0]["losses"][name])
    assert log[0]["weights"][worse] > 0.5
    assert weights_of(tmp_path / "parts") == log
    assert steps_of(tmp_path / "parts") == steps_of(tmp_path / "whole")


def test_packs_are_of_the_sets_that_the_log_says(tiny: Config, tmp_path: Path) -> None:
    config = weighed(tiny)
    train(config, tmp_path)
    logged = [(row["pack"], row["weights"]) for row in weights_of(tmp_path)]
    counts: Counter[str] = Counter(
        set_of(number, {"talk": 1.0, "page": 1.0}, 0, logged) for number in range(44)
    )
    last = [line for line in journal.read(tmp_path) if line["event"] == "step"][-1]
    state = json.loads(next((tmp_path / "checkpoints").glob("*/state.json")).read_text())
    assert state["data"]["weights"] == logged[-1][1]
    assert last["step"] == 11 and sum(counts.values()) == 44
    taken = {name: own["turns"] for name, own in state["data"]["sets"].items()}
    since = Counter(
        set_of(number, {"talk": 1.0, "page": 1.0}, 0, logged) for number in range(36, 44)
    )
    assert taken == {name: since[name] for name in taken}


def test_a_function_of_ones_own_is_asked_instead(tiny: Config, tmp_path: Path) -> None:
    asked: list[tuple[int, set[str], dict[str, float]]] = []

    def weigh(
        step: int, losses: Mapping[str, float], weights: Mapping[str, float]
    ) -> Mapping[str, float]:
        asked.append((step, set(losses), dict(weights)))
        return {"talk": 3.0, "page": 1.0}

    train(weighed(tiny), tmp_path, weigh=weigh)
    assert [step for step, _, _ in asked] == [3, 6, 9]
    assert asked[0][1:] == ({"talk", "page"}, {"page": 0.5, "talk": 0.5})
    assert asked[1][2] == {"page": 0.25, "talk": 0.75}
    assert weights_of(tmp_path)[0]["weights"] == {"page": 0.25, "talk": 0.75}


def test_a_run_from_before_these_settings_can_go_on(tiny: Config) -> None:
    """What came since is off by default, and is no change of the run."""
    now = tiny.canonical()
    before = json.loads(json.dumps(now))
    del before["weighing"], before["data"]["experiments"], before["data"]["sets"]["talk"]["subset"]
    assert differences(before, now) != []
    assert differences(filled(before, "then"), now) == []
    on = weighed(tiny).canonical()
    assert any("weighing" in one for one in differences(filled(before, "then"), on))
    before["optimizer"]["momentum"] = 0.9  # of a version that had another optimizer
    assert any("momentum" in one for one in differences(filled(before, "then"), now))
