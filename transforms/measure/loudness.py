"""How loud a clip sounds: integrated loudness by EBU R 128 (ITU-R BS.1770-4), by pyloudnorm.

Gated, so pauses do not count. The standard's block is 0.4 s: a shorter clip has no value, nor has
one below the standard's absolute gate of -70 LUFS. pyloudnorm needs numpy and scipy only; the
alternative inside torchaudio would cost every worker the import of torch.
"""

import importlib.metadata
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from schemas.records import Clip, Scores
from transforms.measure.sound import Wave, wave
from transforms.step import Measure, Scope

_BLOCK_SECONDS = 0.4


class Loudness(Measure):
    """Integrated loudness of a clip (LUFS)."""

    columns: ClassVar[dict[str, type]] = {"lufs": float}
    needs_audio: ClassVar[bool] = True

    def fingerprint(self) -> dict[str, str]:
        return {"pyloudnorm": importlib.metadata.version("pyloudnorm")}

    def imports(self) -> tuple[str, ...]:
        return ("pyloudnorm",)

    def load(self) -> Any:
        """The library's meter class; a meter belongs to one sample rate."""
        import pyloudnorm

        return pyloudnorm.Meter

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        meters: dict[int, Any] = {}
        for clip in records:
            value = None
            if clip.seconds >= _BLOCK_SECONDS:
                meter = meters.setdefault(clip.rate, model(clip.rate))
                value = integrated(wave(clip, scope), meter)
            yield Scores(id=clip.id, values=(value,))


def integrated(sound: Wave, meter: Any) -> float | None:
    """Integrated loudness of at least 0.4 s of samples, shape [frames]; None below the gate."""
    lufs = float(meter.integrated_loudness(sound))
    return lufs if math.isfinite(lufs) else None
