"""Records that kill their worker, and steps with bugs: the first is survived, the second told."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import commits, layout
from pipeline.pointers import read_pointers
from schemas.records import Drop
from schemas.shard_reader import read_shard
from schemas.store import Store
from tests.laws import made_corpus, runs
from tests.laws.made_corpus import Row

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings of four speakers, 5 s each."""
    folder = tmp_path_factory.mktemp("four")
    for seed, name in enumerate(NAMES):
        sound = made_corpus.wav(made_corpus.voice(30 + seed, 5.0))
        made_corpus.write_file(folder / f"{name}.wav", sound)
    table = [
        Row(audio=f"{name}.wav", text=made_corpus.words(seed, 12), speaker=name)
        for seed, name in enumerate(NAMES)
    ]
    return made_corpus.write_table(folder / "table.csv", table)


def run(data: Path, tmp_path: Path, after: str, line: str, *more: str) -> Any:
    recipe = runs.recipe_with(tmp_path / "recipe.yaml", after, line)
    arguments = runs.command(data, tmp_path / "out", "--workers", "1", *more, recipe=recipe)
    return runs.run_command(arguments, runs.environment(**runs.PLUGINS))


def rows(manifest: dict[str, Any], step: str) -> dict[str, Any]:
    (row,) = [row for row in manifest["funnel"] if row["step"] == step]
    return dict(row)


def sources(out: Path) -> set[str]:
    """The uris whose speech stands in the shards."""
    (folder,) = {path.parent for path in (out / "compose").glob("*/manifest.json")}
    found = set()
    for path in folder.rglob("*.tar"):
        with path.open("rb") as stream:
            found |= {sample.document.source for sample in read_shard(stream, path.name)}
    return found


@pytest.mark.parametrize(
    ("phase", "after", "line"),
    [
        ("hear", "segment", "trip: {uri: b.wav}"),
        ("annotate", "transcribe", "trouble: {how: abort, speaker: b}"),
    ],
)
def test_a_record_that_kills_its_worker_is_given_up_alone(
    data: Path, tmp_path: Path, phase: str, after: str, line: str
) -> None:
    done = run(data, tmp_path, after, line)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a worker died (signal SIGABRT)") == 4  # twice as a part, twice alone
    assert sources(tmp_path / "out") == {"a.wav", "c.wav", "d.wav"}
    manifest = runs.published(tmp_path / "out")
    dead = rows(manifest, phase)
    assert (dead["items_in"], dead["items_out"]) == (1, 0)
    assert [(d["reason"], d["items"]) for d in dead["drops"]] == [("crash", 1)]
    if phase == "hear":
        assert dead["seconds_in"] == pytest.approx(5.0)
        assert rows(manifest, "decode")["items_in"] == 3
    else:  # what gate let through is what crashed and what diarize saw
        gate = rows(manifest, "gate")
        total = dead["seconds_in"] + rows(manifest, "diarize")["seconds_in"]
        assert gate["seconds_out"] == pytest.approx(total, abs=1e-6)

    again = run(data, tmp_path, after, line)  # a dead letter is an answer: nobody tries it again
    assert again.returncode == 0 and "died" not in again.stderr


def test_a_clip_that_kills_a_measure_has_an_unknown_score(data: Path, tmp_path: Path) -> None:
    """Its own score alone: the measures beside it are computed, in whatever order they stand."""
    done = run(data, tmp_path, "clipping", "stumble: {speaker: b}")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a worker died (signal SIGABRT)") == 4  # twice as a part, twice alone
    assert sources(tmp_path / "out") == {"a.wav", "b.wav", "c.wav", "d.wav"}
    store = Store(tmp_path / "out")
    (keys,) = (pointer.streams["web"] for pointer in read_pointers(store))
    unknown, dropped = {}, []
    for key in keys.measure:
        names = [entry.name for entry in store.list(layout.commits_folder("measure", key))]
        tables = [commits.column(store, name, "row") for name in names]
        column = tables[0].column_names[-1]
        unknown[column] = sum(table[column].null_count for table in tables)
        dropped += [drop for name in names for drop in commits.records(store, name, "drop", Drop)]
    assert [(drop.step, drop.reason) for drop in dropped] == [("stumble", "crash")]
    assert unknown.pop("value") > 0 and set(unknown.values()) == {0} and len(unknown) == 3


def test_a_bug_stops_the_run_and_names_the_record(data: Path, tmp_path: Path) -> None:
    done = run(data, tmp_path, "transcribe", "trouble: {how: raise, speaker: c}")
    assert done.returncode == 1
    assert re.search(r"annotate/trouble failed on [0-9a-f]{32}: ZeroDivisionError", done.stderr)
    assert "This is a bug in the step, not bad data" in done.stderr
    assert "to go on, once it is mended: python -m pipeline curate" in done.stderr
    assert "Traceback" not in done.stderr
    mended = run(data, tmp_path, "transcribe", "trouble: {how: sleep, seconds: 0}")
    assert mended.returncode == 0 and "hear      done before" in mended.stderr


def test_a_step_that_loses_a_clip_is_caught(data: Path, tmp_path: Path) -> None:
    done = run(data, tmp_path, "transcribe", "trouble: {how: lose, speaker: d}")
    assert done.returncode == 4, done.stderr
    assert re.search(r"trouble: [0-9a-f]{32} brought \d+ frames", done.stderr)
    assert "This is a bug: nothing may be lost" in done.stderr
    assert not list((tmp_path / "out").glob("compose/*/manifest.json"))  # nothing is published
