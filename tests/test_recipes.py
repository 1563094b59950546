"""Every recipe that ships loads, fits together, and writes itself back."""

from pathlib import Path

import pytest

from pipeline.halves import AUDIO_ORDER
from pipeline.recipe import from_canonical, load_recipe, resolve
from schemas.settings import parse

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def test_the_default_recipe_ships() -> None:
    assert ROOT / "recipes" / "offline.yaml" in RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_named_after_its_file_and_has_every_phase(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    for stream in recipe.streams:
        page = ("gather", "extract", "select", "compose")
        wanted = page if recipe.kind(stream) == "page" else AUDIO_ORDER
        assert all(recipe.steps(stream, phase) for phase in wanted)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_written_back_is_the_same(path: Path) -> None:
    recipe = load_recipe(path)
    assert from_canonical(recipe.canonical()) == recipe
    assert resolve(parse(recipe.text(), "written")) == recipe


def test_the_default_recipe_needs_neither_network_nor_token() -> None:
    recipe = load_recipe(ROOT / "recipes" / "offline.yaml")
    steps = {step.name(): step for step in recipe.streams["web"]}
    engines = {
        name: step.model_dump().get("engine") or step.model_dump().get("engines")
        for name, step in steps.items()
    }
    assert {name: engine for name, engine in engines.items() if engine} == {
        "segment": "silero",
        "diarize": "resemblyzer",
        "transcribe": ("given", "pocketsphinx"),
        "speech_ratio": "silero",
        "language": "lid.176",
        "topic": "smoke",
    }
    for name in ("krist", "quest", "text"):
        engines = {getattr(step, "engine", None) for step in recipe.streams[name]}
        assert engines <= {None, "smoke", "rules", "espeak-ng", "pocketsphinx"}


@pytest.mark.parametrize(
    "override",
    [
        "filter.min_snr_db=10",
        "filter.where={snr.snr_db: {min: 3}, text_rate.words: {max: 40}}",
        "filter.language=[en, no]",
        "interleave.policy=stochastic",
        "interleave.policy={word_spans: {eta: 0.4}}",
        "interleave.granularity=coarse",
        "gate={min_snr_db: 3}",
        "decode.rate=24000",
        "transcribe.engines=[given]",
        "dedup.text=null",
        "shards.hours=0.1",
    ],
)
def test_settings_that_people_change_can_be_set(override: str) -> None:
    """Also through a manifest and back, short forms of settings included."""
    path = ROOT / "recipes" / "offline.yaml"
    changed = load_recipe(path, [override])
    assert changed != load_recipe(path)
    assert from_canonical(changed.canonical()) == changed
