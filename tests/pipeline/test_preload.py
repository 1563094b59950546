"""Which models are loaded early; what fails then is logged, and ends nothing by itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.curate import Curator, Options
from pipeline.recipe import load_recipe
from pipeline.supervise import Workers
from pipeline.worker import _preload
from transforms.step import Step


class Broken:
    def model_of(self, step: Any) -> Any:
        raise RuntimeError("no such model")


class Sent:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)


def test_a_model_that_does_not_load_early_is_told() -> None:
    sent = Sent()
    steps = load_recipe("recipes/offline.yaml").steps("web", "annotate")
    _preload(Broken(), steps, cast(Any, sent))
    assert sent.messages == [("not preloaded", "diarize: RuntimeError: no such model")]


@pytest.mark.slow  # a run
def test_models_of_annotate_are_loaded_only_once_something_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is only looked at again, as after a copy, costs no model of annotate."""
    asked: list[tuple[str, list[str]]] = []
    preload = Workers._preload

    def watched(self: Workers, lane: Any, steps: Sequence[Step]) -> None:
        asked.append(("busy" if lane.busy else "idle", [step.name() for step in steps]))
        preload(self, lane, steps)

    monkeypatch.setattr(Workers, "_preload", watched)
    recipe = load_recipe("recipes/offline.yaml", ["diarize.engine=one"])
    for rehash in (False, True):
        options = Options(data="samples/clips", out=str(tmp_path), workers=1, rehash=rehash)
        Curator(recipe, options, lambda *_: None).curate()
        named = [names for _, names in asked if names]
        hear = ["decode", "segment", "gate"]
        assert named == ([hear] if rehash else [hear, ["diarize", "transcribe"]])
        assert all(state == "idle" for state, names in asked if names)
        asked.clear()
