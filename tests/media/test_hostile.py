"""Seeded hostile media: none may crash, hang, leak or vanish (`make fuzz` runs ten thousand)."""

import os
from pathlib import Path

import pytest

from tests.media import hostile
from tests.media.fuzz import run
from transforms.door import CODES


def check(seed: int, count: int, folder: Path) -> None:
    tally = run(seed, count, folder)
    assert tally.wrong == []
    assert tally.total == count
    assert set(tally.outcomes) <= {"kept", *CODES}
    assert sum(tally.outcomes.values()) == count
    assert 0 < tally.outcomes["kept"] < count
    lost = sum(tally.outcomes[code] for code in ("crash", "timeout", "memory"))
    assert tally.restarts >= 2 * lost
    assert tally.outcomes["timeout"] == tally.outcomes["crash"] == 0
    assert tally.slowest < 10


def test_three_hundred_hostile_files(tmp_path: Path) -> None:
    check(1, 300, tmp_path)


@pytest.mark.fuzz
def test_as_many_hostile_files_as_one_likes(tmp_path: Path) -> None:
    check(
        int(os.environ.get("SPEECHLOOM_FUZZ_SEED", "1")),
        int(os.environ.get("SPEECHLOOM_FUZZ", "10000")),
        tmp_path,
    )


def test_items_are_a_function_of_seed_and_index() -> None:
    first = list(hostile.items(5, 60))
    assert first == list(hostile.items(5, 60))
    assert first[41] == hostile.item(5, 41)
    assert first != list(hostile.items(6, 60))
    assert {made.fault for made in first} == set(hostile.FAULTS)
