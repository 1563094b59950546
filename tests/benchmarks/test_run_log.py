"""The log of a run as phases with their times."""

import json
import pathlib

import pytest

from benchmarks import run_log

EVENTS = [
    (0.1, "phase", {"phase": "gather", "parts": 1, "seconds": 3.0}),
    (0.5, "committed", ["a", 3.0]),
    (0.6, "phase", {"phase": "hear", "parts": 2, "seconds": 3.0}),
    (0.9, "step", ["decode", 0.2]),
    (1.0, "step", ["decode", 0.1]),
    (1.1, "step", ["segment", 0.1]),
    (1.2, "committed", ["b", 3.0]),
    (1.3, "phase", {"phase": "compose", "parts": 1, "seconds": 3.0}),
    (1.8, "committed", ["c", 3.0]),
    (2.5, "counters", {}),
]


@pytest.fixture
def out(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    phase = ""
    with (folder / "run.jsonl").open("w") as log:
        for elapsed, kind, value in EVENTS:
            log.write(
                json.dumps({"elapsed": elapsed, "event": kind, "phase": phase, "value": value})
                + "\n"
            )
            phase = value["phase"] if kind == "phase" else phase
    return tmp_path


def test_phases_share_all_the_time(out: pathlib.Path) -> None:
    found = run_log.read(run_log.newest(out))
    assert [phase.phase for phase in found.phases] == ["gather", "hear", "compose"]
    assert [phase.seconds for phase in found.phases] == pytest.approx([0.5, 0.7, 0.5])
    assert found.wall("hear", "compose") == pytest.approx(1.2)
    assert found.phases[1].compute == pytest.approx({"decode": 0.3, "segment": 0.1})
    assert found.total == 2.5


def test_the_phase_that_a_run_is_in(out: pathlib.Path) -> None:
    assert run_log.now(out) == "compose"
    assert run_log.now(out / "nowhere") == ""
