"""Whole studies on small shards: cells, kill -9, changes refused, what is written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from schemas.settings import SettingsError
from tests.trainer.data.made_sets import RATE
from trainer.ablate import ablate
from trainer.ablation.running import done, folder_of, locked
from trainer.failures import BusyError, ChangedError, TrainingError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def items(tmp_path):
    """Eight questions in noise; their answers mean nothing."""
    folder = tmp_path / "items"
    (folder / "audio").mkdir(parents=True)
    noise = np.random.default_rng(1)
    lines = []
    for number in range(8):
        name = f"audio/{number}.flac"
        soundfile.write(folder / name, noise.integers(-900, 900, RATE).astype(np.int16), RATE)
        lines.append(
            json.dumps(
                {
                    "kind": "cloze",
                    "id": f"q{number}",
                    "question": {"audio": name, "text": f"d{number}c0w0"},
                    "options": ["one", "two", "three", "four"],
                    "answer": number % 4,
                }
            )
        )
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def study(tmp_path, talk_set, items):
    """A study of two steps a cell, as a file."""

    def write(**changes):
        value = {
            "name": "tiny",
            "question": "Does it run?",
            "config": "smoke",
            "settings": {
                "model": {"depth": 1, "width": 16, "heads": 2},
                "data.sets": {"talk": {"shards": "data:talk", "policy": "deterministic"}},
                "data.length": 256,
                "text.size": 300,
                "speech.tokenizer": "dmel/25x3",
                "stop": {"steps": 2},
                "checkpoint.every": None,
            },
            "data": {"talk": {"shards": str(talk_set)}},
            "seeds": [1, 2],
            "equal": "positions",
            "arms": {
                "fine": {},
                "coin": {"settings": {"data.sets.talk.policy": "stochastic"}},
            },
            "controls": {
                "same": {"arm": "fine"},
                "without": {"permuted_audio": "a test", "text_only": "a test"},
            },
            "evaluation": {"sets": {"items": "items"}, "at": [1, "end"]},
            "endpoint": {"set": "items", "at": "end"},
            "claims": [{"name": "fine over coin", "better": "fine", "worse": "coin"}],
        } | changes
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False))
        return path

    return write


def quietly(*arguments, **more):
    return ablate(*arguments, **more, say=lambda text: None)


@pytest.mark.slow
def test_a_study_runs_is_kept_and_is_refused_when_changed(study, tmp_path, items):
    out = tmp_path / "out"
    path = study()
    first = quietly(path, out, arms=["fine"], seeds=[1])
    assert first.results.done == 1 and "1 of 6 cells" in first.report.read_text()
    stamp = (folder_of(out, ("fine", 1)) / "done.json").stat().st_mtime_ns

    whole = quietly(path, out)
    assert whole.results.done == 6
    assert (folder_of(out, ("fine", 1)) / "done.json").stat().st_mtime_ns == stamp
    cells = {cell: done(out, cell) for cell in (("fine", 1), ("coin", 1), ("same", 1), ("fine", 2))}
    reads = {cell: value["read"] for cell, value in cells.items()}
    assert all(value["steps"] == 2 and value["endpoint_step"] == 2 for value in cells.values())
    assert set(cells["fine", 1]["accuracy"]) == {"1", "2"}
    # arms of a seed read the same documents with other sides, and A/A reads others
    assert reads["fine", 1]["text_positions"] != reads["coin", 1]["text_positions"]
    assert reads["fine", 1] != reads["same", 1] and reads["fine", 1] != reads["fine", 2]
    assert (folder_of(out, ("fine", 1)) / "items" / "items.jsonl").read_text().count("\n") == 16
    assert not (folder_of(out, ("fine", 1)) / "run" / "checkpoints").exists()
    assert json.loads((out / "results.json").read_text())["done"] == 6

    with pytest.raises(ChangedError) as caught:
        quietly(study(seeds=[1, 2, 3]), out)
    assert "+    - 3" in str(caught.value) or "[1, 2, 3]" in str(caught.value)
    with pytest.raises(ChangedError, match="stop"):
        quietly(study(), out, overrides=["settings.stop.steps=3"])
    study()
    with (items / "items.jsonl").open("a") as stream:
        stream.write(json.dumps({
            "kind": "cloze", "id": "late", "question": {"text": "x", "audio": "audio/0.flac"},
            "options": ["a", "b"], "answer": 0}) + "\n")  # fmt: skip
    with pytest.raises(ChangedError, match="items of items"):
        quietly(path, out)


@pytest.mark.slow
def test_kill_minus_nine_and_the_same_command_goes_on(study, tmp_path):
    path = study(seeds=[1])
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    quietly(path, calm)
    command = [sys.executable, "-m", "trainer", "ablate", str(path), "--out", str(killed)]
    process = subprocess.Popen([*command, "--jobs", "1"], cwd=ROOT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 90
    while done(killed, ("fine", 1)) is None and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)  # well into the next cell
    process.send_signal(signal.SIGKILL)
    process.wait()
    stamp = (folder_of(killed, ("fine", 1)) / "done.json").stat().st_mtime_ns
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    assert (folder_of(killed, ("fine", 1)) / "done.json").stat().st_mtime_ns == stamp
    for arm in ("fine", "coin", "same"):
        one, two = (done(out, (arm, 1)) for out in (calm, killed))
        own = ("accuracy", "losses", "read", "flops", "facts", "items")
        assert {k: one[k] for k in own} == {k: two[k] for k in own}


@pytest.mark.slow
def test_a_cell_that_fails_names_itself_and_why(study, tmp_path):
    settings = yaml.safe_load(study().read_text())["settings"]
    sets = {"talk": {"shards": "data:talk", "policy": "deterministic", "epochs": 1}}
    path = study(
        settings=settings | {"data.sets": sets, "stop": {"steps": 500}},
        evaluation={"sets": {"items": "items"}, "at": ["end"]},
    )
    with pytest.raises(TrainingError) as caught:
        quietly(path, tmp_path / "out", arms=["fine"], seeds=[1])
    assert "arm fine with seed 1 failed" in str(caught.value)
    assert "the data end before the budget does" in str(caught.value)
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow
def test_equal_data_reads_each_set_once_in_every_arm(study, tmp_path):
    settings = yaml.safe_load(study().read_text())["settings"]
    sets = {"talk": {"shards": "data:talk", "policy": "deterministic", "epochs": 1}}
    path = study(
        equal="data",
        settings=settings | {"data.sets": sets, "data.when_done": "others", "data.packs": 2},
        evaluation={"sets": {"items": "items"}, "at": ["end"]},
    )
    quietly(path, tmp_path / "out", arms=["fine", "coin"], seeds=[1])
    fine, coin = (done(tmp_path / "out", (arm, 1)) for arm in ("fine", "coin"))
    for one in (fine, coin):
        assert one["steps"] == one["read"]["steps"] > 2
        assert one["read"]["passes"]["talk"] == pytest.approx(1.0, abs=0.25)


RECIPE = """\
name: {name}
seed: 1
streams:
  read:
    - crawl
    - segment: {{engine: whole}}
    - diarize: {{engine: given}}
    - transcribe: {{engines: [given]}}
    - filter: {{min_seconds: {least}}}
    - split: {{train: 1.0, valid: 0.0, test: 0.0}}
    - interleave
