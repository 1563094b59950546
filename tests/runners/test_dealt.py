"""Parts wait in OUT under the digest of their bytes; what was changed there is not read."""

import dataclasses
from pathlib import Path

import pytest

from pipeline import parts as parts_module
from pipeline.parts import Parts
from pipeline.runners import dealt
from schemas.store import Store, StoreError


@dataclasses.dataclass(frozen=True)
class Job:
    phase: str
    key: str
    store: Store


@dataclasses.dataclass(frozen=True)
class MadePart:
    id: str
    seconds: float = 1.0


def made(count: int) -> list[MadePart]:
    return [MadePart(f"part {number}") for number in range(count)]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("made", "k", Store(tmp_path / "out"))


@pytest.mark.parametrize("count", [0, 6, 21, 22, 50])
def test_packed_parts_come_in_their_order_again_and_again(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(parts_module, "PARTS_PER_BLOCK", 7)
    monkeypatch.setattr(parts_module, "FEW_PARTS", 21)
    parts = made(count)
    packed = Parts(iter(parts))
    assert (len(packed), packed.seconds, bool(packed)) == (count, float(count), count > 0)
    assert list(packed) == list(packed) == parts
    assert sum(number for _, number in packed.blocks()) == count


def test_every_part_comes_back_once_and_nothing_stays(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "PARTS_PER_BLOCK", 7)
    monkeypatch.setattr(parts_module, "FEW_PARTS", 21)
    monkeypatch.setattr(dealt, "BLOCKS_PER_LIST", 3)
    parts = made(50)
    given = dealt.write(job, Parts(parts))
    assert len(given.lists) == 3  # of 8 blocks
    names = [name for one in given.lists for name in dealt.elements(job, one)]
    assert len(set(names)) == len(names)
    assert [dealt.part_of(job, name) for name in names] == parts
    dealt.remove(job, given)
    assert job.store.list("made") == []


@pytest.mark.parametrize("place", [0, -1])
def test_what_somebody_changed_is_not_read(job: Job, place: int) -> None:
    given = dealt.write(job, Parts(made(2)))
    job.store.replace(f"{dealt.folder_of(job)}/{given.objects[place]}", b"cos\nsystem\n")
    with pytest.raises(StoreError, match="somebody changed it"):
        names = list(dealt.elements(job, given.lists[0]))
        dealt.part_of(job, names[0])
