"""The measurement of evaluation runs to its end and prints its table."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_evaluation() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/evaluation.py", "--questions", "4", "--repeats", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    table = [line.split("|") for line in done.stdout.split("\n") if line.startswith("| ")]
    assert [row[1].strip() for row in table[2:]] == ["one item", "2,048", "8,192", "32,768"]
    assert all(0 < float(row[4]) < 1 for row in table[2:])
