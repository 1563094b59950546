"""Resource hints belong to a phase: every transform of it has the same, or none could be fused."""

import apache_beam as beam
import pytest

from pipeline import weave
from pipeline.phases.hear import HearJob
from pipeline.recipe import Recipe, load_recipe
from schemas.settings import SettingsError
from schemas.store import Store

HINTS = (
    "resources={hear: {accelerator: 'type:nvidia-l4;count:1;install-nvidia-driver', min_ram: 16GB}}"
)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("recipes/offline.yaml", [HINTS])


def environments(recipe: Recipe, hints: dict[str, str] | None) -> dict[str, dict[str, bytes]]:
    """The resource hints of every ParDo of the phase, as a runner gets them."""
    job = HearJob(
        key="0" * 32,
        store=Store("memory://"),
        seed=1,
        steps=recipe.steps("web", "hear"),
        run="r",
        device="any",
    )
    pipeline = beam.Pipeline()
    weave.graph(pipeline, job, [], deal=True, hints=hints)
    proto = pipeline.to_runner_api()
    return {
        one.unique_name: dict(proto.components.environments[one.environment_id].resource_hints)
        for one in proto.components.transforms.values()
        if one.spec.urn == "beam:transform:pardo:v1"
        and one.unique_name.startswith("hear/")
        and "/parts" not in one.unique_name
    }


def test_every_transform_of_a_phase_has_the_hints_of_the_phase(recipe: Recipe) -> None:
    found = environments(recipe, recipe.hints("hear"))
    names = {name.split("/")[1].partition("-")[2] or name.split("/")[1] for name in found}
    assert names == {"open", "decode", "segment", "gate", "commit"}
    for hints in found.values():
        assert hints == {
            "beam:resources:accelerator:v1": b"type:nvidia-l4;count:1;install-nvidia-driver",
            "beam:resources:min_ram_bytes:v1": b"16000000000",
        }


def test_a_phase_without_hints_has_none(recipe: Recipe) -> None:
    assert recipe.hints("annotate") == {}
    assert all(not hints for hints in environments(recipe, recipe.hints("annotate")).values())


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
