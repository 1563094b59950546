"""The acoustic fingerprint of a clip: what `dedup: {audio: fingerprint}` compares.

About 300 kB per hour of audio (400 kB as text); how it is made and what it withstands is told in
`transforms/engines/fingerprinter.py`. Select reads this column only, never the audio.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, Scores
from transforms.engines.fingerprinter import VERSION, fingerprint
from transforms.engines.print_code import to_code
from transforms.measure.sound import samples
from transforms.step import Measure, Scope


class Fingerprint(Measure):
    """Acoustic fingerprint of a clip, as text; none of clips that are too short or silent."""

    columns: ClassVar[dict[str, type]] = {"code": str}
    needs_audio: ClassVar[bool] = True

    min_seconds: float = pydantic.Field(
        2.0, ge=1, description="Shorter clips have none (seconds; ours: below, too little to tell)"
    )

    def fingerprint(self) -> Any:
        return {"version": VERSION}

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            found = None
            if clip.seconds >= self.min_seconds:
                found = fingerprint(samples(clip, scope), clip.rate)
            yield Scores(id=clip.id, values=(None if found is None else to_code(found),))
