"""The measurements of near-duplicates run to their end on little, and say what they must."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def bench(name: str, *arguments: str) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in done.stdout.splitlines()
        if line.startswith("| ")
    ]


def test_near_texts() -> None:
    found = {row[0]: row for row in bench("near_duplicates_text.py", "--rows", "6000")}["6,000"]
    assert int(found[5]) > 300
    assert float(found[6]) >= 0.95  # recall
    assert float(found[7]) >= 0.99  # precision of links


def test_deciding_anew() -> None:
    found = {row[0]: row for row in bench("reselect.py", "--rows", "6000", "--near")}
    kept = {name: int(row[4]) for name, row in found.items() if row[4].isdigit()}
    assert 0 < kept["another threshold"] < kept["first: join, filter, dedup, split"] < 6000
    assert kept["near-duplicates too"] < kept["another threshold"]


@pytest.mark.corpus
def test_near_sound(shared_corpus: pathlib.Path) -> None:
    found = {row[0]: row for row in bench("near_duplicates_audio.py", "--clips", "12")}
    assert float(found["mp3 64 kbit/s"][2]) == 1.0
    assert float(found["2 % faster"][2]) >= 0.9
