"""Parts wait in OUT under the digest of their bytes; what was changed there is not read."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.runners import dealt
from schemas.store import Store, StoreError


@dataclasses.dataclass(frozen=True)
class Job:
    phase: str
    key: str
    store: Store


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("made", "k", Store(tmp_path / "out"))


def test_every_part_comes_back_once_and_nothing_stays(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dealt, "PARTS_PER_BLOCK", 7)
    monkeypatch.setattr(dealt, "BLOCKS_PER_LIST", 3)
    parts = [f"part {number}" for number in range(50)]
    given = dealt.write(job, parts)
    assert len(given.lists) == 3  # of 8 blocks
    names = [name for one in given.lists for name in dealt.elements(job, one)]
    assert len(set(names)) == len(names)
    assert [dealt.part_of(job, name) for name in names] == parts
    dealt.remove(job, given)
    assert job.store.list("made") == []


@pytest.mark.parametrize("place", [0, -1])
def test_what_somebody_changed_is_not_read(job: Job, place: int) -> None:
    given = dealt.write(job, ["a", "b"])
    job.store.replace(f"{dealt.folder_of(job)}/{given.objects[place]}", b"cos\nsystem\n")
    with pytest.raises(StoreError, match="somebody changed it"):
        names = list(dealt.elements(job, given.lists[0]))
        dealt.part_of(job, names[0])
