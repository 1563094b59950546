"""Another rate: the band stays, what lies beyond it goes, and nothing moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.synthesize.levels import PEAK
from transforms.synthesize.polyphase import resampled

RATIOS = [(22_050, 16_000), (24_000, 16_000), (44_100, 16_000), (8_000, 16_000), (22_050, 24_000)]


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return np.rint(16_000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


def decibels(wave: np.ndarray) -> float:
    """Power in the middle, of a sine of 16,000."""
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    return float(10 * np.log10(np.mean(np.square(middle * PEAK / 16_000)) * 2))


@pytest.mark.parametrize(("rate", "wanted"), RATIOS)
def test_the_band_is_kept_to_the_sample(rate, wanted):
    """Up to 0.88 of the lower half rate, as close as 16 bits are, and without a delay."""
    for share in (0.01, 0.2, 0.5, 0.88):
        hertz = share * min(rate, wanted) / 2
        found = resampled(tone(hertz, rate), rate, wanted)
        assert len(found) == wanted
        ideal = 16_000 / PEAK * np.sin(2 * np.pi * hertz * np.arange(wanted) / wanted)
        assert decibels(found - ideal) < -80


@pytest.mark.parametrize(("rate", "wanted"), [one for one in RATIOS if one[0] > one[1]])
def test_what_has_no_place_in_the_band_is_gone(rate, wanted):
    for share in (1.05, 1.1, 1.3):
        hertz = share * wanted / 2
        if hertz < rate / 2:
            assert decibels(resampled(tone(hertz, rate), rate, wanted)) < -80


def test_it_is_the_resampling_of_soxr():
    """Of a sound with a spectrum like speech: the best of another library differs by 16 bits."""
    import soxr

    rng = np.random.default_rng(5)
    pcm = np.clip(np.cumsum(rng.standard_normal(60_000)) * 200, -30_000, 30_000).astype(np.int16)
    pcm[::7] //= 2
    ours = resampled(pcm, 22_050, 16_000)
    # soxr's band goes a little farther: both are cut to where both are flat
    theirs = soxr.resample(pcm / np.float32(PEAK), 22_050, 16_000, quality="VHQ")
    size = min(len(ours), len(theirs))
    spectra = [np.fft.rfft(wave[:size] * np.hanning(size)) for wave in (ours, theirs)]
    flat = slice(0, int(0.85 * len(spectra[0])))
    error = np.sum(np.abs(spectra[0][flat] - spectra[1][flat]) ** 2)
    assert error < 1e-7 * np.sum(np.abs(spectra[1][flat]) ** 2)


@settings(max_examples=60)
@given(
    st.integers(0, 3_000),
    st.sampled_from([*RATIOS, (22_051, 16_000), (11_025, 16_000), (16_000, 16_000)]),
)
def test_any_length_keeps_its_time(frames, ratio):
    rate, wanted = ratio
    pcm = np.full(frames, -(PEAK + 1), np.int16)
    found = resampled(pcm, rate, wanted)
    assert found.dtype == np.float32
    assert len(found) == -(-frames * wanted // rate)
    edge = 160 * wanted // rate + 1  # as far as a filter reaches
    assert np.allclose(found[edge : len(found) - edge], -(PEAK + 1) / PEAK, atol=1e-4)


def test_a_sound_depends_on_itself_alone():
    long = tone(440, 22_050, 9.0)
    first = resampled(long, 22_050, 16_000).tobytes()
    resampled(tone(300, 22_050), 22_050, 16_000)
    assert resampled(long, 22_050, 16_000).tobytes() == first
