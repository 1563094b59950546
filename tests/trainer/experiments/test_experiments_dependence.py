"""Dependence of questions: what is there is seen, what is not is not, short runs begin alike."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from schemas.settings import SettingsError
from tests.trainer.loop.made_runs import config_of, losses_of
from trainer import checkpoint, journal
from trainer.__main__ import main
from trainer.config import Config
from trainer.experiments.dependence import (
    DependencePlan,
    as_text,
    dependence,
    effects,
    forked,
    read_plan,
)
from trainer.failures import ChangedError, CheckpointError, SetupError
from trainer.loop import train

SEEDS = (1, 2, 3, 4, 5, 6)


def plan_of(**changes: Any) -> DependencePlan:
    value = {
        "interventions": {
            name: {"insert": {"shards": name, "times": 2}} for name in ("facts", "codes", "songs")
        },
        "seeds": SEEDS,
        "steps": 4,
    }
    return DependencePlan.model_validate(value | changes)


def made(crossed: float, beyond: float) -> dict[tuple[str, int], dict[str, float]]:
    """Each lowers its own loss by 0.5; facts moves codes by `crossed`, all together by `beyond`."""
    chance = np.random.default_rng(0)
    names = ("facts", "codes", "songs")
    found = {}
    for seed in SEEDS:
        base = {name: 3.0 + 0.1 * seed for name in names}
        for arm in ("none", *names, "all"):
            own = {name: base[name] + float(chance.normal(0, 0.005)) for name in names}
            for name in names:
                own[name] -= 0.5 if arm in (name, "all") else 0.0
                own[name] += beyond if arm == "all" else 0.0
            own["codes"] += crossed if arm == "facts" else 0.0
            found[arm, seed] = own
    return found


def test_independent_interventions_move_their_own_measure_alone() -> None:
    found = effects(plan_of(), made(0.0, 0.0))
    assert found.independent
    by = {(one.of, one.on): one for one in found.matrix}
    assert len(by) == 9
    for (of, on), one in by.items():
        assert one.clear == (of == on)
        assert one.effect.mean == pytest.approx(-0.5 if of == on else 0.0, abs=0.02)
    assert "no effect on another's measure" in as_text(found)


def test_what_depends_is_seen_and_named() -> None:
    found = effects(plan_of(), made(-0.1, 0.0))
    assert not found.independent
    assert [(one.of, one.on) for one in found.crossed() if one.clear] == [("facts", "codes")]
    assert "NOT INDEPENDENT: facts on codes" in as_text(found)
    together = effects(plan_of(), made(0.0, 0.1))
    assert [one.on for one in together.beyond if one.clear] == ["facts", "codes", "songs"]


def test_plans_are_checked(tmp_path: Path) -> None:
    for changes in ({"seeds": [1]}, {"seeds": [1, 1]}, {"interventions": {}}, {"steps": 0}):
        with pytest.raises(ValueError):
            plan_of(**changes)
    path = tmp_path / "plan.yaml"
    path.write_text("interventions: {all: {insert: {shards: a}}, b: {insert: {shards: b}}}\n")
    with pytest.raises(SettingsError, match="may be called 'all'"):
        read_plan(path)


@pytest.fixture(scope="module")
def base(talk: Path, page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """A run of six steps that could go on."""
    out = tmp_path_factory.mktemp("base")
    config = config_of(talk, page, stop={"steps": 12})
    train(config, out, until=6)
    return out, config


def real_plan(facts: Path, songs: Path) -> dict[str, Any]:
    return {
        "interventions": {
            "facts": {"insert": {"shards": str(facts), "times": 6}, "loss": "text"},
            "songs": {"insert": {"shards": str(songs), "times": 6, "policy": "speech_only"}},
        },
        "seeds": [1, 2],
        "steps": 4,
        "packs": 2,
    }


def test_short_runs_begin_with_the_weights_of_the_checkpoint(
    base: tuple[Path, Config], facts_set: Path, songs_set: Path, tmp_path: Path
) -> None:
    run, config = base
    plan = DependencePlan.model_validate(real_plan(facts_set, songs_set))
    source = checkpoint.newest(run / "checkpoints")
    assert source is not None
    own = forked(run, source.path, tmp_path, plan, "facts", 7)
    new = checkpoint.newest(tmp_path / "checkpoints")
    assert new is not None and new.step == 0
    old_files = {p.name: p.read_bytes() for p in source.path.glob("*.safetensors")}
    assert {p.name: p.read_bytes() for p in new.path.glob("*.safetensors")} == old_files
    assert (own.data.seed, own.stop.steps, own.schedule.kind) == (7, 4, "constant")
    assert list(own.data.experiments) == ["facts"]
    assert own.optimizer.lr == config.optimizer.lr  # the rate has not begun to fall
    assert forked(run, source.path, tmp_path, plan, "facts", 7) == own  # begun already
    (source.path / "state.json").write_text("{}")
    with pytest.raises(CheckpointError):
        checkpoint.fork(source.path, tmp_path / "other", 0, {})


@pytest.mark.slow
def test_a_matrix_is_made_from_a_checkpoint_and_not_twice(
    talk: Path, page: Path, facts_set: Path, songs_set: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    train(config_of(talk, page, stop={"steps": 12}), run, until=6)
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(real_plan(facts_set, songs_set)))
    assert main(["experiments", "dependence", str(run), str(path)]) == 0
    printed = capsys.readouterr()
    assert "| facts |" in printed.out and "| all, beyond each alone |" in printed.out
    matrix = json.loads((run / "dependence" / "matrix.json").read_text())
    by = {(one["of"], one["on"]): one["effect"]["mean"] for one in matrix["matrix"]}
    assert by["facts", "facts"] < 0  # shown six times, its texts are likelier
    cells = run / "dependence" / "cells"
    logs = {p.name: losses_of(p / "run") for p in cells.iterdir()}
    assert len(logs) == 4 * 2 and all(len(one) == 4 for one in logs.values())
    inserted = [
        line for line in journal.read(cells / "all-1" / "run") if line["event"] == "inserted"
    ]
    assert {line["experiment"] for line in inserted} == {"facts", "songs"}
    before = {p: p.stat().st_mtime_ns for p in cells.glob("*/done.json")}
    plan = read_plan(path)
    again = dependence(run, plan, run / "dependence")
    assert {p: p.stat().st_mtime_ns for p in cells.glob("*/done.json")} == before
    assert as_text(again) == printed.out
    with pytest.raises(ChangedError, match="another plan"):
        dependence(run, plan.model_copy(update={"steps": 5}), run / "dependence")
    with pytest.raises(SetupError, match="no checkpoint"):
        dependence(tmp_path, plan, tmp_path / "x")


def test_insertions_become_a_table(
    tiny: Config, facts_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tiny.canonical()
    plain["data"]["experiments"] = {"facts": {"shards": str(facts_set), "times": 2}}
    config = Config.model_validate_json(json.dumps(plain))
    train(config, tmp_path)
    assert main(["experiments", "log", str(tmp_path), "--to", str(tmp_path / "a.parquet")]) == 0
    assert "facts: 6 insertions" in capsys.readouterr().out
    rows = pq.ParquetFile(tmp_path / "a.parquet").read(use_threads=False).to_pylist()
    assert len(rows) == 6 and rows == sorted(rows, key=lambda row: row["pack"])
    assert main(["experiments", "log", str(tmp_path)]) == 0
    lines = (tmp_path / "insertions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert main(["experiments", "log", str(tmp_path / "nowhere")]) == 2
