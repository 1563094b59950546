"""Real worker processes under small jobs. A worker imports Beam, so each takes seconds to start."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import commits, device, layout
from pipeline.commits import ledger
from pipeline.locks import process_birth
from pipeline.supervise import RunFailedError, Workers
from pipeline.work import ConservationError
from schemas.records import Word
from schemas.store import Store
from tests.pipeline.made_job import DiesAtStart, MadeJob, MadePart

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def job(folder: Path, key: str = "k") -> MadeJob:
    return MadeJob(
        key=key,
        store=Store(folder / "out"),
        run="r",
        device=device.device_class(),
        folder=str(folder),
    )


def parts(*deeds: str) -> list[MadePart]:
    return [MadePart(id=f"{place:032x}", deed=deed) for place, deed in enumerate(deeds)]


def pids(made: MadeJob) -> set[str]:
    return {
        word.text
        for entry in made.store.list(layout.commits_folder("made", made.key))
        for word in commits.records(made.store, entry.name, "row", Word)
    }


def test_workers_share_the_parts_survive_deaths_and_stay_for_the_next_phase(
    tmp_path: Path,
) -> None:
    told: list[tuple[str, Any]] = []
    with Workers(lambda kind, value: told.append((kind, value))) as workers:
        made = job(tmp_path)
        counted = workers.run(made, parts("", "die once", "", "abort once", "", ""), 2)
        assert len(ledger(made.store, "made", "k").done) == 6
        assert sorted(v["how"] for k, v in told if k == "died") == [
            "exit code 17",
            "signal SIGABRT",
        ]
        assert counted["made/commits"] <= 6
        again = job(tmp_path, "next")
        # long enough that both come to have a part, however busy the machine is
        assert workers.run(again, parts(*["nap"] * 4), 2) == {"made/commits": 4}
        lanes = {str(lane.process.pid) for lane in workers._lanes}
        assert pids(again) == lanes and len(lanes) == 2  # the same two, models loaded
        committed = [value[0] for kind, value in told if kind == "committed"]
        assert set(committed) == {part.id for part in parts(*[""] * 6)}
    assert not any(process_birth(int(pid)) for pid in lanes)


@pytest.mark.parametrize(
    ("deed", "error", "says"),
    [
        ("bug", RunFailedError, "made"),
        ("full", RunFailedError, "cannot write or read /made: it is full"),
        ("lose", ConservationError, "made: one is missing"),
    ],
)
def test_what_a_worker_raises_is_told_as_it_was_raised(
    tmp_path: Path, deed: str, error: type[Exception], says: str
) -> None:
    with Workers() as workers, pytest.raises(error) as caught:
        workers.run(job(tmp_path), parts(deed), 1)
    assert str(caught.value) == says
    if isinstance(caught.value, RunFailedError):
        assert "run_part" in caught.value.trace  # where it happened, for those who ask


def test_workers_that_do_not_get_to_work_are_given_up(tmp_path: Path) -> None:
    with Workers() as workers, pytest.raises(RunFailedError) as caught:
        workers.run(DiesAtStart(), parts(""), 1)
    assert "ended 3 times before it began a part (exit code 3)" in str(caught.value)


def test_stopping_does_not_wait_for_the_work(tmp_path: Path) -> None:
    workers = Workers()
    workers.start(1)
    (lane,) = workers._lanes
    lane.job = job(tmp_path)
    workers._waiting.extend(parts("sleep"))
    workers._send(lane)
    while not lane.began:
        for _ in workers._events():
            pass
    began = time.monotonic()
    workers.stop()
    assert time.monotonic() - began < 10
    assert not process_birth(lane.process.pid) and os.getpid()
