"""The samples a tokenizer hears: at its own rate, as many as the chunk's length says."""

import numpy as np
import numpy.typing as npt

from transforms.step import Pcm16

Heard = npt.NDArray[np.int16] | npt.NDArray[np.float32]  # [samples], full scale 32768


def heard(pcm: Pcm16, rate: int, wanted: int) -> Heard:
    """Samples [ceil(n * wanted / rate)] at `wanted` hertz, full scale 32768.

    A pure function of one chunk: a resampler that saw its neighbours would make its tokens depend
    on them. int16 where nothing has to be resampled.
    """
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise ValueError(f"a chunk is int16 [samples], not {pcm.dtype} {pcm.shape}")
    if rate == wanted or not len(pcm):
        return pcm
    import soxr

    length = -(-len(pcm) * wanted // rate)
    found: npt.NDArray[np.float32] = soxr.resample(
        pcm.astype(np.float32), rate, wanted, quality="HQ"
    )
    return np.pad(found[:length], (0, max(0, length - len(found))))
