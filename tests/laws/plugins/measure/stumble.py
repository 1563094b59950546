"""A measure that ends its process on the clips of one given speaker."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from schemas.records import Scores
from transforms.step import Measure, Scope


class Stumble(Measure):
    """One, or the end of the process."""

    columns: ClassVar[dict[str, type]] = {"value": int}
    needs_audio: ClassVar[bool] = False

    speaker: str = Field("", description="On whom it stumbles (name)")

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Scores]:
        if scope.root.speaker == self.speaker:
            os.abort()
        for clip in records:
            yield Scores(id=clip.id, values=(1,))
