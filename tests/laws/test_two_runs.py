"""Two runs at once: of one recipe the second stops and harms nothing; two recipes both finish."""

import os
import time
from pathlib import Path

import pytest

from tests.laws import runs
from tests.laws.processes import start, stop_all, wait_for_parts
from tests.laws.runs import Ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_second_run_of_the_same_recipe_stops_at_once(
    corpus: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    recipe = runs.recipe_with(tmp_path / "slow.yaml", "segment", "trip: {seconds: 0.7}")
    out = tmp_path / "out"
    arguments = runs.command(corpus, out, "--workers", "1", part="5s", recipe=recipe)
    env = runs.environment(**runs.PLUGINS)
    first = start(arguments, env)
    assert wait_for_parts(first, out, set(), 3)  # it is at hear
    began = time.monotonic()
    second = runs.run_command(arguments, env)
    spent = time.monotonic() - began
    assert second.returncode == 3, second.stderr
    assert spent < 10
    assert "phase hear (" in second.stderr
    assert f"process {first.pid} on {os.uname().nodename}" in second.stderr
    assert "nothing is done twice" in second.stderr
    assert "Traceback" not in second.stderr
    _, said = first.communicate(timeout=100)
    assert first.returncode == 0, said
    shards = {n: d for n, d in runs.shard_digests(out).items() if n != "manifest.json"}
    assert shards == {n: d for n, d in undisturbed.digests.items() if n != "manifest.json"}


def test_two_recipes_on_one_out_at_the_same_time(corpus: Path, tmp_path: Path) -> None:
    """From nothing: both look at the files, hear other segments, and write beside each other."""
    settings = ("segment.max_seconds=7", "segment.min_silence_seconds=0.9")
    recipes = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    for path, name in zip(recipes, ("one", "two"), strict=True):
        path.write_text(runs.RECIPE.read_text().replace("name: laws", f"name: {name}"))
    out = tmp_path / "out"
    both = [
        start(runs.command(corpus, out, "--workers", "1", "--set", setting, recipe=path))
        for path, setting in zip(recipes, settings, strict=True)
    ]
    for process in both:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    for path, setting in zip(recipes, settings, strict=True):
        alone = runs.curate(
            corpus, tmp_path / f"alone {path.stem}", recipe=runs.load_recipe(path, [setting])
        )
        key = alone.result.compose_key
        assert runs.shard_digests(out, key) == alone.digests


def test_a_recipe_joins_while_another_one_works(corpus: Path, tmp_path: Path) -> None:
    """One differs from the other at annotate only: what the first has heard is shared."""
    slow = runs.recipe_with(tmp_path / "slow.yaml", "transcribe", "trouble: {seconds: 2}")
    out = tmp_path / "out"
    env = runs.environment(**runs.PLUGINS)
    first = start(runs.command(corpus, out, "--workers", "1", part="5s", recipe=slow), env)
    assert wait_for_parts(first, out, set(), 16)
    assert runs.log_events(out)[0][-1]["phase"] == "annotate"
    second = runs.run_command(runs.command(corpus, out, "--workers", "1", part="5s"))
    assert first.poll() is None  # the slow one is still at it
    assert second.returncode == 0, second.stderr
    assert "hear      done before" in second.stderr
    stop_all(first)
