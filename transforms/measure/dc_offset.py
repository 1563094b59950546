"""How far a clip's samples stand off zero on the mean: a recorder's fault, and a click at cuts."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from schemas.records import Clip, Scores
from transforms.measure.sound import FULL_SCALE, samples
from transforms.step import Measure, Scope


class DcOffset(Measure):
    """The mean of a clip's samples, without its sign (share of full scale, 0..1)."""

    columns: ClassVar[dict[str, type]] = {"share": float}
    needs_audio: ClassVar[bool] = True

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            pcm = samples(clip, scope)
            # Summed as integers: exact, whatever the length.
            value = abs(int(pcm.sum(dtype=np.int64))) / len(pcm) / FULL_SCALE if len(pcm) else None
            yield Scores(id=clip.id, values=(value,))
