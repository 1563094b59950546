"""How a measure hears a clip: exactly its own samples, so no neighbour can change a score."""

import numpy as np
import numpy.typing as npt

from schemas.records import Clip, frames
from transforms.step import AudioRangeError, Pcm16, Scope

FULL_SCALE = 32768.0

Wave = npt.NDArray[np.float64]


def samples(clip: Clip, scope: Scope) -> Pcm16:
    """The clip's PCM16, shape [frames], at the clip's rate.

    Raises `AudioRangeError` where the scope's audio has another rate than the clip: a bug upstream.
    """
    audio = scope.samples()
    if audio.rate != clip.rate:
        raise AudioRangeError(
            f"clip {clip.id} is cut at {clip.rate} Hz, but its audio is read at {audio.rate} Hz"
        )
    return audio.read(clip.channel, frames(clip.start, clip.rate), frames(clip.end, clip.rate))


def wave(clip: Clip, scope: Scope) -> Wave:
    """The clip's samples as floats in [-1, 1), shape [frames]."""
    scaled: Wave = samples(clip, scope).astype(np.float64) / FULL_SCALE
    return scaled
