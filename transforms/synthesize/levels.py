"""How loud an utterance is, and what brings it to one loudness without clipping.

Integrated loudness as in ITU-R BS.1770-4 (K-weighting, blocks of 0.4 s, both gates), but with the
weighting taken in the spectrum of blocks of 0.05 s: 0.02 ms per second of audio, against 0.3 ms of
pyloudnorm's filters, whose coefficients are used; the result is within 0.05 dB of its on speech. A
sound shorter than a block of 0.4 s is one block.
"""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.step import Pcm16

Wave = npt.NDArray[np.float32]

PEAK = 32767  # of PCM16, where a wave is 1
CEILING = 10 ** (-1 / 20)  # of full scale: no peak above -1 dBFS
_SPECTRA = 20  # a second: of blocks of 0.05 s
_ABSOLUTE, _RELATIVE = -70.0, -10.0  # gates (LUFS; LU below the mean)


@functools.cache
def _weights(rate: int) -> npt.NDArray[np.float32]:
    """What a bin of a spectrum adds to the power of its K-weighted sound: twice, for the
    real and the imaginary part."""
    import pyloudnorm
    from scipy.signal import freqz

    size = rate // _SPECTRA
    bins = np.fft.rfftfreq(size, 1 / rate)
    answer = np.ones(len(bins))
    meter: Any = pyloudnorm.Meter(rate)
    for stage in meter._filters.values():
        _, response = freqz(stage.b, stage.a, worN=bins, fs=rate)
        answer *= np.abs(response) ** 2
    answer[1 : (size + 1) // 2] *= 2  # a real signal's other half
    weights: npt.NDArray[np.float32] = np.repeat(answer / size, 2).astype(np.float32)
    return weights


def loudness(wave: Wave, rate: int) -> float | None:
    """Integrated loudness of a mono sound in -1..1 (LUFS); None where all is below the gate."""
    import scipy.fft

    step, size = rate // 10, rate // _SPECTRA  # gates move by a step; a spectrum is of a part of it
    if not len(wave):
        return None
    short = len(wave) < 4 * step
    whole = (-(-len(wave) // step) if short else round(len(wave) / step)) * step
    if whole > len(wave):
        padded = np.zeros(whole, np.float32)
        padded[: len(wave)] = wave
        wave, length = padded, len(wave)
    else:
        wave, length = wave[:whole], len(wave)
    parts = scipy.fft.rfft(wave.reshape(-1, size), axis=1).view(np.float32)
    energies = np.square(parts, out=parts) @ _weights(rate)
    steps = energies.reshape(-1, _SPECTRA // 10).sum(axis=1).tolist()  # few: a list is faster
    if short:
        powers = [sum(steps) / length]
    else:
        powers = [sum(steps[at : at + 4]) / (4 * step) for at in range(len(steps) - 3)]
    gate = _power(_ABSOLUTE)
    powers = [power for power in powers if power > gate]
    if not powers:
        return None
    gate = sum(powers) / len(powers) * 10 ** (_RELATIVE / 10)
    powers = [power for power in powers if power > gate]
    return -0.691 + 10 * math.log10(sum(powers) / len(powers))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def gain(wave: Wave, rate: int, target: float) -> float:
    """The factor that brings a sound to `target` LUFS, or as near as its peak allows; 1, or
    what its peak allows, for one that is too quiet to be judged."""
    found = loudness(wave, rate)
    peak = max(float(wave.max(initial=0.0)), -float(wave.min(initial=0.0)))
    wanted = 1.0 if found is None else float(10 ** ((target - found) / 20))
    return min(wanted, CEILING / peak) if peak else 1.0


def pcm16(wave: Wave, factor: float = 1.0, after: int = 0, bounded: bool = False) -> Pcm16:
    """Samples in -1..1, times `factor`, as PCM16 with `after` frames of silence behind them.

    `bounded`: none of them passes full scale, as after `gain`; else those that do are clipped.
    """
    scaled = wave * np.float32(factor * PEAK)
    np.rint(scaled, out=scaled)
    if not bounded:
        np.clip(scaled, -PEAK - 1, PEAK, out=scaled)
    out = np.empty(len(wave) + after, np.int16)
    out[: len(wave)] = scaled
    out[len(wave) :] = 0
    return out
