"""Law 3: killed at any moment, the same command finishes with the same bytes, and redoes little."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.laws import runs
from tests.laws.processes import all_gone, family, start, stop_all, wait_for_parts
from tests.laws.runs import Ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def committed(out: Path) -> dict[str, tuple[int, int]]:
    """Every commit, tar and shard: its inode and time, so that one made again shows."""
    found = {}
    for pattern in ("*/*/commits/*", "*/*/tars/*", "compose/*/*/*"):
        for path in out.glob(pattern):
            state = path.stat()
            found[path.relative_to(out).as_posix()] = (state.st_ino, state.st_mtime_ns)
    return found


WORKERS = 2
PARTS = 40  # of a run, about, at 5 s of audio each


def redone(out: Path) -> list[int]:
    """For each run on an OUT, in order: parts it began that a run before it had begun."""
    begun: set[tuple[str, str]] = set()
    counts = []
    for log in runs.log_events(out):
        mine = [(event["phase"], event["value"]) for event in log if event["event"] == "begin"]
        assert len(set(mine)) == len(mine)  # once per run
        counts.append(len(begun & set(mine)))
        begun |= set(mine)
    return counts


def test_killed_at_five_random_moments(corpus: Path, undisturbed: Ran, tmp_path: Path) -> None:
    """Each run gets further than the one before it and is killed; the last one finishes."""
    chance = random.Random(20)
    moments = sorted(chance.sample(range(1, PARTS), 5), reverse=True)
    attempt = 0
    while moments:  # more than once where a run was over before its moment came
        out = tmp_path / f"out{attempt}"
        attempt += 1
        arguments = runs.command(corpus, out, "--workers", str(WORKERS), part="5s")
        kept: dict[str, tuple[int, int]] = {}
        before = 0
        while moments:
            known = set((out / "logs").glob("*.jsonl"))
            process = start(arguments)
            arrived = wait_for_parts(process, out, known, max(1, moments[-1] - before))
            time.sleep(chance.uniform(0, 0.03))
            if not arrived or process.poll() is not None:
                process.communicate()
                break
            stop_all(process)
            before = moments.pop()
            now = committed(out)
            assert kept.items() <= now.items()  # nothing that was finished was touched
            kept = now
        done = runs.run_command(arguments)
        assert done.returncode == 0, done.stderr
        assert runs.shard_digests(out) == undisturbed.digests
        assert kept.items() <= committed(out).items()
        assert all(count <= WORKERS for count in redone(out)), redone(out)
    assert attempt < 4


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["Ctrl-C in a terminal", "SIGTERM to the run alone"],
)
def test_a_signal_ends_cleanly_and_says_how_to_go_on(
    corpus: Path, undisturbed: Ran, tmp_path: Path, number: int, whole_group: bool
) -> None:
    recipe = runs.recipe_with(tmp_path / "slow.yaml", "segment", "trip: {seconds: 0.5}")
    out = tmp_path / "out"
    arguments = runs.command(corpus, out, "--workers", "2", part="5s", recipe=recipe)
    process = start(arguments, runs.environment(**runs.PLUGINS))
    assert wait_for_parts(process, out, set(), 4)
    members = family(process)
    began = time.monotonic()
    os.killpg(process.pid, number) if whole_group else process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert "interrupted; what is committed stays. To go on: python -m pipeline curate" in said
    assert "Traceback" not in said
    assert str(recipe) in said.split("To go on:")[1]  # the command is whole
    assert all_gone(members)  # no orphan goes on working
    locks = {path.name for path in out.glob("hear/*/locks/*")}
    assert {"000001.json", "000001.released"} <= locks
    done = runs.run_command(arguments, runs.environment(**runs.PLUGINS))
    assert done.returncode == 0, done.stderr
    tars = {
        name: digest
        for name, digest in runs.shard_digests(out).items()
        if name != "manifest.json"  # which holds the recipe, and that has one step more
    }
    assert tars == {n: d for n, d in undisturbed.digests.items() if n != "manifest.json"}


def test_a_lock_of_a_dead_process_is_taken_over(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = runs.command(corpus, out, "--workers", "1", part="5s")
    process = start(arguments)
    assert wait_for_parts(process, out, set(), 2)
    stop_all(process)
    locks = sorted(out.rglob("locks/*.json"))
    (held,) = [path for path in locks if not path.with_suffix(".released").exists()]
    done = runs.run_command(arguments)  # it died with that lock in its hand
    assert done.returncode == 0, done.stderr
    after = held.with_name(f"{int(held.stem) + 1:06d}.json")
    assert after.exists() and after.with_suffix(".released").exists()
    assert not held.with_suffix(".released").exists()  # nobody speaks for the dead
