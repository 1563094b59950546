"""Grids: what a file makes, what a wrong one is told, and one run from end to end."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.settings import SettingsError
from tests.trainer.budget.made_points import made_points
from trainer.__main__ import main
from trainer.ablation.running import done, folder_of
from trainer.budget.grid import plan_grid
from trainer.budget.points import read_points, write_points
from trainer.budget.report import answers, as_json, markdown, page
from trainer.budget.running import run_grid
from trainer.failures import ChangedError, SetupError


def grid_file(folder: Path, **changes: Any) -> Path:
    """Two sizes at two budgets of a few steps."""
    value: dict[str, Any] = {
        "name": "tiny",
        "config": "smoke",
        "settings": {
            "data.sets": {"talk": {"shards": "data:talk", "policy": "deterministic"}},
            "data.length": 128,
            "data.packs": 2,
            "text.size": 300,
            "speech.tokenizer": "dmel/25x3",
            "checkpoint.every": None,
            "log.every": 1,
            "schedule.warmup": 0,
        },
        "data": {"talk": {"needs": "speech"}},
        "budgets": [1e9, 3e9],
        "sizes": {
            "small": {"model": {"depth": 1, "width": 16, "heads": 1}},
            "large": {"model": {"depth": 1, "width": 32, "heads": 1}},
        },
        "held_out": {"packs": 3},
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(value | changes, sort_keys=False), "utf-8")
    return path


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    unique = {"all": {}, "some": {"data.sets.talk.subset": 0.5}}
    planned = plan_grid(grid_file(tmp_path, unique=unique, seeds=[1, 2]), (), {"talk": "shards"})
    cells = list(planned.cells())
    assert len(cells) == len(set(cells)) == 2 * 2 * 2 * 2
    assert {seed for _, seed in cells[:8]} == {1}
    config = planned.config(("3e09-large-some", 2), lambda name: f"there/{name}")
    assert config.stop.flops == 3e9 and config.stop.steps is None
    assert config.model is not None and config.model.width == 32
    assert config.data.sets["talk"].subset == 0.5
    assert config.data.sets["talk"].shards == "there/talk"
    assert (config.seed, config.data.seed) == (2, 2)


def test_a_grid_is_changed_from_the_command_line(tmp_path: Path) -> None:
    words = ["settings.data.packs=4", "sizes.small.optimizer.lr=0.5", "seeds=[3]", "loss=text"]
    planned = plan_grid(grid_file(tmp_path), words, {"talk": "shards"})
    small = planned.config(("1e09-small-all", 3), lambda name: name)
    large = planned.config(("1e09-large-all", 3), lambda name: name)
    assert (small.data.packs, large.data.packs) == (4, 4)
    assert small.optimizer.lr == 0.5 != large.optimizer.lr
    assert planned.grid.seeds == (3,) and planned.grid.loss == "text"


@pytest.mark.parametrize(
    "changes,why",
    [
        ({"budgets": [1e9, 1e9]}, "budgets: different numbers"),
        ({"budgets": [1.0001e9, 1e9]}, "the same in three digits"),
        ({"sizes": {"a": {"model.witdh": 3}}}, "witdh"),
        ({"sizes": {}}, "sizes"),
        ({"held_out": {"split": "train"}}, "name a split that is held out"),
        ({"settings": {"data.sets": {"talk": {"shards": "data:nowhere"}}}}, "nowhere"),
    ],
)
def test_what_is_wrong_with_a_grid_is_told(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        plan_grid(grid_file(tmp_path, **changes), (), {"talk": "shards"})


def test_data_that_a_grid_needs_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give it with --data talk"):
        plan_grid(grid_file(tmp_path))


@pytest.mark.slow
def test_a_grid_is_run_once_and_gives_its_points(
    tmp_path: Path, held_out_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = grid_file(tmp_path), tmp_path / "out"
    given = {"talk": str(held_out_set)}
    said: list[str] = []
    first = run_grid(path, out, given=given, budgets=[1e9], say=said.append)
    assert (first.done, first.cells) == (2, 4)
    before = (folder_of(out, ("1e09-small-all", 1)) / "done.json").stat().st_mtime_ns
    ran = run_grid(path, out, given=given, say=said.append)
    assert (ran.done, ran.cells) == (4, 4)
    assert (folder_of(out, ("1e09-small-all", 1)) / "done.json").stat().st_mtime_ns == before
    assert read_points(out / "points.csv") == ran.points
    by = {(one.budget, one.size): one for one in ran.points}
    for one in ran.points:
        assert one.flops <= one.budget < one.flops * 1.6  # whole steps
        assert one.positions % 256 == 0 and 1 < one.loss < 10 and one.passes > 0
    assert by[1e9, "small"].parameters < by[1e9, "large"].parameters
    assert by[1e9, "small"].positions > by[1e9, "large"].positions
    cell = done(out, ("3e09-small-all", 1))
    assert cell is not None
    held = cell["held_out"][str(cell["steps"])]
    assert set(held["sets"]) == {"talk"}
    assert {"all", "text", "speech", "marker"} == set(held) - {"sets"}
    assert ran.hours_per_position is not None and ran.hours_per_position > 0
    with pytest.raises(ChangedError):
        run_grid(grid_file(tmp_path, loss="text"), out, given=given)
    with pytest.raises(SetupError, match="is none of"):
        run_grid(grid_file(tmp_path), out, given=given, budgets=[7e9])
    assert main(["budget", "fit", str(out), "--resamples", "20"]) == 0
    printed = capsys.readouterr().out
    assert "not found" in printed  # two sizes enclose nothing
    assert json.loads((out / "budget.json").read_text())["recommended"] == []


def test_a_config_is_priced(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--set", "model.depth=2", "--budget", "1e12", "--budget", "1"]
    assert main(["budget", "cost", "--config", "smoke", *words]) == 0
    printed = capsys.readouterr().out
    assert "1 FLOPs buy less than one step" in printed
    assert "1e+12 FLOPs buy " in printed
    for part in ("front end", "matrices", "attention", "text head", "code heads"):
        assert part in printed


def test_a_config_is_priced_with_its_data(
    held_out_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", "smoke", "--shards", str(held_out_set)]
    code = main(["budget", "cost", *words])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "40 documents" in printed.out


def test_points_of_a_file_are_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "points.csv"
    write_points(made_points(budgets=(1e18, 1e19, 1e20), noise=5e-4), path)
    words = ["--resamples", "100", "--positions-per-hour", "90000"]
    assert main(["budget", "fit", str(path), *words]) == 0
    printed = capsys.readouterr().out
    assert "Optimal size = " in printed and "no run repeated data" in printed
    found = json.loads((tmp_path / "budget.json").read_text())
    assert found["law"]["alpha"] == pytest.approx(0.25, rel=0.1)
    assert [one["found"] for one in found["recommended"]] == [True] * 3
    assert main(["budget", "fit", str(path), "--budget", "1e23", *words]) == 2
    assert "outside those that were run" in capsys.readouterr().err
    assert main(["budget", "fit", str(path), "--budget", "1e21", "--extrapolate", *words]) == 0
    assert "EXTRAPOLATED" in capsys.readouterr().out


def test_a_report_holds_no_script_and_says_what_was_not_found() -> None:
    edge = made_points(budgets=(1e18, 1e19, 1e20), sizes=(2, 2.5, 3, 4, 6), noise=5e-4)
    found = answers(edge, resamples=50)
    text = page(found, "<edge>")
    assert "<script" not in text and "&lt;edge&gt;" in text
    assert "No budget has an optimum inside the grid" in text
    assert markdown(found).count("not found: at the edge") >= 3
    assert json.loads(json.dumps(as_json(found)))["isoflop"]["power"] is None
    whole = page(answers(made_points(noise=5e-4), resamples=50), "whole")
    assert whole.count("<svg") == 3
