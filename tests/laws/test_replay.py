"""Bundle replay: a runner may do anything twice, in any order, and die anywhere in between.

The local runner never retries, so it cannot show this. Here the whole pipeline runs under a
hostile scheduler instead: each part at least twice, in a random order, with crashes at a random
step or a random write, and what is left must be what an undisturbed run leaves.
"""

import dataclasses
import random
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest

from pipeline import commits, layout, weave
from pipeline.simple import SimpleJob
from pipeline.work import Job, close_part, open_part, run_step
from schemas.store import Store
from tests.laws import runs
from tests.laws.runs import Ran


class Crash(BaseException):
    """The end of a worker, as nothing in the code under test may catch it."""


class CrashingStore(Store):
    """A store whose owner dies right before or right after the n-th write."""

    def __init__(self, url: str, writes: int, after: bool):
        super().__init__(url)
        self.left, self.after = writes, after

    def put_if_absent(self, name: str, data: bytes | Path) -> bool:
        self.left -= 1
        if self.left < 0 and not self.after:
            raise Crash
        won = super().put_if_absent(name, data)
        if self.left < 0:
            raise Crash
        return won


class Hostile:
    """Workers that do everything twice and die on the way, by a seed."""

    def __init__(self, observe: Any, seed: int):
        self.chance = random.Random(seed)
        self.crashes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        weave.close_models()

    def start(self, *_: Any, **__: Any) -> None:
        """Nobody has to be started."""

    def run(self, job: Any, parts: Any, *_: Any) -> dict[str, int]:
        schedule = [*parts, *parts]
        self.chance.shuffle(schedule)
        for part in schedule:
            while self.chance.random() < 0.6:
                self._die(job, part)
            self._finish(job, part)
        return {}

    def _die(self, job: Any, part: Any) -> None:
        steps = len(job.steps) if isinstance(job, Job) else 0
        last = self.chance.randint(0, steps)
        store = CrashingStore(job.store.url, self.chance.randint(0, 2), self.chance.random() < 0.5)
        doomed = dataclasses.replace(job, store=store)
        try:
            self._finish(doomed, part, last if self.chance.random() < 0.5 else None)
        except Crash:
            self.crashes[job.phase] += 1

    def _finish(self, job: Any, part: Any, last: int | None = None) -> None:
        """Work on a part; with `last`, die before that step."""
        if isinstance(job, SimpleJob):
            job.run_part(part)
            return
        work = open_part(job, part)
        try:
            for place, step in enumerate(job.steps):
                if place == last:
                    raise Crash
                run_step(job, step, weave.model_of(step), work)
            if last is not None:
                raise Crash
            job.commit(work)
        finally:
            close_part(work)


def accounted(ran: Ran) -> dict[str, Counter[str]]:
    """How many commits of each phase account for each record."""
    line = ran.result.streams[0].outline
    phases = [("hear", line.hear_key), ("annotate", line.annotate_key)]
    phases += [("measure", key) for key in line.measure_keys]
    phases += [("arrange", ran.result.streams[0].arrange_key)]
    found = {}
    for phase, key in phases:
        counts: Counter[str] = Counter()
        for entry in ran.store.list(layout.commits_folder(phase, key)):
            counts.update(commits.column(ran.store, entry.name, "done")["id"].to_pylist())
        found[f"{phase}/{key}"] = counts
    return found


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))]
)
def test_everything_twice_in_any_order_with_crashes(
    corpus: Path, undisturbed: Ran, tmp_path: Path, seed: int
) -> None:
    made: list[Hostile] = []

    def workers(observe: Any) -> Hostile:
        made.append(Hostile(observe, seed))
        return made[-1]

    ran = runs.curate(corpus, tmp_path / "out", workers=workers)
    assert ran.digests == undisturbed.digests
    assert ran.funnel == undisturbed.funnel
    assert {"hear", "annotate", "measure", "compose"} <= set(made[0].crashes)
    for phase, counts in accounted(ran).items():
        assert counts and set(counts.values()) == {1}, phase  # nothing twice
    assert {phase: set(counts) for phase, counts in accounted(ran).items()} == {
        phase: set(counts) for phase, counts in accounted(undisturbed).items()
    }
