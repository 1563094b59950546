"""Speech as its samples, for models that listen with an encoder of their own: `waveform`.

Nothing is tokenised: a position is the samples of one twelfth of a second, carried through packs as
codes so that planning, mixing, resuming and workers are those of every other run. It costs memory,
2.7 kB a position, and cannot be stored in shards; an adapter turns samples into embeddings.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from schemas.ids import bytes_digest, canonical_json
from schemas.token_frames import FrameGrid
from transforms.engines.hearing import heard

RATE = 16_000
HOP = 1333  # samples: 4 positions are 0.333 s, the window of the authors' adapter
ZERO = 1 << 15  # the code of silence: samples are shifted to be no less than 0


@dataclasses.dataclass(frozen=True, slots=True)
class Waveform:
    """Chunks as rows of 1,333 samples at 16 kHz; the last one is filled up with silence."""

    name: str = "waveform"
    codebooks: int = HOP
    levels: int = 1 << 16

    @property
    def digest(self) -> str:
        return bytes_digest(canonical_json(["waveform", 1, RATE, HOP]).encode())

    @property
    def frames_per_second(self) -> float:
        return RATE / HOP

    @property
    def grid(self) -> FrameGrid:
        return FrameGrid(rate=RATE, hop=HOP)

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.uint16]:
        """Samples [positions, 1333], each plus 32,768."""
        samples = np.rint(np.clip(heard(pcm, rate, RATE), -ZERO, ZERO - 1)).astype(np.int32)
        found = np.full((self.grid.positions(len(pcm), rate), HOP), ZERO, np.uint16)
        found.reshape(-1)[: len(samples)] = (samples + ZERO).astype(np.uint16)
        return found
