"""A step of hear that ends its process, or takes its time, on one recording."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from transforms.step import Phase, RecordStep, Scope


class Trip(RecordStep):
    """Passes everything on, but for one recording."""

    phase: ClassVar[Phase] = "hear"

    uri: str = Field("", description="The recording that ends the process (uri)")
    seconds: float = Field(0.0, description="How long every other takes (seconds)")

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        if scope.root.uri == self.uri:
            os.abort()
        time.sleep(self.seconds)
        yield from records
