"""The graph on another engine than ours: Prism, with workers that die, hang and lose OUT.

Prism is Beam's portable runner for one machine. It speaks the protocol of Flink and Dataflow
(artifacts, worker pool, fused stages, encoded elements) and, unlike them, fails a job at the first
lost worker: so all that heals here was healed by us.
"""

import contextlib
import subprocess
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
BRIEF = {"select", "arrange"}  # done before anybody can look twice: their workers die beginning


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
    """Kills the first worker of every phase, and stops the next one for a second."""

    def __init__(self) -> None:
        self.killed: list[str] = []
        self.stalled: list[str] = []
        self._phase = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def begin(self, phase: str) -> None:
        self._phase = phase

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            phase, found = self._phase, harnesses()
            if not phase or not found:
                continue
            with contextlib.suppress(psutil.Error):  # it ended by itself meanwhile
                working = found[0].num_threads() >= 3  # before that, it imports
                if phase not in self.killed and (working or phase in BRIEF):
                    if phase not in BRIEF:  # so that it is in the middle of something
                        time.sleep(0.15)
                    found[0].kill()
                    self.killed.append(phase)
                elif not working:
                    continue
                elif phase not in self.stalled:
                    found[0].suspend()
                    time.sleep(1.0)
                    found[0].resume()
                    self.stalled.append(phase)

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


def test_the_same_bytes_with_workers_killed_and_stalled_in_every_phase(
    corpus: Path, undisturbed: Ran, on_prism: Workers, tmp_path: Path
) -> None:
    disturbing = Disturbing()
    try:
        ran = runs.curate(corpus, tmp_path / "out", workers=watched(on_prism, disturbing))
    finally:
        disturbing.close()
    phases = {"hear", "annotate", "measure", "select", "arrange", "compose"}
    assert phases <= set(disturbing.killed)
    assert len(disturbing.stalled) >= 3  # the rest were done too soon
    assert sum(kind == "died" for kind, _ in ran.events) >= 3
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
    return subprocess.run(
        command,
        cwd=runs.ROOT,
        env=runs.environment(**runs.PLUGINS),
        capture_output=True,
        text=True,
        timeout=220,  # thirteen jobs, each with a worker that imports Beam
        check=False,
    )


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
