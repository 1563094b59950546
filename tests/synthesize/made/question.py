"""Each page asks one question about itself; one that says "silent" asks none."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.pages import ANSWERER, ASKER, Line, Script, script_id
from schemas.records import Drop
from transforms.step import Phase, RecordStep, Scope


class Question(RecordStep):
    """Scripts to the same scripts and a question with its answer."""

    phase: ClassVar[Phase] = "synthesize"
    reasons: ClassVar[dict[str, str]] = {"nothing_to_ask": "the page says that it is silent"}

    concurrency: int = pydantic.Field(4, ge=1, description="Pages at once")
    seconds: float = pydantic.Field(0.0, ge=0, description="How long an answer takes (seconds)")

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Script | Drop]:
        time.sleep(self.seconds)
        for script in records:
            text = script.lines[0].text
            if "silent" in text:
                yield Drop(
                    id=script.id,
                    root=script.page,
                    step="question",
                    reason="nothing_to_ask",
                    seconds=0.0,
                )
                continue
            lines = (
                Line(role=ASKER, text="What does it say?"),
                Line(role=ANSWERER, text=f"It says: {text.split('.')[0]}."),
            )
            yield script
            yield Script(
                id=script_id(script.page, "question", 0, lines),
                page=script.page,
                kind="question",
                language=script.language,
                lines=lines,
                quality="smoke",
                engine="made",
            )
