"""What `topic` and `domain` have in common: the engine slot, its settings and its columns."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import pydantic

from schemas.records import Clip, Scores
from transforms.engines import topic_smoke, topics
from transforms.step import Measure, Scope

COLUMNS: dict[str, type] = {"label": str, "probability": float, "quality": str}


class Labelling(Measure):
    """A label per clip, by an engine; `task` says which of the default's models is meant."""

    columns: ClassVar[dict[str, type]] = COLUMNS
    needs_audio: ClassVar[bool] = False
    task: ClassVar[Literal["topic", "domain"]]

    engine: str = pydantic.Field(
        "smoke",
        description="Classifier: smoke (a few hundred English words of ours), fasttext/FILE (a "
        "local model) or endpoint (a language model behind an OpenAI-compatible address)",
    )
    url: str | None = pydantic.Field(
        None, description="Address of the endpoint, up to /v1 (http://127.0.0.1:8000/v1)"
    )
    model: str | None = pydantic.Field(None, description="Name of the model at the endpoint")
    labels: tuple[str, ...] = pydantic.Field(
        (), description="Labels that the endpoint chooses from (names; none)"
    )
    min_probability: float = pydantic.Field(
        0.0, ge=0, le=1, description="Less sure labels are left out (0..1)"
    )

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        asked = self.engine == "endpoint"
        if self.engine not in ("smoke", "endpoint"):
            topics.file_of(self.engine)
        if asked and not (self.url and self.model and len(self.labels) > 1):
            raise ValueError("engine endpoint needs url, model and two labels or more")
        if not asked and (self.url or self.model or self.labels):
            raise ValueError(f"url, model and labels belong to an endpoint, not to {self.engine}")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url is {self.url!r}; it begins with http:// or https://")
        return self

    def fingerprint(self) -> Any:
        if self.engine == "smoke":
            return topic_smoke.fingerprint()
        if self.engine == "endpoint":
            return topics.endpoint_fingerprint(str(self.model), self.labels)
        return topics.fasttext_fingerprint(self.engine)

    def load(self) -> topics.TopicEngine:
        if self.engine == "smoke":
            return topic_smoke.SmokeTopics(self.task)
        if self.engine == "endpoint":
            return topics.Endpoint(str(self.url), str(self.model), self.labels)
        return topics.FastText(self.engine)

    def labelled(self, texts: Sequence[str], model: topics.TopicEngine) -> list[topics.Topic]:
        """Labels of texts, those that are not sure enough left out."""
        return [
            found
            if found.probability is None or found.probability >= self.min_probability
            else topics.NOTHING
            for found in model.classify(texts)
        ]

    def __call__(
        self, records: Sequence[Clip], model: topics.TopicEngine, scope: Scope
    ) -> Iterator[Scores]:
        answers = self.labelled([clip.text for clip in records], model)
        for clip, found in zip(records, answers, strict=True):
            quality = model.quality if found.label is not None else None
            yield Scores(id=clip.id, values=(found.label, found.probability, quality))
