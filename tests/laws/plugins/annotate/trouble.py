"""A step that goes wrong, or takes its time, on the clips of one given speaker."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from transforms.step import Phase, RecordStep, Scope


class Trouble(RecordStep):
    """Does nothing but harm."""

    phase: ClassVar[Phase] = "annotate"

    how: Literal["abort", "raise", "lose", "sleep"] = Field("sleep", description="What happens")
    speaker: str = Field("", description="To whom it happens (name; empty: to all)")
    seconds: float = Field(0.3, description="How long it sleeps (seconds)")

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        hit = not self.speaker or scope.root.speaker == self.speaker
        if hit and self.how == "sleep":
            time.sleep(self.seconds)
        elif hit and self.how == "abort":
            os.abort()
        elif hit and self.how == "raise":
            raise ZeroDivisionError("a made bug")
        yield from records[1:] if hit and self.how == "lose" else records
