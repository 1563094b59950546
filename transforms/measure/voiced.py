"""Where in a clip there is speech, frame by frame, by a voice activity engine."""

import dataclasses

import numpy as np
import numpy.typing as npt

from transforms.engines.vad import FRAME, RATE, Vad, at_rate
from transforms.step import Pcm16

FRAME_SECONDS = FRAME / RATE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Voiced:
    """Frames of speech of one clip: frame i lasts from `i * FRAME_SECONDS` for `weights[i]`."""

    speech: npt.NDArray[np.bool_]  # shape [frames]
    weights: npt.NDArray[np.float64]  # seconds; the last frame may be shorter

    @property
    def seconds(self) -> float:
        """Seconds of speech."""
        return float(self.weights[self.speech].sum())

    @property
    def ratio(self) -> float | None:
        """The share of the clip that is speech; None where it has no samples."""
        total = float(self.weights.sum())
        return self.seconds / total if total > 0 else None


def voiced(pcm: Pcm16, rate: int, engine: Vad, threshold: float) -> Voiced:
    """The frames of PCM16, shape [samples] at `rate`, that `engine` takes for speech."""
    if not len(pcm):
        return Voiced(speech=np.zeros(0, np.bool_), weights=np.zeros(0))
    speech = engine.probabilities(at_rate([pcm], rate)) >= threshold
    weights = np.full(len(speech), FRAME_SECONDS)
    weights[-1] = len(pcm) / rate - FRAME_SECONDS * (len(speech) - 1)
    return Voiced(speech=speech, weights=np.maximum(weights, 0.0))
