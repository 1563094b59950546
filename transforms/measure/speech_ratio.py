"""Which share of a clip is speech, by a voice activity engine that hears the clip alone.

The engine starts afresh at the clip's first sample, so the score does not depend on what the
recording held before; the price is a few frames of hesitation at the start, against what the
detector said over the whole recording.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic

from schemas.records import Clip, Scores
from transforms.engines.vad import ENGINES, FRAME, RATE, Vad, at_rate
from transforms.measure.sound import samples
from transforms.step import Measure, Pcm16, Scope


class SpeechRatio(Measure):
    """Share of a clip that is speech (0..1)."""

    columns: ClassVar[dict[str, type]] = {"ratio": float}
    needs_audio: ClassVar[bool] = True

    engine: Literal["silero", "energy"] = pydantic.Field(
        "silero", description="Voice activity engine (silero measured best; energy needs no model)"
    )
    threshold: float = pydantic.Field(
        0.5, gt=0, lt=1, description="From this probability on a frame is speech (silero's default)"
    )

    def fingerprint(self) -> Any:
        return ENGINES[self.engine].fingerprint()

    def load(self) -> Vad:
        return ENGINES[self.engine]()

    def __call__(self, records: Sequence[Clip], model: Vad, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            ratio = self.ratio(samples(clip, scope), clip.rate, model)
            yield Scores(id=clip.id, values=(ratio,))

    def ratio(self, pcm: Pcm16, rate: int, model: Vad) -> float | None:
        """The share of samples, shape [frames], in frames of speech; None where there are none."""
        if not len(pcm):
            return None
        spoken = model.probabilities(at_rate([pcm], rate)) >= self.threshold
        length = -(-len(pcm) * RATE // rate)  # samples after resampling, as `at_rate` promises
        weights = np.full(len(spoken), FRAME)
        weights[-1] = length - FRAME * (len(spoken) - 1)  # the last frame may be completed
        return float(weights[spoken].sum() / length)
