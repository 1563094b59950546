"""How much of a clip was cut off at full scale.

A sample counts when it lies in a run of at least `min_run` neighbours of one sign at full scale:
loud speech touches full scale for a sample or two, an overdriven input stays there. Trade-off: a
recording that was clipped and made quieter afterwards, or resampled after clipping (which rounds
the plateaus off), is seen less well.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pydantic

from schemas.records import Clip, Scores
from transforms.measure.sound import samples
from transforms.step import Measure, Pcm16, Scope


class Clipping(Measure):
    """Share of a clip's samples that were clipped (0..1)."""

    columns: ClassVar[dict[str, type]] = {"clipped_share": float}
    needs_audio: ClassVar[bool] = True

    level: float = pydantic.Field(
        0.999,
        gt=0,
        le=1,
        description="From here on a sample is at full scale (share of 32767; leaves room for "
        "a converter that saturates a little early)",
    )
    min_run: int = pydantic.Field(
        3,
        ge=1,
        description="Shortest run of samples that counts (samples; a full-scale 200 Hz tone at "
        "16 kHz stays above the level for 2)",
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            yield Scores(id=clip.id, values=(self.share(samples(clip, scope)),))

    def share(self, pcm: Pcm16) -> float | None:
        """The clipped share of samples, shape [frames]; None where there are none."""
        if not len(pcm):
            return None
        limit = int(np.ceil(self.level * 32767))
        clipped = _in_runs(pcm >= limit, self.min_run) + _in_runs(pcm <= -limit, self.min_run)
        return clipped / len(pcm)


def _in_runs(flags: npt.NDArray[np.bool_], shortest: int) -> int:
    """How many of the set flags lie in runs of at least `shortest`."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= shortest].sum())
