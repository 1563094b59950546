"""Up to which frequency a clip holds sound: telephone speech in a 16 kHz file stops near 3.4 kHz.

The loud end (a high percentile over frames) of the spectrum is smoothed; the bandwidth is where the
last part that stands above a floor begins to fall. The floor is the lowest level of the smoothed
spectrum, so even noise does not count as band, plus `margin_db`; what lies more than `depth_db`
below the strongest part does not count either. A spectrum without a fall (white noise alone) has
the whole band. Measured on noise and made speech with cut-offs from 1 to 11 kHz: within 1.6 %.

Only what decoding left is seen: up to half the stored rate (8 kHz at 16 kHz). So `hertz` of a
48 kHz file is at most 8000, and `share` says how much of what the file could hold there (half the
lower of its own rate and the stored rate) it does: narrowband sold as 48 kHz has one near 0.5.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pydantic

from schemas.records import Clip, Scores
from transforms.measure.sound import Wave, wave
from transforms.step import Measure, Scope

_FRAME_SECONDS = 0.032
_FRAMES_AT_ONCE = 2048
_BAND_HZ = 100.0  # of smoothing
_EDGE_HZ = 250.0  # how wide a steep fall is at most, smeared
_SURE_DB = 15.0  # least fall from the strongest band to the floor; less is a flat spectrum
_ROUNDING = 1.0 / (12.0 * 32768.0**2)  # power of rounding to 16 bit


class Bandwidth(Measure):
    """Effective bandwidth of a clip (hertz), and as a share of what its rates allow (0..1)."""

    columns: ClassVar[dict[str, type]] = {"hertz": float, "share": float}
    needs_audio: ClassVar[bool] = True

    percentile: float = pydantic.Field(
        98.0,
        gt=0,
        le=100,
        description="Of the frames' levels in each bin (percent; the loud ones show the band)",
    )
    depth_db: float = pydantic.Field(
        75.0, gt=0, description="Bands this far below the strongest do not count (dB; ours)"
    )
    margin_db: float = pydantic.Field(
        5.0, gt=0, description="How far a band must stand above the floor (dB; ours)"
    )
    min_seconds: float = pydantic.Field(
        0.3, ge=0, description="Shorter clips have no value (seconds; fewer than 18 frames)"
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            hertz = share = None
            if clip.seconds >= self.min_seconds:
                hertz = self.estimate(wave(clip, scope), clip.rate)
            if hertz is not None:
                most = min(clip.rate, clip.source_rate or clip.rate) / 2
                share = min(1.0, hertz / most)
            yield Scores(id=clip.id, values=(hertz, share))

    def estimate(self, sound: Wave, rate: int) -> float | None:
        """The bandwidth of samples in [-1, 1), shape [frames]; None for silence and too little."""
        levels = self._levels(sound, rate)
        if levels is None:
            return None
        step = rate / 2 / (len(levels) - 1)
        width = max(1, round(_BAND_HZ / step))
        smooth = np.convolve(np.pad(levels, width // 2, mode="edge"), np.full(width, 1 / width))
        smooth = smooth[width - 1 : width - 1 + len(levels)]
        decibels = 10 * np.log10(np.maximum(smooth, 1e-16))
        top = float(decibels[round(50 / step) :].max())
        low = float(decibels[round(500 / step) :].min())
        if top - low < _SURE_DB:
            return rate / 2  # flat to the end
        floor = max(low + self.margin_db, top - self.depth_db)
        above = np.flatnonzero(decibels > floor)
        return _edge(decibels, int(above[-1]), step, rate) if len(above) else None

    def _levels(self, sound: Wave, rate: int) -> Wave | None:
        """Power per bin at the percentile of the frames, with that of rounding; None: silence."""
        length = round(_FRAME_SECONDS * rate)
        if len(sound) < length:
            return None
        window = _window(length)
        cut = np.lib.stride_tricks.sliding_window_view(sound, length)[:: length // 2]
        loud = np.flatnonzero((cut**2).mean(axis=1) > _ROUNDING)
        if not len(loud):
            return None
        parts = []
        for first in range(0, len(loud), _FRAMES_AT_ONCE):
            spectra = np.fft.rfft(cut[loud[first : first + _FRAMES_AT_ONCE]] * window, axis=1)
            parts.append((np.abs(spectra) ** 2).astype(np.float32))
        powers = np.concatenate(parts)
        scale = 2.0 / float((window**2).sum()) / length
        chosen: Wave = np.percentile(powers, self.percentile, axis=0).astype(np.float64) * scale
        return chosen + _ROUNDING / length


def _edge(decibels: Wave, last: int, step: float, rate: int) -> float:
    """The frequency at which a steep fall that ends at bin `last` is halfway down (6 dB).

    Smoothing and the window smear an edge over its far side; the half-way point stays.
    """
    first = max(0, last - round(_EDGE_HZ / step))
    near = decibels[first : last + 1]
    inner = np.flatnonzero(near >= near.max() - 6.0)
    return min(rate / 2, float(first + inner[-1] + 0.5) * step)


def _window(length: int) -> Wave:
    """The four-term Blackman-Harris window (Harris 1978): its side lobes lie 92 dB down."""
    turn = 2 * np.pi * np.arange(length) / length
    made: Wave = (
        0.35875 - 0.48829 * np.cos(turn) + 0.14128 * np.cos(2 * turn) - 0.01168 * np.cos(3 * turn)
    )
    return made
