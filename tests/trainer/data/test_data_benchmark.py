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
        [*command, "--minutes", "2", "--repeats", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "SPEECHLOOM_CORPUS": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    titles = [line.split("|")[1].strip() for line in lines]
    assert titles[1:4] == ["FLAC decoding alone", "waveforms, in process", "waveforms, one worker"]
    assert all(float(line.split("|")[2].replace(",", "")) > 0 for line in lines[1:])
