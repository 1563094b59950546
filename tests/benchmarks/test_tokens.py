"""The measurement of tokenizers runs on made sound and prints a share for each."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_shares_of_decoding() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/tokens.py", "--clips", "6", "--repeats", "3"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"SPEECHLOOM_CORPUS": "/nonexistent", "PATH": "/usr/bin"},
    )
    assert "made sound" in done.stdout, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| FLAC")]
    shares = {row[0].strip(): float(row[2]) for row in rows}
    assert set(shares) == {f"FLAC to {name}" for name in ("dmel", "dmel/20x4", "dmel/25x3")}
    assert all(0 < share < 1.5 for share in shares.values())
    assert done.returncode == (1 if shares["FLAC to dmel"] < 0.45 else 0)