shards: {{hours: 1}}
"""


@pytest.mark.slow
def test_arms_can_be_recipes_over_the_same_recordings(study, tmp_path):
    """From raw audio to a report; the recordings are decoded and transcribed once."""
    for name, least in (("all", 0.1), ("long", 3.5)):
        (tmp_path / f"{name}.yaml").write_text(RECIPE.format(name=name, least=least))
    settings = yaml.safe_load(study().read_text())["settings"]
    samples = str(ROOT / "samples" / "clips.csv")
    path = study(
        settings=settings
        | {"data.sets": {"talk": {"shards": "data:all"}}, "data.packs": 1, "data.length": 512},
        data={name: {"data": samples, "recipe": f"{name}.yaml"} for name in ("all", "long")},
        arms={"fine": {}, "coin": {"settings": {"data.sets.talk.shards": "data:long"}}},
    )
    out = tmp_path / "out"
    found = quietly(path, out, arms=["fine", "coin"], seeds=[1])
    assert found.results.done == 2 and len(found.results.facts) == 3
    assert len(list((out / "curated" / "annotate").iterdir())) == 1  # shared by both recipes
    reads = [done(out, (arm, 1))["facts"]["shards of set talk"] for arm in ("fine", "coin")]
    assert reads[0] != reads[1]
    documents = {
        arm: json.loads((folder_of(out, (arm, 1)) / "cell.json").read_text())["config"]["data"]
        for arm in ("fine", "coin")
    }
    assert (
        documents["fine"]["sets"]["talk"]["shards"] != documents["coin"]["sets"]["talk"]["shards"]
    )


def test_one_process_at_a_time_runs_a_study(study, tmp_path):
    with locked(tmp_path / "out"), pytest.raises(BusyError, match="another process runs a study"):
        quietly(study(), tmp_path / "out")


def test_what_a_study_does_not_have_cannot_be_chosen(study, tmp_path):
    with pytest.raises(TrainingError, match="the study has no 'fin'"):
        quietly(study(), tmp_path / "out", arms=["fin"])
    with pytest.raises(SettingsError, match="'fin'; there are"):
        quietly(study(claims=[{"name": "x", "better": "fin", "worse": "coin"}]), tmp_path / "out")


def test_a_cell_does_not_outlive_its_study(tmp_path):
    """Started for a process that is not its parent, it stops before it begins."""
    command = [sys.executable, "-m", "trainer.ablation.cell", str(tmp_path), str(os.getpid() + 1)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "is gone" in ended.stderr
