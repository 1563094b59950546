"""The measurement of the data path runs to its end on as little as it takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_data_path() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "data_path.py")]
    done = subprocess.run(
        [*command, "--minutes", "2", "--times", "2", "--repeats", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "SPEECHLOOM_CORPUS": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    cells = [line.split("|")[1:3] for line in done.stdout.splitlines() if line.startswith("| ")]
    rows = [(name.strip(), speed) for name, speed in cells if name.strip() != "path"]
    names = ["FLAC decoding alone", "waveforms, in process", "waveforms, one worker"]
    half = len(rows) // 2
    assert [name for name, _ in rows[:3]] == names
    assert [name for name, _ in rows[half : half + 3]] == names  # long documents, then clips
    assert {"FLAC to dMel, in process", "webdataset, FLAC + tokens, decoded"} <= dict(rows).keys()
    assert done.stdout.count("(goal 5)") == 2
    assert all(float(speed.replace(",", "")) > 0 for _, speed in rows)
