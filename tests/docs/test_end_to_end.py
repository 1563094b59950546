"""Raw recordings to an answer, by the three commands of the Makefile, at toy size.

On what `make curate DATA=samples` made: train, ask, export, and compare two arms with all controls
of a shipped study. What comes out means nothing; that it comes out, whole and of these data, does.
"""

import csv
import json
import math
import os
from pathlib import Path

import pytest
from copies import Copy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("documents")]
OUT = "out-end-to-end"
SMALL = "model.depth=2"


def done(copy: Copy, command: str) -> str:
    """What a command printed, which has to succeed."""
    found = copy.run(command)
    assert found.returncode == 0, found.stdout
    return found.stdout


@pytest.fixture(scope="module")
def questions(curated: tuple[Copy, str]) -> Path:
    """A cloze set of the clips that come with speechloom: which sentence was said?"""
    copy = curated[0]
    rows = list(csv.DictReader((copy.folder / "samples/clips.csv").open()))[:5]
    folder = copy.folder / "end-to-end-questions"
    (folder / "audio").mkdir(parents=True)
    options = [row["text"] for row in rows[:4]]
    lines = []
    for number, row in enumerate(rows[:4]):
        name = f"audio/{number}.flac"
        (folder / name).write_bytes((copy.folder / "samples" / row["audio"]).read_bytes())
        side = {"text": row["text"], "audio": name}
        item = {"kind": "cloze", "id": f"q{number}", "question": side, "options": options}
        lines.append(json.dumps({**item, "answer": number}))
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(curated: tuple[Copy, str]) -> tuple[Copy, str]:
    """The copy after `make train` on its shards, and what that printed."""
    copy = curated[0]
    # by name: other documents, read before, may have left runs of theirs
    settings = f'ARGS="--set {SMALL} --set stop.steps=24 --set data.sets.shards.recipe=offline"'
    return copy, done(copy, f"make train SHARDS=out OUT={OUT} {settings}")


def test_what_was_curated_is_learnt(trained: tuple[Copy, str]) -> None:
    from trainer import journal

    copy, said = trained
    assert "done: step 24 of 24" in said
    lines = journal.read(copy.folder / OUT)
    first, last = ([one for one in lines if one["event"] == "step"][at] for at in (0, -1))
    run = json.loads((copy.folder / "out/runs/offline.json").read_text())
    folder = copy.folder / "out/compose" / run["compose"]
    manifest = json.loads((folder / "manifest.json").read_text())
    held = [one for one in manifest["shards"] if one["name"].startswith("train/")]
    seconds = sum(one["seconds"] for one in held)
    assert last["passes"]["shards"] > 1
    # of each document one side or the other is heard in each pass
    assert 0.2 < last["speech_seconds"] / (seconds * last["passes"]["shards"]) < 0.8
    start = next(one for one in lines if one["event"] == "start")
    assert str(folder) in json.dumps(start)
    assert last["loss_text"] < math.log(512) - 1 < first["loss_text"]
    assert last["loss_speech"] < math.log(16) - 0.5 < first["loss_speech"]


def test_what_was_learnt_is_asked_and_exported(trained: tuple[Copy, str], questions: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    copy, _ = trained
    asked = f"--evalset {questions.name} --out {OUT}/results"
    done(copy, f"python -m trainer evaluate {OUT} {asked}")
    results = json.loads((copy.folder / OUT / "results/results.json").read_text())
    text = json.dumps(results)
    assert '"S-to-T"' in text
    assert '"T-to-T"' in text
    assert "| chance |" in (copy.folder / OUT / "results/results.md").read_text()
    items = (copy.folder / OUT / "results/items.jsonl").read_text().splitlines()
    assert len(items) == 8  # four questions, heard and read
    done(copy, f"python -m trainer export {OUT} --out {OUT}/model")
    model = AutoModelForCausalLM.from_pretrained(copy.folder / OUT / "model")
    tokens = AutoTokenizer.from_pretrained(copy.folder / OUT / "model")
    given = tokens("The morning", return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=given["input_ids"]).logits
    assert logits.shape[:2] == given["input_ids"].shape
    assert bool(torch.isfinite(logits).all())


def test_two_ways_to_read_it_are_compared(curated: tuple[Copy, str], questions: Path) -> None:
    """The shipped study with its controls, one seed: a report, and no claim."""
    copy = curated[0]
    given = f"--data web=out --data text=out --data questions={questions.name} --seeds 1"
    small = f"--set settings.{SMALL} --set settings.stop.steps=4 --set evaluation.at=[2,end]"
    study = "make ablate ABLATION=ablations/fine_vs_coarse.yaml OUT=out-end-to-end-study"
    command = f'{study} ARGS="{given} {small}"'
    said = done(copy, command)
    folder = copy.folder / "out-end-to-end-study"
    results = json.loads((folder / "results.json").read_text())
    assert results["done"] == 5  # of 40: two arms and three controls with one seed
    assert "no claim" in said
    page = (folder / "report.html").read_text()
    assert "<table" in page
    assert "<svg" in page
    for arm in ("fine", "coarse", "same", "permuted_audio", "text_only"):
        assert arm in page
        assert f"| {arm} |" in (folder / "results.md").read_text()
    stamps = {path: os.stat(path).st_mtime_ns for path in folder.rglob("done.json")}
    assert len(stamps) == 5
    done(copy, command)
    assert {path: os.stat(path).st_mtime_ns for path in stamps} == stamps
