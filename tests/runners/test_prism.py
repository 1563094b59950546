"""The graph on another engine than ours: Prism, with workers that die, hang and lose OUT.

Prism is Beam's portable runner for one machine. It speaks the protocol of Flink and Dataflow
(artifacts, worker pool, fused stages, encoded elements) and, unlike them, fails a job at the first
lost worker: so all that heals here was healed by us.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.runners.submit import Submitted
from schemas.store import Store
from tests.laws import made_corpus, runs
from tests.laws.made_corpus import Row
from tests.laws.runs import Ran
from tests.laws.test_replay import accounted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("prism")]

Workers = Callable[[Any], Submitted]


def harnesses() -> list[psutil.Process]:
    """The worker processes of this process's pool."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "pipeline.runners.harness" in " ".join(_command(child))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


class Disturbing:
    """Does something to the worker of every phase once, as soon as there is one."""

    def __init__(self, deed: Callable[[psutil.Process], None]):
        self.done: list[str] = []
        self._deed = deed
        self._phase = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def begin(self, phase: str) -> None:
        self._phase = phase

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            phase = self._phase
            if phase and phase not in self.done:
                for worker in harnesses()[:1]:
                    try:
                        self._deed(worker)
                    except psutil.NoSuchProcess:
                        continue
                    self.done.append(phase)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def watched(on_prism: Workers, disturbing: Disturbing) -> Workers:
    """Workers that tell which phase begins."""

    def make(observe: Any) -> Submitted:
        made = on_prism(observe)
        run = made.run

        def told(job: Any, parts: Any, *more: Any, **named: Any) -> dict[str, int]:
            disturbing.begin(job.phase)
            return run(job, parts, *more, **named)

        made.run = told  # type: ignore[method-assign]
        return made

    return make


def _kill(worker: psutil.Process) -> None:
    while worker.num_threads() < 3:  # it imports; then it is in the middle of something
        time.sleep(0.02)
    time.sleep(0.15)
    worker.kill()


def _stall(worker: psutil.Process) -> None:
    worker.suspend()
    time.sleep(1.0)
    worker.resume()


@pytest.mark.parametrize("deed", [_stall, _kill], ids=["slow", "killed"])
def test_the_same_bytes_with_a_worker_that_is_slow_or_killed_in_every_phase(
    corpus: Path,
    undisturbed: Ran,
    on_prism: Workers,
    tmp_path: Path,
    deed: Callable[[psutil.Process], None],
) -> None:
    disturbing = Disturbing(deed)
    try:
        ran = runs.curate(corpus, tmp_path / "out", workers=watched(on_prism, disturbing))
    finally:
        disturbing.close()
    assert {"hear", "annotate", "measure", "select", "arrange", "compose"} <= set(disturbing.done)
    died = sum(kind == "died" for kind, _ in ran.events)
    assert died >= 3 if deed is _kill else died == 0
    assert ran.digests == undisturbed.digests
    assert ran.funnel == undisturbed.funnel
    for phase, counts in accounted(ran).items():
        assert counts and set(counts.values()) == {1}, phase  # nothing lost, nothing twice
    assert not [e for e in ran.store.list("hear") if "/dealt/" in e.name]  # gone with the jobs


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings of four speakers, 5 s each."""
    folder = tmp_path_factory.mktemp("four")
    for seed, name in enumerate("abcd"):
        sound = made_corpus.wav(made_corpus.voice(30 + seed, 5.0))
        made_corpus.write_file(folder / f"{name}.wav", sound)
    table = [
        Row(audio=f"{name}.wav", text=made_corpus.words(seed, 12), speaker=name)
        for seed, name in enumerate("abcd")
    ]
    return made_corpus.write_table(folder / "table.csv", table)


def by_command(prism: str, data: Path, tmp_path: Path, line: str) -> Any:
    recipe = runs.recipe_with(tmp_path / "recipe.yaml", "transcribe", line)
    more = ("--runner", "prism", f"--beam={prism}")
    command = runs.command(data, tmp_path / "out", *more, recipe=recipe)
    return runs.run_command(command, runs.environment(**runs.PLUGINS))


def test_a_record_that_kills_its_worker_is_tried_alone_and_given_up(
    prism: str, four: Path, tmp_path: Path
) -> None:
    done = by_command(prism, four, tmp_path, "trouble: {how: abort, speaker: b}")
    assert done.returncode == 0, done.stderr
    # twice with its part, twice without it, and twice in a job of its own
    assert done.stderr.count("annotate: a worker died") == 6, done.stderr
    funnel = runs.published(tmp_path / "out")["funnel"]
    (row,) = [row for row in funnel if row["step"] == "annotate"]
    assert [(d["reason"], d["items"]) for d in row["drops"]] == [("crash", 1)]
    (split,) = [row for row in funnel if row["step"] == "trouble"]
    assert split["items_in"] == split["items_out"] > 0  # the other three lost nothing


def test_a_bug_stops_the_run_at_once_and_names_the_record(
    prism: str, four: Path, tmp_path: Path
) -> None:
    done = by_command(prism, four, tmp_path, "trouble: {how: raise, speaker: c}")
    assert done.returncode == 1
    assert "annotate/trouble failed on" in done.stderr and "ZeroDivisionError" in done.stderr
    assert "a worker died" not in done.stderr and "Traceback" not in done.stderr
    store = Store(tmp_path / "out")
    notes = [e for e in store.list("annotate") if "/attempts/" in e.name]
    assert len(notes) <= 4  # nobody tried a bug again and again
