"""What a stretch of sound is: speech, music, noise, or nothing.

An engine answers with shares of a clip, from its samples alone. The default one, `tones`, has no
model. Music holds its tones, speech glides: what separates them is the share of spectral peaks that
stay where they are for 0.16 s. Steady noise and hum do not swell and fade as speech does. It is
simple: speech over music is mostly heard as speech, and sounds that come and go (a bark, a cough)
as speech, too. `benchmarks/measures.py` prints how often. The modulation at 4 Hz, which is known
for telling speech from music (Scheirer and Slaney, ICASSP 1997), was tried and hardly did: medians
of 0.38 against 0.33. A local ONNX classifier takes its place where one is at hand.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from transforms.engines import onnx_model

RATE = 16_000  # hertz; what every engine is given

Pcm16 = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]


class SoundShares(NamedTuple):
    """Shares of a clip, each 0..1; what is missing to 1 is speech or silence."""

    music: float
    noise: float


class SoundClassifier(Protocol):
    """An engine. A pure function of the samples."""

    def shares(self, pcm: Pcm16) -> SoundShares | None:
        """The shares of PCM16 at `RATE`, shape [samples]; None where there is too little to say."""
        ...


class Tones:
    """Rules on tones that are held and on the depth of swelling, for every second; numpy alone.

    Thresholds were chosen on one made programme of the test corpus (10 minutes) and measured on
    another (20 minutes, the same pieces of music): music 100 % right and 94 % found, steady noise
    100 % right and 70 % found. `VOICE_DEPTH` was added later, having seen both: before, 97 % were
    right. A new kind of music may do worse.
    """

    HELD: ClassVar[float] = 0.08  # from this share of held peaks on, it is music or hum
    HUM_DEPTH: ClassVar[float] = 4.5  # dB; held tones that swell less are hum
    VOICE_DEPTH: ClassVar[float] = 14.0  # dB; held tones that swell more are a voice on one pitch
    NOISE_DEPTH: ClassVar[float] = 7.0  # dB; other sound that swells less is noise
    FAINT: ClassVar[float] = -60.0  # dBFS; a second below it is silence

    _FRAME: ClassVar[int] = 512  # samples: 32 ms
    _HOP: ClassVar[int] = 160  # samples: 10 ms
    _SECOND: ClassVar[int] = 100  # frames
    _STRETCH: ClassVar[int] = 60 * RATE  # samples held as spectra at once: 12 MB

    def shares(self, pcm: Pcm16) -> SoundShares | None:
        found = self.seconds(pcm)
        if not found:
            return None
        return SoundShares(
            music=found.count("music") / len(found), noise=found.count("noise") / len(found)
        )

    def seconds(self, pcm: Pcm16) -> list[str]:
        """What each second is: speech, music, noise or silence; nothing for less than a second."""
        found = []
        for first in range(0, len(pcm), self._STRETCH):
            stretch = pcm[first : first + self._STRETCH]
            if len(stretch) >= RATE:
                found += [self.decide(*row) for row in self._features(stretch)]
        return found

    def decide(self, level: float, held: float, depth: float) -> str:
        """What a second is by its level (dBFS), share of held peaks, and depth of swelling (dB)."""
        if level < self.FAINT:
            return "silence"
        if held >= self.HELD and depth < self.VOICE_DEPTH:
            return "music" if depth >= self.HUM_DEPTH else "noise"
        return "noise" if depth < self.NOISE_DEPTH else "speech"

    def _features(self, pcm: Pcm16) -> list[tuple[float, float, float]]:
        """What `decide` takes, per second; all but the level over a second more on either side."""
        powers = self._spectra(pcm.astype(np.float64) / 32768)
        total = powers.sum(axis=1)
        bands = 10 * np.log10(np.add.reduceat(powers, _BANDS[:-1], axis=1) + 1e-10)
        peaks = _peaks(10 * np.log10(powers[:, 3:160] + 1e-11))  # 94 Hz to 5 kHz
        held = (_steadiness(peaks) > 0.8) & peaks
        rows = []
        for start in range(0, len(powers) - self._SECOND // 2, self._SECOND):
            wide = slice(max(0, start - self._SECOND), start + 2 * self._SECOND)
            power = float(total[start : start + self._SECOND].mean())
            # Tones in what is left of a pause (a hum under a noise gate) are no music.
            heard = total[wide] >= total[wide].mean() * _HEARD
            counts = held[wide].sum(axis=1) / np.maximum(peaks[wide].sum(axis=1), 1)
            depth = float(bands[wide].std(axis=0).mean())
            rows.append((10 * float(np.log10(power + 1e-12)), float(counts[heard].mean()), depth))
        return rows

    def _spectra(self, sound: Floats) -> Floats:
        """Power per frame and bin, as shares of full scale, shape [frames, bins]."""
        window = np.hanning(self._FRAME)
        cut = np.lib.stride_tricks.sliding_window_view(sound, self._FRAME)[:: self._HOP]
        powers: Floats = np.abs(np.fft.rfft(cut * window, axis=1)) ** 2
        return powers * 2.0 / (self._FRAME * float((window**2).sum()))


# Bins at which the bands begin whose swelling is looked at: even in pitch from 94 Hz to 7.8 kHz.
_BANDS = np.unique(np.round(np.geomspace(3, 250, 13)).astype(int))
_BESIDE = 9  # bins on each side of a peak that it is compared with: 280 Hz
_CLEAR_DB = 6.0  # how far a peak stands above them on the mean
_HEARD = 0.01  # power of a frame, as a share of the mean, below which its tones do not count
_HOLD = 16  # frames: 0.16 s


def _peaks(levels: Floats) -> npt.NDArray[np.bool_]:
    """Where a bin stands out of those beside it, shape [frames, bins]."""
    bins = levels.shape[1]
    padded = np.pad(levels, ((0, 0), (_BESIDE, _BESIDE)), mode="edge")
    offsets = range(0, 2 * _BESIDE + 1, 3)
    around = np.add.reduce([padded[:, at : at + bins] for at in offsets]) / len(offsets)
    found = np.zeros(levels.shape, np.bool_)
    found[:, 1:-1] = (
        (levels[:, 1:-1] > levels[:, :-2])
        & (levels[:, 1:-1] >= levels[:, 2:])
        & (levels[:, 1:-1] > around[:, 1:-1] + _CLEAR_DB)
    )
    return found


def _steadiness(peaks: npt.NDArray[np.bool_]) -> Floats:
    """The share of the `_HOLD` frames around each frame in which its bin is a peak, too."""
    sums = np.cumsum(np.vstack([np.zeros((1, peaks.shape[1])), peaks]), axis=0)
    steady = np.zeros(peaks.shape)
    if len(sums) > _HOLD:
        share = (sums[_HOLD:] - sums[:-_HOLD]) / _HOLD
        steady[_HOLD // 2 : _HOLD // 2 + len(share)] = share
    return steady


class OnnxClassifier:
    """A local ONNX file that answers with one probability per class for a stretch of any length."""

    def __init__(self, path: str, music: Sequence[int], noise: Sequence[int]) -> None:
        self._model = onnx_model.OnnxModel(path)
        self._music, self._noise = list(music), list(noise)

    def shares(self, pcm: Pcm16) -> SoundShares | None:
        if len(pcm) < RATE:
            return None
        numbers = self._model(pcm.astype(np.float32) / np.float32(32768))
        wanted = max([*self._music, *self._noise], default=-1)
        if wanted >= len(numbers):
            raise onnx_model.OnnxModelError(
                f"the model {self._model.path!r} answers with {len(numbers)} classes, so it has no "
                f"class {wanted}: correct music_classes and noise_classes (from 0)"
            )
        music, noise = (
            float(np.clip(numbers[chosen].sum(), 0, 1)) for chosen in (self._music, self._noise)
        )
        return SoundShares(music=music, noise=noise)
