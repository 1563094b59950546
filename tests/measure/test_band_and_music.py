"""Bandwidth, offset, music and noise against signals made with known values."""

import numpy as np
import pytest
from made_sound import RATE, make_clip, make_scope, score, speechlike, to_pcm, value
from scipy.signal import firwin, lfilter

from transforms.engines.classifier import Tones
from transforms.measure.bandwidth import Bandwidth
from transforms.measure.dc_offset import DcOffset
from transforms.measure.music import Music


def white(seconds: float, seed: int = 1, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))


def cut_at(sound: np.ndarray, hertz: float, rate: int) -> np.ndarray:
    """Band-limited: half the amplitude at `hertz`, nothing 150 Hz above."""
    return lfilter(firwin(1001, hertz, fs=rate, window=("kaiser", 14)), [1.0], sound)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3])
@pytest.mark.parametrize("kind", ["white", "speech"])
@pytest.mark.parametrize(
    ("rate", "hertz"),
    [(16_000, h) for h in (1000, 2000, 3400, 4000, 5500, 7000)]
    + [(24_000, h) for h in (1000, 3400, 4000, 8000, 11_000)],
)
def test_bandwidth_is_within_5_percent(rate: int, hertz: int, kind: str, noise: float) -> None:
    sound = white(4, rate=rate) if kind == "white" else speechlike(4, 1, rate)
    sound = cut_at(sound, hertz, rate) + noise * white(4, 2, rate) / 0.1
    assert value(Bandwidth(), to_pcm(sound), rate) == pytest.approx(hertz, rel=0.05)


def test_bandwidth_does_not_hear_the_volume() -> None:
    sound = cut_at(white(4), 3400, RATE)
    for gain in (1.0, 0.1, 0.01):
        assert value(Bandwidth(), to_pcm(sound * gain)) == pytest.approx(3400, rel=0.05)


def test_a_flat_spectrum_has_the_whole_band() -> None:
    assert value(Bandwidth(), to_pcm(white(2))) == 8000.0
    assert value(Bandwidth(), to_pcm(white(2, rate=24_000)), 24_000) == 12_000.0


@pytest.mark.parametrize(
    ("rate", "source_rate", "share"),
    [
        (16_000, 48_000, 3400 / 8000),  # telephone speech sold as 48 kHz
        (24_000, 48_000, 3400 / 12_000),
        (16_000, 8_000, 3400 / 4000),  # telephone speech that says so
        (16_000, 0, 3400 / 8000),
    ],
)
def test_narrowband_shows_as_a_share_of_what_the_file_could_hold(
    rate: int, source_rate: int, share: float
) -> None:
    import dataclasses

    pcm = to_pcm(cut_at(white(3, rate=rate), 3400, rate))
    clip = dataclasses.replace(make_clip(0, len(pcm), rate), source_rate=source_rate)
    (scores,) = score(Bandwidth(), [clip], make_scope(pcm, rate))
    assert scores.values[1] == pytest.approx(share, rel=0.05)


def test_bandwidth_of_silence_and_of_moments_is_unknown() -> None:
    assert value(Bandwidth(), np.zeros(RATE, np.int16)) is None
    assert value(Bandwidth(), to_pcm(white(0.29))) is None
    assert value(Bandwidth(min_seconds=0), np.zeros(0, np.int16)) is None
    assert value(Bandwidth(min_seconds=0), to_pcm(white(0.01))) is None


@pytest.mark.parametrize("offset", [0, 1, -327, 3277, -16_384])
def test_the_offset_is_exact(offset: int) -> None:
    tone = np.rint(8000 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)).astype(np.int64)
    pcm = (tone - tone.sum() // len(tone) + offset).astype(np.int16)
    assert value(DcOffset(), pcm) == abs(int(pcm.sum(dtype=np.int64))) / RATE / 32768
    assert value(DcOffset(), pcm) == pytest.approx(abs(offset) / 32768, abs=1e-4)
    assert value(DcOffset(), np.full(10, offset, np.int16)) == abs(offset) / 32768


def test_the_offset_of_nothing_is_unknown() -> None:
    assert value(DcOffset(), np.zeros(0, np.int16)) is None
    assert value(DcOffset(), np.zeros(9, np.int16)) == 0.0


# -- music and noise --------------------------------------------------------------------------


def chords(seconds: float) -> np.ndarray:
    """Struck chords that ring, a new one every half second."""
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(int(seconds * 2)):
        turn = 2 * np.pi * np.arange(RATE // 2) / RATE * rng.choice([131, 165, 196, 220, 262])
        ring = np.exp(-np.arange(RATE // 2) / RATE * 4)
        parts.append(sum(np.sin(turn * k) for k in (1, 1.25, 1.5, 2, 3, 4)) * ring)
    return 0.05 * np.concatenate(parts)


def music_and_noise(pcm: np.ndarray, rate: int = RATE) -> tuple[object, ...]:
    (scores,) = score(Music(), [make_clip(0, len(pcm), rate)], make_scope(pcm, rate))
    return scores.values


def test_chords_are_music_hiss_and_hum_are_noise_and_bursts_are_neither() -> None:
    assert music_and_noise(to_pcm(chords(6))) == (1.0, 0.0)
    assert music_and_noise(to_pcm(white(6))) == (0.0, 1.0)
    turn = 2 * np.pi * 50 * np.arange(6 * RATE) / RATE
    hum = sum(np.sin(k * turn) / k for k in range(1, 9)) * 0.1
    assert music_and_noise(to_pcm(hum + 0.01 * white(6)))[0] == 0.0
    assert music_and_noise(to_pcm(speechlike(6, 2))) == (0.0, 0.0)


def test_shares_are_of_seconds() -> None:
    pcm = to_pcm(np.concatenate([chords(6), speechlike(6, 2)]))
    music, noise = music_and_noise(pcm)
    assert music == pytest.approx(0.5, abs=0.1)
    assert noise == 0.0
    assert len(Tones().seconds(pcm)) == 12


def test_silence_is_neither_and_less_than_a_second_is_unknown() -> None:
    assert music_and_noise(np.zeros(3 * RATE, np.int16)) == (0.0, 0.0)
    assert Tones().seconds(np.zeros(2 * RATE, np.int16)) == ["silence", "silence"]
    assert music_and_noise(to_pcm(chords(2))[: RATE - 1]) == (None, None)
    assert music_and_noise(np.zeros(0, np.int16)) == (None, None)


def test_another_rate_hears_the_same() -> None:
    import soxr

    sound = chords(4)
    assert music_and_noise(to_pcm(soxr.resample(sound, RATE, 24_000)), 24_000) == (1.0, 0.0)


def test_long_sound_is_judged_in_stretches_that_do_not_see_each_other() -> None:
    parts = [to_pcm(chords(60)), to_pcm(speechlike(60, 2)), to_pcm(white(30))]
    alone = [label for part in parts for label in Tones().seconds(part)]
    assert Tones().seconds(np.concatenate(parts)) == alone
