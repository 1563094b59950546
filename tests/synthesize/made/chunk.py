"""Sentences; one that begins with `~` stays text."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from schemas.pages import Utterance, utterance_id
from transforms.step import Phase, RecordStep, Scope


class Chunk(RecordStep):
    """Scripts to utterances."""

    phase: ClassVar[Phase] = "synthesize"

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Utterance]:
        for script in records:
            texts = [
                (place, line, text)
                for place, line in enumerate(script.lines)
                for text in re.findall(r"[^.]*\.?", line.text)
                if text.strip()
            ]
            for index, (place, line, text) in enumerate(texts):
                spoken = not text.strip().startswith("~")
                yield Utterance(
                    id=utterance_id(script.id, index, text.strip(), spoken),
                    page=script.page,
                    script=script.id,
                    index=index,
                    line=place,
                    role=line.role,
                    text=text.strip(),
                    language=script.language,
                    spoken=spoken,
                    quality=script.quality,
                )
