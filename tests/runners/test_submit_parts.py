"""What a driver asks OUT of its parts: by listings where they are many, else one by one."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline import layout
from pipeline.parts import Parts
from pipeline.runners import submit
from schemas.ids import digest_of
from schemas.store import Store
from tests.pipeline.made_job import MadeJob, MadePart


@pytest.fixture
def job(tmp_path: Path) -> MadeJob:
    store = Store(tmp_path / "out")
    return MadeJob(key="k", store=store, run="r", device="any", folder=str(tmp_path))


def made(count: int) -> list[MadePart]:
    return [
        MadePart(id=digest_of("part", number), seconds=float(number)) for number in range(count)
    ]


def commit(job: MadeJob, parts: list[MadePart]) -> None:
    for part in parts:
        job.run_part(part)


@pytest.mark.parametrize("few", [0, 4096])
def test_what_is_committed_is_not_left(
    job: MadeJob, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(submit, "FEW_PARTS", few)
    parts = made(30)
    commit(job, parts[::3])
    left = Parts(submit._unsettled(job, Parts(parts)))
    assert list(left) == [part for number, part in enumerate(parts) if number % 3]
    commit(job, list(left))
    assert not list(submit._unsettled(job, left))


def test_a_shard_is_settled_by_its_entry(job: MadeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Shards(MadeJob):
        phase = "compose"

    monkeypatch.setattr(submit, "FEW_PARTS", 0)
    shards = Shards(**{f.name: getattr(job, f.name) for f in dataclasses.fields(job)})
    parts = made(3)
    job.store.put_if_absent(layout.shard_entry_name(parts[1].id), b"{}")
    assert list(submit._unsettled(shards, Parts(parts))) == [parts[0], parts[2]]


def test_a_part_of_two_measures_is_settled_by_both(
    job: MadeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Both(MadeJob):
        keys: tuple[str, ...] = ("k", "l")

    both = Both(**{f.name: getattr(job, f.name) for f in dataclasses.fields(job)})
    parts = made(2)
    commit(job, parts)
    assert [len(names) for names, _ in _folders(both)] == [2, 0]
    commit(dataclasses.replace(job, key="l"), parts[:1])
    assert [len(names) for names, _ in _folders(both)] == [2, 1]


def _folders(job: Any) -> list[Any]:
    return [submit._there(job.store, folder) for folder in submit._settling(job)]


def test_progress_tells_of_every_part_once(job: MadeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "LIST_SECONDS", 0.0)
    monkeypatch.setattr(submit, "LIST_SHARE", 0.0)
    told: list[tuple[str, float]] = []
    parts = made(12)
    progress = submit._Progress(job, Parts(parts), lambda kind, value: told.append(value))
    progress.look()
    assert told == []
    commit(job, [*parts[:5], MadePart(id=digest_of("of another run"))])
    progress.look()
    progress.look()
    assert sorted(told) == sorted((part.id, part.seconds) for part in parts[:5])
    progress.finish()
    assert sorted(told) == sorted((part.id, part.seconds) for part in parts)
