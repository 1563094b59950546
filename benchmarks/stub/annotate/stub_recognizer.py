"""A recognizer of known cost: it sleeps in proportion to the speech, and hears nothing.

The words come from the text that was given. What a run takes beyond its sleep is the pipeline's.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from transforms.step import Phase, RecordStep, Scope


class StubRecognizer(RecordStep):
    """Take the time of a recognizer."""

    phase: ClassVar[Phase] = "annotate"

    cost: float = Field(0.001, ge=0, description="How long it sleeps (seconds per second)")

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        time.sleep(self.cost * sum(clip.end - clip.start for clip in records))
        yield from records
