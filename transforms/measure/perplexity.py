"""How much a language model is surprised by a text; None without a model.

Off until `model` names one: nothing is downloaded, and no model is part of this project. Perplexity
is per token of the model and so compares texts under one model only; bits per character compare
models too. A transcript without punctuation surprises a model of written text: choose the limit on
transcripts, and look at what it drops. (Perplexity filters: Wenzek et al. 2020, CCNet.)
"""

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pydantic

from schemas.records import Clip, Scores
from transforms.engines import text_model
from transforms.engines.text_model import TextModel
from transforms.step import Measure, Scope

_MOST = 1e12  # a perplexity is kept finite; nothing honest comes near


class Perplexity(Measure):
    """Perplexity, bits per character, and tokens of a clip's text."""

    columns: ClassVar[dict[str, type]] = {
        "perplexity": float,
        "bits_per_character": float,
        "tokens": int,
    }
    needs_audio: ClassVar[bool] = False

    model: str | None = pydantic.Field(
        None, description=f"The language model: {text_model.FORMS} (off: no score)"
    )
    min_tokens: int = pydantic.Field(
        5, ge=1, description="Shorter text has no perplexity (tokens; ours)"
    )

    @pydantic.field_validator("model")
    @classmethod
    def _named(cls, spec: str | None) -> str | None:
        if spec is not None:
            text_model.parse(spec)
        return spec

    def fingerprint(self) -> dict[str, str] | None:
        return text_model.fingerprint(self.model) if self.model else None

    def load(self) -> TextModel | None:
        return text_model.load(self.model) if self.model else None

    def __call__(
        self, records: Sequence[Clip], model: TextModel | None, scope: Scope
    ) -> Iterator[Scores]:
        for clip in records:
            # UTF-8 is what models read; a lone surrogate has none.
            text = clip.text.encode("utf-8", "replace").decode("utf-8").strip()
            found = model.judge(text) if model and text else None
            if found is None or found.tokens < self.min_tokens:
                yield Scores(id=clip.id, values=(None, None, found.tokens if found else None))
                continue
            per_token = -found.log_probability / found.tokens
            yield Scores(
                id=clip.id,
                values=(
                    math.exp(min(per_token, math.log(_MOST))),
                    -found.log_probability / math.log(2) / len(text),
                    found.tokens,
                ),
            )
