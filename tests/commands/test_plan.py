"""plan shows what curate would do, and does none of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.curate import Curator, Options
from pipeline.forecast import forecast, worker_count
from pipeline.locks import phase_lock
from pipeline.recipe import load_recipe
from schemas.store import Store
from tests.commands.made import ROOT, Made, Said, listing, speechloom
from transforms.engines import voice


def phases(said: Said) -> dict[str, dict[str, Any]]:
    assert said.code in (0, 1), said.err
    (stream,) = json.loads(said.out)["streams"]
    names = [p["phase"] if p["phase"] != "measure" else p["steps"][0] for p in stream["phases"]]
    return dict(zip(names, stream["phases"], strict=True))


def test_an_absent_out_is_not_created(made: Made, tmp_path: Path) -> None:
    before = listing(made.table.parent)
    plan = Made(made.table, made.recipe, tmp_path / "nowhere" / "out").plan()
    assert plan.code == 0, plan.err
    assert list(tmp_path.iterdir()) == []
    assert listing(made.table.parent) == before
    assert "nothing was written" in plan.out


def test_a_finished_out_is_not_touched_and_all_of_it_is_cached(made: Made) -> None:
    before = listing(made.out)
    plan = made.plan("--json")
    assert listing(made.out) == before
    pointer = json.loads((made.out / "runs/fast.json").read_text())
    found = phases(plan)
    assert all(phase["cached"] for phase in found.values())
    assert {name: found[name]["key"] for name in ("hear", "annotate", "select", "arrange")} == {
        name: pointer["streams"]["web"][name] for name in ("hear", "annotate", "select", "arrange")
    }
    assert found["compose"]["key"] == pointer["compose"]
    assert [found["snr"]["key"], found["text_rate"]["key"]] == pointer["streams"]["web"]["measure"]
    assert json.loads(plan.out)["workers"] == 0


def test_what_is_to_do_before_the_first_run(made: Made, tmp_path: Path) -> None:
    data = phases(Made(made.table, made.recipe, tmp_path / "out").plan("--json"))
    assert {name: (p["items"], p["cached_items"]) for name, p in data.items()} == {
        "gather": (5, 0),
        "hear": (5, 0),
        "annotate": (5, 0),
        "snr": (5, 0),
        "text_rate": (5, 0),
        "select": (5, 0),
        "arrange": (5, 0),
        "compose": (1, 0),
    }
    # 3 x 8.5 s and 1.9 s by their headers; the broken file by its 36 bytes: 1 ms
    assert data["hear"]["seconds"] == pytest.approx(3 * 8.5 + 1.9, abs=60.1)
    assert data["select"]["key"] is None and data["compose"]["key"] is None


def test_data_are_told(made: Made, tmp_path: Path) -> None:
    said = Made(made.table, made.recipe, tmp_path / "out").plan("--json")
    (stream,) = json.loads(said.out)["streams"]
    assert stream["dropped"] == {"missing": 1, "not_audio": 1}
    assert (stream["files"], stream["recordings"]) == (7, 5)
    assert (stream["known_files"], stream["probed_files"], stream["guessed_files"]) == (0, 4, 1)
    assert stream["seconds"] == pytest.approx(27.4, abs=0.01)


def test_another_filter_needs_no_audio_again(made: Made) -> None:
    found = phases(made.plan("--json", "--set", "filter.min_words=1"))
    assert {name for name, phase in found.items() if not phase["cached"]} == {
        "select",
        "arrange",
        "compose",
    }


def test_another_measure_is_computed_alone(made: Made) -> None:
    found = phases(made.plan("--json", "--set", "snr.quantile=0.1"))
    assert [name for name in ("hear", "annotate", "snr", "text_rate") if found[name]["parts"]] == [
        "snr"
    ]
    assert (found["snr"]["items"], found["snr"]["cached_items"]) == (4, 0)  # one is broken


def test_new_data_are_counted_apart(made: Made) -> None:
    table = made.table.parent / "more.csv"
    rows = made.table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(rows[:3]) + "\n", encoding="utf-8")  # fewer rows, all known
    try:
        found = phases(Made(table, made.recipe, made.out).plan("--json"))
    finally:
        table.unlink()
    assert (found["gather"]["items"], found["gather"]["cached_items"]) == (2, 2)
    assert (found["hear"]["items"], found["hear"]["cached_items"]) == (2, 2)
    assert not found["select"]["cached"]  # set-wise: fewer clips are another set


def test_limit_takes_the_recordings_that_a_run_takes(made: Made) -> None:
    found = phases(made.plan("--json", "--limit", "2s"))
    assert found["hear"]["items"] in (1, 2)
    assert found["hear"]["cached_items"] == found["hear"]["items"]


def test_a_phase_at_work_is_named(made: Made, copy: Callable[[Made], Made]) -> None:
    mine = copy(made)
    key = json.loads((mine.out / "runs/fast.json").read_text())["streams"]["web"]["hear"]
    with phase_lock(Store(mine.out), "hear", key, "20260101T000000-abcdef"):
        before = listing(mine.out)
        said = mine.plan()
        assert {k: v for k, v in listing(mine.out).items() if k in before} == before
    assert said.code == 0
    assert "busy now   hear of web: run 20260101T000000-abcdef" in said.out


def test_a_missing_model_is_told_with_what_to_do(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> Path:
        raise voice.WeightsMissing("pretrained.pt is not installed; run make setup")

    monkeypatch.setattr(voice, "weights_path", gone)
    changes = ["diarize.engine=resemblyzer", "diarize.min_turn_seconds=0.51"]
    plan = forecast(
        load_recipe(made.recipe, changes), Options(data=str(made.table), out=str(tmp_path / "out"))
    )
    assert [(m.step, m.engine) for m in plan.missing] == [("diarize", "resemblyzer")]
    assert "make setup" in plan.missing[0].missing
    assert [phase.phase for phase in plan.streams[0].phases] == ["gather"]


def test_streams_that_share_a_phase_do_it_once(made: Made, tmp_path: Path) -> None:
    text = made.recipe.read_text()
    steps = text.split("  web:\n")[1]
    recipe = tmp_path / "two.yaml"
    recipe.write_text(f"{text}  again:\n{steps.replace('min_words: 2', 'min_words: 1')}")
    plan = forecast(load_recipe(recipe), Options(data=str(made.table), out=str(tmp_path / "out")))
    first, second = plan.streams
    todo = {p.phase: p.parts > 0 for p in second.phases}
    assert all(phase.parts for phase in first.phases)
    assert todo == {
        "gather": False,
        "hear": False,
        "annotate": False,
        "measure": False,
        "select": True,
        "arrange": True,
        "compose": True,
    }


@pytest.mark.parametrize("workers", [None, 1, 3])
@pytest.mark.parametrize(("planned", "parts"), [(1.0, 1), (299.0, 5), (301.0, 5), (1e6, 40)])
def test_workers_are_chosen_as_a_run_does(
    made: Made, workers: int | None, planned: float, parts: int, tmp_path: Path
) -> None:
    options = Options(data=str(made.table), out=str(tmp_path), workers=workers)
    curator = Curator(load_recipe(made.recipe), options, lambda kind, value: None)
    assert worker_count(options, planned, parts) == curator._worker_count(planned, parts)


def test_data_that_cannot_be_used_are_refused(made: Made, tmp_path: Path) -> None:
    said = Made(tmp_path / "none.csv", made.recipe, tmp_path / "out").plan()
    assert said.code == 2
    assert "does not exist" in said.err


def test_models_times_workers_and_resource_hints_are_shown(tmp_path: Path) -> None:
    hints = ("--set", "resources={annotate: {min_ram: 16GB}, hear: {}}")
    arguments = ("--data", str(ROOT / "samples"), "--out", str(tmp_path / "out"), "--workers", "2")
    told = speechloom("plan", *arguments, *hints)
    assert told.code == 0, told.err
    lines = [" ".join(line.split()) for line in told.out.splitlines()]
    assert "models web: diarize resemblyzer: here, 2 x 490.0 MB of memory" in lines
    assert "resources annotate: min_ram 16GB (the direct runner ignores them)" in lines
    assert "resources hear: none (the direct runner ignores them)" in lines
    (memory,) = [line for line in lines if line.startswith("memory")]
    assert "for each of 2 workers" in memory
    found = json.loads(speechloom("plan", *arguments, *hints, "--json").out)
    assert found["resources"] == {"annotate": {"min_ram": "16GB"}, "hear": {}}
    bytes_of = {(m["step"], m["engine"]): m["bytes"] for m in found["models"]}
    assert bytes_of["diarize", "resemblyzer"] == 490_000_000
    assert found["worker_bytes"] > sum(bytes_of.values())
