"""dMel: speech as 80 mel channels of 16 loudness levels, with no training (arXiv 2407.15835).

A frame is the spectrum of 50 ms around its place; each channel is cut to the nearest of 16 levels.
Measured against FLAC decoding, the Fourier transform is what costs: it runs in float32 and over
blocks that stay in the cache, and the mel filters are applied as the sparse matrix they are. A
channel's sum is taken in one order whatever the number of frames, so a frame does not depend on
what is computed with it.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.ids import bytes_digest, canonical_json
from schemas.token_frames import FrameGrid
from transforms.engines.hearing import Heard, heard
from transforms.step import Pcm16

Float32 = npt.NDArray[np.float32]

RATE = 16_000  # hertz
FFT = 1024  # samples
WINDOW = 800  # samples: 50 ms, Hann (periodic), in the middle of the FFT's
CHANNELS = 80
LOWEST, HIGHEST = 80.0, 7600.0  # hertz
FLOOR = 1e-10  # of squared magnitude and of amplitude
LEVELS = 16
FIRST_LEVEL, LEVEL_STEP = -7.0, 0.6  # log10 of amplitude
BLOCK = 128  # frames worked on at once: 0.9 MB of samples and spectrum
VARIANT = re.compile(r"([1-9]\d{0,2})x([1-9]\d?)")


def mel_edges() -> npt.NDArray[np.float64]:
    """The corners of the filters in hertz, [82]: equal steps on Slaney's mel scale.

    Linear below 1 kHz (66.7 Hz per mel), logarithmic above (27 mels per factor of 6.4).
    """
    knee, width, log_step = 1000.0, 200.0 / 3.0, np.log(6.4) / 27.0

    def mel(hertz: float) -> float:
        if hertz < knee:
            return hertz / width
        return float(knee / width + np.log(hertz / knee) / log_step)

    mels = np.linspace(mel(LOWEST), mel(HIGHEST), CHANNELS + 2)
    above = knee * np.exp(log_step * (mels - knee / width))
    return np.where(mels < knee / width, mels * width, above)


def mel_filters() -> npt.NDArray[np.float64]:
    """Triangles of area 1 hertz over the bins of the FFT, [80, 513]."""
    edges, bins = mel_edges(), np.arange(FFT // 2 + 1) * RATE / FFT
    low, peak, high = (edges[i : i + CHANNELS, None] for i in range(3))
    rising, falling = (bins - low) / (peak - low), (high - bins) / (high - peak)
    return np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)


class LogMel:
    """log10 of mel amplitudes, [frames, 80] float32: frame k of a chunk is centred at k * hop."""

    def __init__(self, hop: int) -> None:
        from scipy.sparse import csr_array

        self.hop = hop
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32) / np.float32(32768)
        filters = mel_filters()
        used = np.flatnonzero(filters.any(axis=0))
        self._bins = slice(int(used[0]), int(used[-1]) + 1)
        self._filters = csr_array(filters[:, self._bins].astype(np.float32))

    def __call__(self, pcm: Heard) -> Float32:
        """Of samples [n] at 16 kHz; beyond its ends a chunk is mirrored. None of no samples."""
        if not len(pcm):
            return np.zeros((0, CHANNELS), np.float32)
        found = np.empty((1 + len(pcm) // self.hop, CHANNELS), np.float32)
        for place, block in enumerate(self._blocks(pcm, len(found))):
            found[place * BLOCK : place * BLOCK + len(block)] = block
        return found

    def _blocks(self, pcm: Heard, count: int) -> Iterator[Float32]:
        from scipy.fft import rfft

        padded = np.pad(pcm, FFT // 2, mode="reflect").astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)
        windows = windows[(FFT - WINDOW) // 2 :: self.hop][:count]
        # where the window lies in the FFT turns phases only, so it may begin at its start
        block = np.zeros((min(BLOCK, count), FFT), np.float32)
        for start in range(0, count, BLOCK):
            some = windows[start : start + BLOCK]
            np.multiply(some, self._window, out=block[: len(some), :WINDOW])
            spectrum = rfft(block[: len(some)])[:, self._bins]
            # sqrt(max(re^2 + im^2, floor)) is max(|z|, sqrt(floor))
            amplitude = np.ascontiguousarray(np.abs(spectrum).T)
            np.maximum(amplitude, np.float32(FLOOR**0.5), out=amplitude)
            mel = np.maximum(self._filters @ amplitude, np.float32(FLOOR))
            yield np.log10(mel).T


class DMel:
    """80 channels x 16 levels; `stack` frames make a position of 80 x stack codebooks.

    The last position of a chunk is filled up with level 0: nothing that was said is dropped, not
    even from a chunk shorter than a position. No sound has that level, for the floor of the
    magnitude keeps digital silence at level 1, so filling can be told from speech.
    """

    family = "dmel"
    levels = LEVELS

    def __init__(self, variant: str = "") -> None:
        stride, stack = self.parse(variant)
        self.name = self.family if (stride, stack) == (25, 1) else f"dmel-{stride}x{stack}"
        self.grid = FrameGrid(rate=RATE, hop=stride * RATE // 1000, stack=stack, centred=True)
        self.codebooks = CHANNELS * stack

    @staticmethod
    def parse(variant: str) -> tuple[int, int]:
        """Milliseconds per frame and frames per position of "20x4"; "" is 25x1, 40 Hz."""
        found = VARIANT.fullmatch(variant or "25x1")
        if found is None:
            raise ValueError(
                f"dmel/{variant}: write dmel, or dmel/STRIDExSTACK as in dmel/20x4: a frame every "
                "20 ms, 4 frames per position (12.5 Hz)"
            )
        return int(found[1]), int(found[2])

    @property
    def rate_hz(self) -> float:
        return self.grid.rate_hz

    def digest(self) -> str:
        """Of the numbers above: dMel has no other parameters."""
        numbers = [RATE, FFT, WINDOW, CHANNELS, LOWEST, HIGHEST, FLOOR, LEVELS]
        numbers += [FIRST_LEVEL, LEVEL_STEP, self.grid.hop, self.grid.stack]
        return bytes_digest(canonical_json(["dmel", 1, *numbers, "reflect", "filled"]).encode())

    def encode(self, pcm: Pcm16, rate: int) -> npt.NDArray[np.uint8]:
        """Levels [positions, 80 x stack] of one chunk, frame by frame and channel by channel."""
        mel = self._mel(heard(pcm, rate, RATE))
        return stacked(quantise(mel), self.grid.stack)

    @functools.cached_property
    def _mel(self) -> LogMel:
        return LogMel(self.grid.hop)

    def decode(self, units: npt.NDArray[Any]) -> Float32:
        """log10 mel amplitudes [positions x stack, 80] of levels: a table look-up."""
        found: Float32 = centres()[units.reshape(-1, CHANNELS)]
        return found


def centres() -> Float32:
    """The amplitude (log10) that each level stands for, [16]."""
    return (FIRST_LEVEL + LEVEL_STEP * np.arange(LEVELS)).astype(np.float32)


def quantise(mel: Float32) -> npt.NDArray[np.uint8]:
    """The nearest level of each channel."""
    places = (mel - np.float32(FIRST_LEVEL)) * np.float32(1 / LEVEL_STEP) + np.float32(0.5)
    return np.clip(places, 0, LEVELS - 1, out=places).astype(np.uint8)


def stacked(frames: npt.NDArray[Any], stack: int) -> npt.NDArray[Any]:
    """[frames, n] as [positions, n x stack]; the last position is filled up with zeros."""
    if stack == 1:
        return frames
    filled = np.pad(frames, ((0, -len(frames) % stack), (0, 0)))
    return filled.reshape(-1, stack * frames.shape[1])
