"""Harm apart from topic: for each of five harms a text is safe, about it (topical), or toxic.

A report on a murder trial is about violence and harms nobody; a filter on words throws it out with
the threat that uses the same words. So an engine answers per harm with one of three levels, and
with a toxicity of 0 to 1 (levels and harms after Mendu et al. 2025, "Towards Safer Pretraining").

Engines: `words`, our own short lists with context (`harm_words`), and `hf/FOLDER`, a text
classifier as `transformers` reads it, by labels that name harm and level (`harm_model`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal, Protocol

HARMS = ("hate_violence", "ideological", "sexual", "illegal", "self_inflicted")
Level = Literal["safe", "topical", "toxic"]
LEVELS: tuple[Level, ...] = ("safe", "topical", "toxic")


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """Of one text and one harm; toxicity and topicality 0..1."""

    level: Level = "safe"
    toxic: float = 0.0
    topical: float = 0.0


SAFE = Judgement()


class HarmEngine(Protocol):
    """Judges texts. Answers depend on each text alone."""

    def judge(self, text: str, language: str | None) -> Mapping[str, Judgement]:
        """Harm -> judgement, for every one of `HARMS` that the engine knows."""
        ...
