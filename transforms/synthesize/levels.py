"""How loud an utterance is, and what brings it to one loudness without clipping.

Integrated loudness as in ITU-R BS.1770-4 (K-weighting, blocks of 0.4 s, both gates), but with the
weighting taken in the spectrum of blocks of 0.1 s: 0.02 ms per second of audio, against 0.3 ms of
pyloudnorm's filters, whose coefficients are used; the result is within 0.1 dB of its on speech. A
sound shorter than a block is one block.
"""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]

CEILING = 10 ** (-1 / 20)  # of full scale: no peak above -1 dBFS
_ABSOLUTE, _RELATIVE = -70.0, -10.0  # gates (LUFS; LU below the mean)


@functools.cache
def _weights(rate: int) -> npt.NDArray[np.float32]:
    """What a bin of a block of 0.1 s adds to the power of its K-weighted sound."""
    import pyloudnorm
    from scipy.signal import freqz

    size = rate // 10
    bins = np.fft.rfftfreq(size, 1 / rate)
    answer = np.ones(len(bins))
    meter: Any = pyloudnorm.Meter(rate)
    for stage in meter._filters.values():
        _, response = freqz(stage.b, stage.a, worN=bins, fs=rate)
        answer *= np.abs(response) ** 2
    answer[1 : (size + 1) // 2] *= 2  # a real signal's other half
    weights: npt.NDArray[np.float32] = (answer / size).astype(np.float32)
    return weights


def loudness(wave: Wave, rate: int) -> float | None:
    """Integrated loudness of a mono sound in -1..1 (LUFS); None where all is below the gate."""
    import scipy.fft

    size = rate // 10
    if not len(wave):
        return None
    short = len(wave) < 4 * size
    whole = -(-len(wave) // size) if short else round(len(wave) / size)
    padded = wave[: whole * size]
    if len(padded) < whole * size:
        padded = np.pad(wave, (0, whole * size - len(wave)))
    spectra = scipy.fft.rfft(padded.reshape(-1, size), axis=1)
    energies = (spectra.real**2 + spectra.imag**2) @ _weights(rate)
    if short:
        powers = np.array([float(energies.sum()) / len(wave)])
    else:
        sums = np.convolve(energies.astype(np.float64), np.ones(4), mode="valid")
        powers = sums / (4 * size)
    powers = powers[powers > _power(_ABSOLUTE)]
    if not len(powers):
        return None
    powers = powers[powers > powers.mean() * 10 ** (_RELATIVE / 10)]
    return -0.691 + 10 * math.log10(float(powers.mean()))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def gain(wave: Wave, rate: int, target: float) -> float:
    """The factor that brings a sound to `target` LUFS, or as near as its peak allows."""
    found = loudness(wave, rate)
    peak = max(float(wave.max(initial=0.0)), -float(wave.min(initial=0.0)))
    if found is None or peak == 0:
        return 1.0
    return min(float(10 ** ((target - found) / 20)), CEILING / peak)


def pcm16(wave: Wave) -> npt.NDArray[np.int16]:
    """Samples in -1..1 as PCM16."""
    scaled = np.rint(wave * np.float32(32767))
    out: npt.NDArray[np.int16] = np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)
    return out
