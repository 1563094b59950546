"""Which share of a clip is music, and which is noise, by an engine that hears the clip alone.

The default engine is a simple one (`transforms/engines/classifier.py` says how simple): good at
music by itself and at steady noise, all but blind to music under speech. Clips under a second have
no value.
"""

import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pydantic

from schemas.records import Clip, Scores
from transforms.engines import onnx_model
from transforms.engines.classifier import OnnxClassifier, SoundClassifier, Tones
from transforms.engines.vad import at_rate
from transforms.measure.sound import samples
from transforms.step import Measure, Scope


class Music(Measure):
    """Shares of a clip that are music and noise (0..1)."""

    columns: ClassVar[dict[str, type]] = {"music": float, "noise": float}
    needs_audio: ClassVar[bool] = True

    engine: Literal["tones", "onnx"] = pydantic.Field(
        "tones", description="Sound classifier (tones needs no model; onnx needs `model`)"
    )
    model: str | None = pydantic.Field(
        None, min_length=1, description="Path of the ONNX file, for the engine onnx (off)"
    )
    music_classes: list[int] = pydantic.Field(
        [], description="Outputs of the ONNX model that mean music (from 0; none)"
    )
    noise_classes: list[int] = pydantic.Field(
        [], description="Outputs of the ONNX model that mean noise (from 0; none)"
    )

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.engine == "onnx" and self.model is None:
            raise ValueError("engine onnx needs `model`: the path of an ONNX file")
        if self.engine == "onnx" and not (self.music_classes or self.noise_classes):
            raise ValueError("engine onnx needs music_classes or noise_classes")
        if self.engine != "onnx" and (self.model or self.music_classes or self.noise_classes):
            raise ValueError(f"engine {self.engine} has no model and no classes: use engine onnx")
        if any(number < 0 for number in [*self.music_classes, *self.noise_classes]):
            raise ValueError("classes are counted from 0")
        return self

    def fingerprint(self) -> Any:
        if self.model is not None:
            return onnx_model.fingerprint(self.model)
        return {"numpy": importlib.metadata.version("numpy")}

    def load(self) -> SoundClassifier:
        if self.model is not None:
            return OnnxClassifier(self.model, self.music_classes, self.noise_classes)
        return Tones()

    def __call__(
        self, records: Sequence[Clip], model: SoundClassifier, scope: Scope
    ) -> Iterator[Scores]:
        for clip in records:
            pcm = samples(clip, scope)
            blocks = list(at_rate([pcm], clip.rate)) if len(pcm) else []
            shares = model.shares(np.concatenate(blocks)) if blocks else None
            yield Scores(id=clip.id, values=tuple(shares) if shares else (None, None))
