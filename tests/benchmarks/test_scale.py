"""The stages of benchmarks/scale.py do what they say, on few commits."""

from pathlib import Path

import pytest

from benchmarks import scale
from pipeline import commits


@pytest.mark.parametrize("stage", ["ledger", "funnel", "resumed", "fresh", "census"])
def test_a_stage_over_made_manifests(stage: str, tmp_path: Path) -> None:
    scale.write_manifests(tmp_path, 300)
    told = scale.child(stage, str(tmp_path), 300)
    assert told["s"] > 0 and told["mb"] > 10


def test_written_commits_are_read_once(tmp_path: Path) -> None:
    scale.write_commits(tmp_path, 20)
    scale.stage_written(str(tmp_path), 20)
    assert not commits.ledger(scale.Store(str(tmp_path)), "hear", scale.KEY).uncovered


def test_members_come_sorted_and_each_once(tmp_path: Path) -> None:
    scale.write_manifests(tmp_path, 50)
    ids = [member.id for member in scale.members(str(tmp_path))]
    assert ids == sorted(scale.recording_of(number) for number in range(50))


def test_exponents_are_slopes() -> None:
    assert scale.exponent([1.0, 10.0, 100.0], [2.0, 20.0, 200.0]) == pytest.approx(1.0)
    assert scale.exponent([1.0, 10.0, 100.0], [5.0, 5.0, 5.0]) == pytest.approx(0.0)
