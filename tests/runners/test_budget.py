"""The model of cost: in proportion to hours, with its assumptions said and replaceable."""

import json
from pathlib import Path

import pytest

from pipeline import costs
from pipeline.__main__ import main
from pipeline.recipe import Recipe, load_recipe
from pipeline.runners.budget import PRICES, budget, lines
from tests.laws import runs


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(str(runs.RECIPE))


def test_ten_times_the_hours_take_ten_times_the_work(recipe: Recipe) -> None:
    one, ten = budget(recipe, 1e5), budget(recipe, 1e6)
    assert ten.core_hours == pytest.approx(10 * one.core_hours)
    assert ten.stored_gb == pytest.approx(10 * one.stored_gb) and ten.parts == 10 * one.parts
    assert sum(ten.money.values()) == pytest.approx(10 * sum(one.money.values()))
    assert one.wall_hours <= 7 * 24 and ten.workers > one.workers


def test_a_phase_that_grows_faster_than_hours_costs_more_beyond_what_was_measured(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = {hours: budget(recipe, hours) for hours in (1.0, 3e4)}
    monkeypatch.setattr(costs, "EXPONENTS", {**costs.EXPONENTS, "measure": 1.5})
    monkeypatch.setattr(costs, "MEASURED_HOURS", 3.0)
    bent = {hours: budget(recipe, hours) for hours in (1.0, 3e4)}
    assert bent[1.0].core_hours == straight[1.0].core_hours  # measured, so taken as it is
    for before, after in zip(straight[3e4].phases, bent[3e4].phases, strict=True):
        more = 100.0 if before.phase == "measure" else 1.0  # (3e4 / 3) ** 0.5
        assert after.core_hours == pytest.approx(more * before.core_hours)
    assert any("measure 1.5" in line for line in lines(bent[1.0]))


def test_parts_and_clips_cost_beside_their_steps(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_them = budget(recipe, 6000.0)
    nothing = {phase: costs.Beside(0.0, 0.0, 0.0) for phase in costs.BESIDE}
    monkeypatch.setattr(costs, "BESIDE", {**nothing, "annotate": costs.Beside(1.0, 0.0, 0.0)})
    only_parts = budget(recipe, 6000.0)
    monkeypatch.setattr(costs, "BESIDE", nothing)
    none = budget(recipe, 6000.0)
    assert with_them.core_hours > none.core_hours
    assert only_parts.core_hours - none.core_hours == pytest.approx(with_them.parts / 3600)


def test_streams_of_pages_are_not_counted(root: Path, tmp_path: Path) -> None:
    from benchmarks import audio_recipe

    alone = tmp_path / "alone.yaml"
    alone.write_text(audio_recipe.text(), encoding="utf-8")
    both, web = (load_recipe(str(p)) for p in (root / "recipes" / "offline.yaml", alone))
    assert budget(both, 1e4).phases == budget(web, 1e4).phases


def test_every_step_of_the_offline_recordings_has_a_measured_cost(tmp_path: Path) -> None:
    from benchmarks import audio_recipe

    path = tmp_path / "recipe.yaml"
    path.write_text(audio_recipe.text(), encoding="utf-8")
    recipe = load_recipe(str(path))
    for phase in ("hear", "annotate", "measure"):
        for step in recipe.steps("web", phase):
            assert costs.known(step), step.name()


def test_reading_costs_less_than_writing(recipe: Recipe) -> None:
    usual = budget(recipe, 1e6)
    free = budget(recipe, 1e6, prices={"reads_1000": 0.0})
    writes = usual.parts * 9 / 1000 * PRICES["requests_1000"]
    assert free.money["requests"] == pytest.approx(writes)
    assert usual.money["requests"] > writes


def test_workers_that_are_given_decide_the_time(recipe: Recipe) -> None:
    few, many = budget(recipe, 1e6, 10), budget(recipe, 1e6, 100)
    assert few.wall_hours == pytest.approx(10 * many.wall_hours)
    assert few.money == many.money


def test_a_price_changes_what_it_pays_for(recipe: Recipe) -> None:
    usual = budget(recipe, 1e6)
    dear = budget(recipe, 1e6, prices={"core_hour": 2 * PRICES["core_hour"]})
    assert dear.money["cores"] == pytest.approx(2 * usual.money["cores"])
    assert dear.money["memory"] == usual.money["memory"]
    with pytest.raises(ValueError, match="no price is called coffee"):
        budget(recipe, 1.0, prices={"coffee": 3.0})


def test_an_engine_that_nobody_measured_is_named(tmp_path: Path) -> None:
    text = runs.RECIPE.read_text(encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace("engines: [given]", "engines: [faster-whisper/large-v3]"))
    said = "\n".join(lines(budget(load_recipe(str(path)), 1e7)))
    assert "transcribe faster-whisper/large-v3: its time is not known" in said


def test_a_driver_that_would_hold_too_much_is_told(recipe: Recipe) -> None:
    assert any("more than 2 GB" in line for line in lines(budget(recipe, 1e7)))
    assert not any("more than 2 GB" in line for line in lines(budget(recipe, 1e5)))


def test_the_command_prints_it_and_reads_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", "--data", "gs://nowhere/x", "--recipe", str(runs.RECIPE)]
    assert main([*asked, "--runner", "dataflow", "--hours", "10000000"]) == 0
    said = capsys.readouterr().out
    for word in ("60,000,000 parts", "core hours", "USD", "core_hour = 0.056", "phase_costs.py"):
        assert word in said
    assert main([*asked, "--hours", "1e3", "--price", "core_hour=1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prices"]["core_hour"] == 1.0 and found["money"]["cores"] > 0


@pytest.mark.parametrize("more", [["--hours", "many"], ["--hours", "1", "--price", "tea=2"]])
def test_what_is_no_number_or_no_price_is_refused(more: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--data", "x", *more])


def test_plan_shows_what_is_filled_in(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    asked = ["plan", "--data", str(root / "samples" / "clips.csv"), "--out", str(tmp_path / "o")]
    assert main([*asked, "--recipe", str(runs.RECIPE), "--runner", "flink"]) == 0
    said = capsys.readouterr().out
    assert "--environment_type=EXTERNAL  (workers are started by a pool" in said
    assert "advice     hear of web: " in said
    assert not (tmp_path / "o").exists()
