"""Attempts at a part: noted by run, split after two that did not end, given up after two more."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline import commits, device, layout
from pipeline.commits import Content, Done, ledger
from pipeline.parts import Member, Part, part_id
from pipeline.phases.hear import HearJob
from pipeline.work import (
    StepError,
    admit,
    attempts,
    begin,
    close_part,
    crashed,
    open_part,
    run_step,
)
from schemas.records import Drop, Recording
from schemas.store import Store
from transforms.hear.decode import Decode
from transforms.step import RecordStep


@pytest.fixture
def job(tmp_path: Path) -> HearJob:
    (tmp_path / "scratch").mkdir()
    return HearJob(
        key="k",
        store=Store(tmp_path / "out"),
        run="run 1",
        device=device.device_class(),
        seed=0,
        steps=(Decode(),),
        scratch=str(tmp_path / "scratch"),
    )


def member(digit: str, seconds: float = 5.0) -> Member:
    root = Recording(id=digit * 64, uri=f"{digit}.wav", size=1, seconds=seconds)
    return Member(root=root, seconds=seconds or 60.0, path="nowhere")


A, B = member("a"), member("b", 0.0)
PART = Part(id=part_id([A.id, B.id]), members=(A, B))


def commit(job: HearJob, part: Part) -> None:
    done = tuple(Done(id=m.id, seconds=1.0) for m in part.members)
    commits.write(job.store, "hear", "k", part.id, Content(done=done), job.row_schema, job.run)


def test_a_part_is_tried_twice_then_split_then_given_up(job: HearJob) -> None:
    assert list(admit(job, PART)) == [PART]
    assert list(admit(job, PART)) == [PART]
    alone = [PART.alone(A), PART.alone(B)]
    assert list(admit(job, PART)) == alone
    commit(job, alone[0])  # this one was innocent
    assert list(admit(job, PART)) == [alone[1]]
    assert list(admit(job, PART)) == []
    assert set(ledger(job.store, "hear", "k").done) == {A.id, B.id}
    (drop,) = commits.records(job.store, layout.commit_name("hear", "k", alone[1].id), "drop", Drop)
    assert (drop.id, drop.root, drop.reason, drop.seconds) == (B.id, B.id, "crash", 0.0)
    assert drop == crashed(B.id, "hear", 0.0)  # claims nothing: not the 60 s that were planned


def test_attempts_of_another_run_are_no_evidence(job: HearJob) -> None:
    for _ in range(5):
        begin(dataclasses.replace(job, run="run 0"), PART)
    assert attempts(job, PART) == 0
    assert list(admit(job, PART)) == [PART]


def test_what_is_committed_is_not_admitted(job: HearJob) -> None:
    commit(job, PART)
    assert list(admit(job, PART)) == []
    assert attempts(job, PART) == 0


def test_a_broken_opening_leaves_no_scratch(job: HearJob) -> None:
    broken = Part(id="p", members=(dataclasses.replace(A, root=task()),))
    with pytest.raises(TypeError, match="is not a recording"):
        open_part(job, broken)
    assert list(Path(job.scratch or "").iterdir()) == []


def task() -> Any:
    from schemas.records import Task

    return Task(id="c" * 32, recording="a" * 64)


class Raises(RecordStep):
    phase = "hear"
    what: str = "bug"

    def __call__(self, records: Any, model: Any, scope: Any) -> Any:
        if self.what == "bug":
            raise KeyError("x")
        if self.what == "disk":
            raise OSError(28, "No space left on device", "/scratch")
        raise MemoryError
        yield


def test_a_bug_names_the_record_and_a_full_disk_stays_one(job: HearJob) -> None:
    work = open_part(job, Part(id="p", members=(A,)))
    with pytest.raises(StepError, match=rf"hear/test_work failed on {A.id} \(nowhere\): KeyError"):
        run_step(job, Raises(), None, work)
    with pytest.raises(OSError, match="No space left"):
        run_step(job, Raises(what="disk"), None, work)
    with pytest.raises(MemoryError):
        run_step(job, Raises(what="memory"), None, work)
    close_part(work)
    assert list(Path(job.scratch or "").iterdir()) == []
