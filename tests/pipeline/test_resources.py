"""Resource hints belong to a phase: every transform of it has the same, or none could be fused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from pipeline import supervise, weave
from pipeline.curate import Curator, Options
from pipeline.phases.hear import HearJob
from pipeline.recipe import Recipe, load_recipe
from schemas.settings import SettingsError
from schemas.store import Store

HINTS = (
    "resources={hear: {accelerator: 'type:nvidia-l4;count:1;install-nvidia-driver', min_ram: 16GB}}"
)
ALL = (
    "resources={gather: {min_ram: 1GB}, hear: {min_ram: 2GB}, annotate: {min_ram: 3GB, "
    "accelerator: 'type:nvidia-l4;count:1'}, measure: {min_ram: 4GB}, select: {min_ram: 5GB}, "
    "arrange: {min_ram: 6GB}, compose: {cpu_count: 7}}"
)
URNS = {
    "accelerator": "beam:resources:accelerator:v1",
    "min_ram": "beam:resources:min_ram_bytes:v1",
    "cpu_count": "beam:resources:cpu_count:v1",
}


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("recipes/offline.yaml", [HINTS])


def environments(job: Any, parts: Sequence[Any] = ()) -> dict[str, dict[str, bytes]]:
    """The resource hints of every ParDo of the job's graph, as a runner gets them."""
    pipeline = beam.Pipeline()
    weave.graph(pipeline, job, parts, deal=True)
    proto = pipeline.to_runner_api()
    return {
        one.unique_name: dict(proto.components.environments[one.environment_id].resource_hints)
        for one in proto.components.transforms.values()
        if one.spec.urn == "beam:transform:pardo:v1"
    }


def job_of(recipe: Recipe, phase: str) -> HearJob:
    return HearJob(
        key="0" * 32,
        store=Store("memory://"),
        seed=1,
        steps=recipe.steps("web", "hear"),
        run="r",
        device="any",
        hints=recipe.hints(phase),
    )


def test_every_transform_of_a_phase_has_the_hints_of_the_phase(recipe: Recipe) -> None:
    found = environments(job_of(recipe, "hear"))
    inner = [name for name in found if "/parts" not in name]
    names = {name.split("/")[1].partition("-")[2] or name.split("/")[1] for name in inner}
    assert names == {"open", "decode", "segment", "gate", "commit"}
    for hints in found.values():
        assert hints == {
            "beam:resources:accelerator:v1": b"type:nvidia-l4;count:1;install-nvidia-driver",
            "beam:resources:min_ram_bytes:v1": b"16000000000",
        }


def test_a_phase_without_hints_has_none(recipe: Recipe) -> None:
    assert recipe.hints("annotate") == {}
    assert all(not hints for hints in environments(job_of(recipe, "annotate")).values())


@pytest.mark.slow  # two runs
def test_a_run_hands_each_phase_its_hints_and_the_results_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs that curate makes, built for a runner and then really run by the local one."""
    graphs: dict[str, dict[str, dict[str, bytes]]] = {}
    jobs: dict[str, Any] = {}
    run = supervise.Workers.run

    def watched(self: Any, job: Any, parts: Sequence[Any], *more: Any) -> dict[str, int]:
        jobs[job.phase] = job
        graphs[job.phase] = environments(job, parts)
        return run(self, job, parts, *more)

    monkeypatch.setattr(supervise.Workers, "run", watched)
    shards = []
    for name, overrides in (("plain", []), ("hinted", [ALL])):
        recipe = load_recipe("recipes/offline.yaml", overrides)
        options = Options(data="samples/clips", out=str(tmp_path / name), workers=1)
        shards.append(Curator(recipe, options, lambda *_: None).curate().shards)
        if name == "plain":
            assert all(not one for found in graphs.values() for one in found.values())
    assert shards[0] == shards[1] and shards[0]
    assert set(jobs) == {"hear", "annotate", "measure", "select", "arrange", "compose"}
    wanted = {"hear": 2, "annotate": 3, "measure": 4, "select": 5, "arrange": 6}
    for phase, gigabytes in wanted.items():
        for hints in graphs[phase].values():
            assert hints[URNS["min_ram"]] == f"{gigabytes}000000000".encode()
    assert all(
        h[URNS["accelerator"]] == b"type:nvidia-l4;count:1" for h in graphs["annotate"].values()
    )
    assert all(h == {URNS["cpu_count"]: b"7"} for h in graphs["compose"].values())


def test_hints_change_no_key(recipe: Recipe) -> None:
    from pipeline.outline import outline

    plain = load_recipe("recipes/offline.yaml")
    assert outline(recipe, "web", "d") == outline(plain, "web", "d")


@pytest.mark.parametrize(
    "wrong", ["resources={hear: {accelerator: a big one}}", "resources={here: {min_ram: 1GB}}"]
)
def test_hints_that_beam_would_refuse_are_refused_at_once(wrong: str) -> None:
    with pytest.raises(SettingsError, match="resources"):
        load_recipe("recipes/offline.yaml", [wrong])
