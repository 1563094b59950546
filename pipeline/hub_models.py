"""Fetch the models of a recipe that are named by their hub ids and are not on this machine.

Done once, by the process that plans, before the first phase: keys need the models' digests, and a
worker asks no network. `offline: true` in the recipe (or `--offline`), and HF_HUB_OFFLINE, forbid
it; then what is missing is an error that names the command.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pipeline import costs
from pipeline.recipe import Recipe
from transforms.engines import hub, pyannote_files, whisper_files
from transforms.engines.hub import HubModel
from transforms.step import Step

# Families whose models a recipe may name by a hub id.
_FAMILIES: dict[str, Callable[[str], HubModel | None]] = {
    whisper_files.FAMILY: whisper_files.hub_model,
    pyannote_files.FAMILY: pyannote_files.hub_model,
}


def absent(step: Step) -> Iterator[HubModel]:
    """The models of a step that are named by hub ids and are not whole in the hub's cache."""
    for engine in costs.engines(step):
        of = _FAMILIES.get(engine.partition("/")[0])
        model = of(engine) if of is not None else None
        if model is not None and model.cached() is None:
            yield model


def forbidden(recipe: Recipe) -> str:
    """Why nothing may be fetched, as the end of a sentence; "" where it may."""
    if recipe.offline:
        return ", and the recipe says offline: true (or --offline was given)"
    return ", and HF_HUB_OFFLINE is set" if hub.switched_off() else ""


def prepare(recipe: Recipe, tell: Callable[[str, Any], None]) -> None:
    """See to it that all models are there. Raises `ModelError` for the first that cannot be."""
    done: set[tuple[str, str | None]] = set()
    for steps in recipe.streams.values():
        for step in steps:
            for model in absent(step):
                if (model.repo, model.revision) in done:
                    continue
                if why := forbidden(recipe):
                    raise model.absent(why)
                tell("fetch", {"model": model.name})
                model.fetch()
                done.add((model.repo, model.revision))
