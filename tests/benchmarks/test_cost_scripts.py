"""The measurements of cost run to their end on as little as it takes, and say what they are for."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.benchmarks.test_scripts import rows

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def bench(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "SPEECHLOOM_CORPUS": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_costs_of_phases_are_kept_and_fitted_over_all_runs(tmp_path: pathlib.Path) -> None:
    kept, plot = tmp_path / "rows.jsonl", tmp_path / "plots" / "costs.svg"
    one = json.loads(bench_row(kept))
    assert one["hours"] == pytest.approx(0.02) and one["clips"] > 0 and one["stub"] > 0
    for name in ("hear", "annotate", "measure", "select", "arrange", "compose"):
        assert one["parts"][name] == 1 and one["seconds"][name] > 0
    # as if twice and four times as much had been measured on other days, at the same rate
    for factor in (2, 4):
        seconds = {name: factor * spent for name, spent in one["seconds"].items()}
        more = {"hours": 0.02 * factor, "cpu": one["cpu"] * factor, "seconds": seconds}
        with kept.open("a") as lines:
            lines.write(json.dumps({**one, **more, "bytes_out": one["bytes_out"] * factor}) + "\n")
    said = bench(
        "phase_costs.py",
        *("--hours", "--shape-hours", "0", "--keep", str(kept), "--plot", str(plot)),
    )
    fitted = {row[0]: row for row in rows(said) if len(row) == 6}
    assert float(fitted["annotate"][3]) == pytest.approx(1.0, abs=0.05)
    assert fitted["all, CPU s"][5] == "1.00"
    assert "hear/decode" in {row[0] for row in rows(said)}
    assert plot.read_text().startswith("<?xml") and plot.stat().st_size < 60_000


def bench_row(kept: pathlib.Path) -> str:
    bench("phase_costs.py", "--hours", "0.02", "--shape-hours", "0", "--keep", str(kept))
    (line,) = kept.read_text().splitlines()
    return line


def test_requests_and_shuffles_of_a_run_are_counted() -> None:
    said = bench("traffic.py", "--recordings", "2", "5", "--commits", "20")
    found = rows(said)
    _, per_part, shuffles, _ = said.split("\n### ")[1:]
    parts = {row[0]: row[1:] for row in rows(per_part)}
    assert parts["hear"][0] == "3.00" and parts["annotate"][0] == "2.00"  # tar, attempt, commit
    crossed = {row[0]: row[3] for row in rows(shuffles)}
    assert 64 < int(crossed["hear"]) < 128  # a digest and a place
    (committed,) = [row for row in found if row[0] == "to commit them"]
    assert committed[1] == "20"
    (compacted,) = [row for row in found if row[0] == "to read them, compacted"]
    assert int(compacted[3]) <= 2 and int(compacted[2]) >= 1
    assert "and no sample among them" in said
