"""How good a clip sounds to people, by a local ONNX model; None without one.

Off until `model` names a file: nothing is downloaded, and no model is part of this project. Scores
are the model's own (DNSMOS: 1..5, `output: 2` is the overall one, before its authors' calibration).
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pydantic

from schemas.records import Clip, Scores
from transforms.engines import onnx_model
from transforms.engines.quality_model import OnnxQuality, QualityModel
from transforms.measure.sound import samples
from transforms.step import Measure, Pcm16, Scope


class Mos(Measure):
    """Mean opinion score of a clip, as the model answers."""

    columns: ClassVar[dict[str, type]] = {"mos": float}
    needs_audio: ClassVar[bool] = True

    model: str | None = pydantic.Field(
        None, min_length=1, description="Path of the ONNX file (off: no score)"
    )
    rate: int = pydantic.Field(
        16_000, ge=8000, le=48_000, description="Rate that the model hears (hertz; DNSMOS: 16000)"
    )
    window_seconds: float = pydantic.Field(
        9.01, gt=0, le=60, description="Length that the model hears at once (seconds; DNSMOS: 9.01)"
    )
    output: int = pydantic.Field(
        2,
        ge=0,
        description="Which of its numbers is the score (from 0; DNSMOS: 2, overall)",
    )

    def fingerprint(self) -> dict[str, str] | None:
        return onnx_model.fingerprint(self.model) if self.model else None

    def load(self) -> QualityModel | None:
        if self.model is None:
            return None
        return OnnxQuality(self.model, round(self.window_seconds * self.rate))

    def __call__(
        self, records: Sequence[Clip], model: QualityModel | None, scope: Scope
    ) -> Iterator[Scores]:
        for clip in records:
            value = None
            if model is not None:
                pcm = _at(samples(clip, scope), clip.rate, self.rate)
                value = self._score(model, pcm) if len(pcm) else None
            yield Scores(id=clip.id, values=(value,))

    def _score(self, model: QualityModel, pcm: Pcm16) -> float:
        scores = model.scores(pcm)
        if self.output >= len(scores):
            raise onnx_model.OnnxModelError(
                f"the model {self.model!r} answers with {len(scores)} numbers, so it has no number "
                f"{self.output}: correct the setting `output` (from 0)"
            )
        return float(scores[self.output])


def _at(pcm: Pcm16, rate: int, wanted: int) -> Pcm16:
    if rate == wanted or not len(pcm):
        return pcm
    import soxr

    out = soxr.resample(pcm.astype(np.float32), rate, wanted, quality="HQ")
    pcm16: Pcm16 = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return pcm16
