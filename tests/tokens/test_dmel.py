"""dMel against a reference written the long way, in float64, from the numbers of the paper."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokens.conftest import Pcm16, sound
from transforms.engines import dmel
from transforms.engines.dmel import DMel, LogMel
from transforms.engines.tokenizer import encode_chunks, load

Float64 = npt.NDArray[np.float64]


def slaney_mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def slaney_hertz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def reference_filters() -> Float64:
    """Triangles over bins, one weight at a time."""
    lowest, highest = slaney_mel(80), slaney_mel(7600)
    corners = [slaney_hertz(lowest + (highest - lowest) * i / 81) for i in range(82)]
    found = np.zeros((80, 513))
    for channel in range(80):
        left, peak, right = corners[channel : channel + 3]
        for place in range(513):
            hertz = place * 16000 / 1024
            if left < hertz <= peak:
                found[channel, place] = (hertz - left) / (peak - left)
            elif peak < hertz < right:
                found[channel, place] = (right - hertz) / (right - peak)
        found[channel] *= 2 / (right - left)
    return found


FILTERS = reference_filters()


def reference_log_mel(pcm: Pcm16, hop: int) -> Float64:
    """A frame at a time: mirrored, windowed in the middle of 1024 samples, transformed, summed."""
    signal = np.pad(pcm.astype(np.float64) / 32768, 512, mode="reflect")
    window = np.zeros(1024)
    window[112:912] = [0.5 - 0.5 * math.cos(2 * math.pi * i / 800) for i in range(800)]
    rows = []
    for start in range(0, len(pcm) + 1, hop):
        spectrum = np.fft.rfft(signal[start : start + 1024] * window)
        amplitude = np.sqrt(np.maximum(spectrum.real**2 + spectrum.imag**2, 1e-10))
        rows.append(np.log10(np.maximum(FILTERS @ amplitude, 1e-10)))
    return np.array(rows)


def reference_levels(mel: Float64) -> tuple[npt.NDArray[np.int64], Float64]:
    """The nearest of 16 centres, and how far each value is from the nearest border."""
    centres = -7 + 0.6 * np.arange(16)
    distance = np.abs(mel[..., None] - centres)
    ordered = np.sort(distance, axis=-1)
    return distance.argmin(axis=-1), ordered[..., 1] - ordered[..., 0]


@pytest.mark.parametrize("hop", [200, 320, 400])
@pytest.mark.parametrize("seed", [0, 1])
def test_log_mel_is_the_references(hop: int, seed: int) -> None:
    pcm = sound(33_333, seed)
    expected = reference_log_mel(pcm, hop)
    found = LogMel(hop)(pcm)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    # measured: 6e-6, and 3e-4 in quiet channels beside loud ones, where float32 spectra leak
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_levels_are_the_references_but_at_borders(seed: int) -> None:
    pcm = sound(40_000, seed)
    expected, margin = reference_levels(reference_log_mel(pcm, 400))
    found = DMel().encode(pcm, 16_000)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) >= set(range(3, 12)), "the sound must use many levels"
    differ = found != expected
    assert margin[differ].max(initial=0) < 3e-3
    assert differ.mean() < 1e-3


def test_silence_is_level_1_and_full_scale_is_high() -> None:
    assert np.unique(DMel().encode(np.zeros(8000, np.int16), 16_000)).tolist() == [1]
    loud = np.where(np.arange(16_000) // 20 % 2, 32767, -32768).astype(np.int16)
    assert DMel().encode(loud, 16_000).max() >= 10


def test_a_tone_is_loudest_in_its_channel() -> None:
    centres = dmel.mel_edges()[1:-1]
    for hertz in (200.0, 1000.0, 4000.0):
        tone = (8000 * np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)).astype(np.int16)
        mel = LogMel(400)(tone)[20]
        assert abs(centres[mel.argmax()] - hertz) / hertz < 0.08


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.sampled_from(["", "20x4", "25x3", "12x1", "25x2"]))
def test_the_number_of_positions_follows_from_the_length(length: int, variant: str) -> None:
    tokenizer = load(f"dmel/{variant}" if variant else "dmel")
    stride, stack = DMel.parse(variant)
    frames = 0 if length == 0 else 1 + length // (16 * stride)
    units = tokenizer.encode(sound(length), 16_000)
    assert units.shape == (math.ceil(frames / stack), 80 * stack)
    assert len(units) == tokenizer.grid.positions(length, 16_000)


def test_five_seconds_are_201_frames() -> None:
    assert DMel().encode(sound(80_000), 16_000).shape == (201, 80)


@pytest.mark.parametrize(
    ("variant", "name", "rate"),
    [("", "dmel", 40.0), ("20x4", "dmel-20x4", 12.5), ("25x3", "dmel-25x3", 40 / 3)],
)
def test_rates_and_names(variant: str, name: str, rate: float) -> None:
    made = DMel(variant)
    assert (made.name, made.rate_hz, made.levels) == (name, pytest.approx(rate), 16)


def test_stacking_keeps_the_frames_and_fills_up_with_what_no_sound_is() -> None:
    pcm = sound(5000)
    one, four = DMel("20x1").encode(pcm, 16_000), DMel("20x4").encode(pcm, 16_000)
    assert len(one) == 16 and len(four) == 4
    assert np.array_equal(four.reshape(-1, 80), one)
    pcm = sound(5700)  # 18 frames: the last position holds 2
    one, four = DMel("20x1").encode(pcm, 16_000), DMel("20x4").encode(pcm, 16_000)
    assert np.array_equal(four.reshape(-1, 80)[:18], one)
    assert four.shape == (5, 320) and not four.reshape(-1, 80)[18:].any()
    assert one.min() >= 1


def test_a_chunk_does_not_depend_on_what_is_encoded_before_or_with_it() -> None:
    tokenizer = DMel("20x4")
    chunks = [sound(n, seed) for seed, n in enumerate((7001, 50_000, 401, 0, 12_345))]
    alone = [tokenizer.encode(chunk, 16_000) for chunk in chunks]
    assert np.array_equal(encode_chunks(tokenizer, chunks, 16_000), np.concatenate(alone))
    again = [tokenizer.encode(chunk, 16_000) for chunk in reversed(chunks)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(alone, again, strict=True))


def test_a_frame_does_not_depend_on_how_many_are_computed_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pcm = sound(90_000)
    whole = LogMel(400)(pcm)
    for block in (1, 3, 64, 1000):
        monkeypatch.setattr(dmel, "BLOCK", block)
        assert np.array_equal(LogMel(400)(pcm), whole)


def test_the_inverse_looks_up_the_centre_of_each_level() -> None:
    tokenizer = DMel("20x4")
    pcm = sound(30_000)
    units = tokenizer.encode(pcm, 16_000)
    back = tokenizer.decode(units)
    assert back.shape == (4 * len(units), 80)
    mel = np.clip(LogMel(320)(pcm), -7, 2)
    assert np.abs(back[: len(mel)] - mel).max() <= 0.3001
    assert np.array_equal(dmel.stacked(dmel.quantise(back), 4), units)
    assert dmel.centres() == pytest.approx([-7 + 0.6 * i for i in range(16)])


@pytest.mark.parametrize("rate", [8000, 22_050, 24_000, 48_000])
def test_other_rates_are_resampled(rate: int) -> None:
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)).astype(np.int16)
    units = DMel().encode(tone, rate)
    assert len(units) == DMel().grid.positions(rate, rate) == 41
    wide = (8000 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)).astype(np.int16)
    expected = DMel().encode(wide, 16_000)
    audible = np.flatnonzero(dmel.mel_edges()[1:-1] < 3000)
    middle = slice(5, 35)  # away from the ends, where a resampler rings
    difference = units[middle, audible].astype(int) - expected[middle, audible]
    assert np.abs(difference[expected[middle, audible] > 4]).max() <= 1


def test_digests_tell_settings_apart_and_stay() -> None:
    digests = [DMel(v).digest() for v in ("", "20x4", "25x3")]
    assert len(set(digests)) == 3
    assert digests[0] == DMel("25x1").digest() == DIGEST


# of the numbers, not of the code: changing it means that stored tokens are another tokenizer's
DIGEST = "84a8456c4e2b1f725ceab04f476cb2dd3ec7bb8480f218aa14e64907f2802568"


@pytest.mark.parametrize("variant", ["20", "x4", "0x1", "20x0", "20x4x1", "20 x4", "-1x1"])
def test_what_cannot_be_meant_is_refused(variant: str) -> None:
    with pytest.raises(ValueError, match=r"dmel/STRIDExSTACK"):
        DMel(variant)


@pytest.mark.parametrize("wrong", [np.zeros(9, np.float32), np.zeros((9, 1), np.int16)])
def test_only_mono_pcm16_is_heard(wrong: npt.NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="int16"):
        DMel().encode(wrong, 16_000)  # type: ignore[arg-type]
