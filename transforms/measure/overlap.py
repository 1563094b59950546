"""Which share of a clip several people speak at once, as far as the diarizer says.

A recognizer writes one of them, or a mixture. A diarizer that cannot hear overlap says 0.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from schemas.records import Clip, Scores
from transforms.step import Measure, Scope


class Overlap(Measure):
    """Share of a clip that is spoken by several at once (0..1)."""

    columns: ClassVar[dict[str, type]] = {"share": float}
    needs_audio: ClassVar[bool] = False

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            seconds = clip.seconds
            share = min(1.0, clip.overlap_seconds / seconds) if seconds > 0 else None
            yield Scores(id=clip.id, values=(share,))
