"""What fails while models are loaded early is logged, and ends nothing by itself."""

from typing import Any, cast

from pipeline.recipe import load_recipe
from pipeline.worker import _preload


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
