"""How good a stretch of speech sounds to people (a mean opinion score, 1..5), by a local model.

One engine: an ONNX file of the kind of DNSMOS (Reddy, Gopal and Cutler, ICASSP 2022), which hears a
window of fixed length and answers with one or more scores. Longer clips are the mean over windows
that follow each other, the last one moved back to end with the clip; shorter clips are repeated to
fill a window, as DNSMOS's authors do.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from transforms.engines import onnx_model

Pcm16 = npt.NDArray[np.int16]


class QualityModel(Protocol):
    """An engine. A pure function of the samples."""

    def scores(self, pcm: Pcm16) -> npt.NDArray[np.float64]:
        """All scores of PCM16 at the model's rate, shape [scores]; at least one sample."""
        ...


class OnnxQuality:
    """An ONNX file over windows of `window` samples."""

    def __init__(self, path: str, window: int) -> None:
        self._model: Any = onnx_model.OnnxModel(path)
        self._window = window

    def scores(self, pcm: Pcm16) -> npt.NDArray[np.float64]:
        sound = pcm.astype(np.float32) / np.float32(32768)
        if len(sound) < self._window:
            sound = np.resize(sound, self._window)
        last = len(sound) - self._window
        starts = [*range(0, last, self._window), last]
        found = [self._model(sound[start : start + self._window]) for start in starts]
        mean: npt.NDArray[np.float64] = np.mean(found, axis=0)
        return mean
