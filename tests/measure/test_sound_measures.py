"""Measures of sound against signals made with known values."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sound import RATE, make_clip, make_scope, score, speechlike, to_pcm, value

from transforms.measure.bandwidth import Bandwidth
from transforms.measure.clipping import Clipping
from transforms.measure.dc_offset import DcOffset
from transforms.measure.loudness import Loudness
from transforms.measure.music import Music
from transforms.measure.snr import Snr
from transforms.measure.speech_ratio import SpeechRatio
from transforms.step import AudioRangeError, Measure

HEARING: list[Measure] = [
    Snr(),
    Clipping(),
    Loudness(),
    SpeechRatio(),
    Bandwidth(),
    DcOffset(),
    Music(),
]


def names(measure: Measure) -> str:
    return type(measure).__name__


def noise(kind: str, length: int, seed: int) -> np.ndarray:
    """Noise of mean power 1: white, or pink between 80 Hz and 8 kHz."""
    made = np.random.default_rng(seed).standard_normal(length)
    if kind == "pink":
        spectrum = np.fft.rfft(made)
        hertz = np.fft.rfftfreq(length, 1 / RATE)
        spectrum /= np.sqrt(np.maximum(hertz, 1))
        spectrum[hertz < 80] = 0
        made = np.fft.irfft(spectrum, length)
    return made / np.sqrt(np.mean(made**2))


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("decibels", [0, 5, 10, 15, 20, 30, 40])
def test_snr_is_within_2_db_of_the_truth(decibels: int, kind: str) -> None:
    for seed, seconds in enumerate((2.0, 4.0, 8.0, 15.0)):
        speech = speechlike(seconds, seed)
        power = np.mean(speech**2) / 10 ** (decibels / 10)
        mixed = speech + noise(kind, len(speech), 100 + seed) * math.sqrt(power)
        assert value(Snr(), to_pcm(mixed * 0.5)) == pytest.approx(decibels, abs=2.0)


def test_snr_does_not_hear_the_volume_or_a_hum_below_the_voice() -> None:
    mixed = speechlike(4, 1) + 0.01 * noise("white", 4 * RATE, 2)
    plain = value(Snr(), to_pcm(mixed))
    assert value(Snr(), to_pcm(mixed * 0.1)) == pytest.approx(plain, abs=0.1)
    hum = 0.05 * np.sin(2 * np.pi * 30 * np.arange(4 * RATE) / RATE)
    assert value(Snr(), to_pcm(mixed + hum)) == pytest.approx(plain, abs=0.5)


def test_snr_of_noise_alone_is_low_and_of_speech_cut_into_silence_is_high() -> None:
    assert value(Snr(), to_pcm(0.1 * noise("white", 4 * RATE, 3))) < 0
    speech = speechlike(4, 1)
    speech[np.abs(speech) < 1e-3] = 0
    assert value(Snr(), to_pcm(speech)) > 20


def test_snr_knows_nothing_of_silence_and_of_moments() -> None:
    assert value(Snr(), np.zeros(RATE, np.int16)) is None
    assert value(Snr(), to_pcm(speechlike(0.4, 1))) is None
    assert value(Snr(min_seconds=0), np.zeros(0, np.int16)) is None
    assert value(Snr(min_seconds=0), to_pcm(speechlike(0.05, 1))) is None


def test_clipping_counts_the_samples_of_plateaus_exactly() -> None:
    pcm = np.full(1000, 100, np.int16)
    pcm[10:15] = 32767
    pcm[100:103] = -32768
    pcm[200:202] = 32767  # too short to be a plateau
    pcm[300:306] = [32767, -32768] * 3  # full scale, but never twice on one side
    pcm[-3:] = 32740  # a plateau at the very end
    assert value(Clipping(), pcm) == (5 + 3 + 3) / 1000
    assert value(Clipping(min_run=2), pcm) == (5 + 3 + 2 + 3) / 1000


@pytest.mark.parametrize("overdrive", [2.0, 4.0])
def test_clipping_of_an_overdriven_tone_is_what_geometry_says(overdrive: float) -> None:
    tone = overdrive * np.sin(2 * np.pi * 50.3 * np.arange(4 * RATE) / RATE)
    expected = 1 - 2 / math.pi * math.asin(1 / overdrive)
    assert value(Clipping(), to_pcm(tone)) == pytest.approx(expected, abs=0.003)
    assert value(Clipping(), to_pcm(tone / overdrive * 0.99)) == 0.0


def test_clipping_of_nothing_is_unknown() -> None:
    assert value(Clipping(), np.zeros(0, np.int16)) is None


@pytest.mark.parametrize("rate", [16_000, 24_000])
@pytest.mark.parametrize("dbfs", [-3.0, -23.0, -40.0])
def test_loudness_of_the_standards_tone(rate: int, dbfs: float) -> None:
    """A sine of 997 Hz on one channel reads its level minus 3.01 LU (BS.1770-4, annex 1)."""
    tone = 10 ** (dbfs / 20) * np.sin(2 * np.pi * 997 * np.arange(5 * rate) / rate)
    assert value(Loudness(), to_pcm(tone), rate) == pytest.approx(dbfs - 3.01, abs=0.1)


def test_loudness_does_not_count_pauses() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 997 * np.arange(4 * RATE) / RATE)
    padded = np.concatenate([tone, np.zeros(6 * RATE)])
    whole = value(Loudness(), to_pcm(tone))
    assert value(Loudness(), to_pcm(padded)) == pytest.approx(whole, abs=0.3)


def test_loudness_below_the_gate_or_the_block_is_unknown() -> None:
    assert value(Loudness(), np.zeros(RATE, np.int16)) is None
    tone = to_pcm(0.1 * np.sin(np.arange(RATE)))
    assert value(Loudness(), tone[: int(0.399 * RATE)]) is None
    assert value(Loudness(), tone[: int(0.4 * RATE)]) is not None
    faint = np.where(np.arange(RATE) % 100 == 0, 1, 0).astype(np.int16)
    assert value(Loudness(), faint) is None


def test_speech_ratio_by_energy_is_the_share_that_sounds() -> None:
    loud = np.concatenate([0.2 * noise("white", 2 * RATE, 1), np.zeros(2 * RATE)])
    assert value(SpeechRatio(engine="energy"), to_pcm(loud)) == pytest.approx(0.5, abs=0.03)
    assert value(SpeechRatio(engine="energy"), np.zeros(RATE, np.int16)) == 0.0


def test_speech_ratio_of_sounds_that_are_no_speech_is_nothing() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    assert value(SpeechRatio(), to_pcm(tone)) == 0.0
    assert value(SpeechRatio(), np.zeros(RATE, np.int16)) == 0.0
    assert value(SpeechRatio(), np.zeros(0, np.int16)) is None


@pytest.mark.parametrize("length", [1, 511, 512, 513, 24_001])
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_speech_ratio_weighs_the_last_frame_by_its_length(length: int, rate: int) -> None:
    class Always:
        def probabilities(self, blocks: object) -> np.ndarray:
            taken = sum(len(block) for block in blocks)  # type: ignore[attr-defined]
            return np.ones(-(-taken // 512), np.float32)

        def fingerprint(self) -> dict[str, str]:
            return {}

    assert SpeechRatio().ratio(np.ones(length, np.int16), rate, Always()) == 1.0


@pytest.mark.parametrize("measure", HEARING, ids=names)
def test_a_score_is_the_same_whatever_surrounds_the_clip(measure: Measure) -> None:
    """Bit for bit: alone, among other clips, in reverse order, inside another recording."""
    rng = np.random.default_rng(5)
    own = to_pcm(speechlike(2.0, 3) + 0.01 * rng.standard_normal(2 * RATE))
    before, after = to_pcm(speechlike(1.3, 4)), to_pcm(0.3 * rng.standard_normal(RATE))
    pcm = np.concatenate([before, own, after])
    start = len(before)
    clips = [
        make_clip(0, start),
        make_clip(start, start + len(own)),
        make_clip(start + len(own), len(pcm)),
    ]
    together = {s.id: s.values for s in score(measure, clips, make_scope(pcm))}
    backwards = {s.id: s.values for s in score(measure, clips[::-1], make_scope(pcm))}
    alone = value(measure, own)
    assert together == backwards
    assert together[clips[1].id][0] == alone
    assert alone is not None


@pytest.mark.parametrize("measure", HEARING, ids=names)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(0, 20_000), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_one_finite_plain_score_per_clip(measure: Measure, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pcm = rng.integers(-32768, 32767, sum(lengths), dtype=np.int16)
    pcm[: lengths[0]] *= int(rng.integers(0, 2))
    ends = np.cumsum(lengths)
    clips = [
        make_clip(int(end) - length, int(end), index=i)
        for i, (end, length) in enumerate(zip(ends, lengths, strict=True))
    ]
    scores = score(measure, clips, make_scope(pcm))
    assert [s.id for s in scores] == [c.id for c in clips]
    for scored in scores:
        assert len(scored.values) == len(measure.columns)
        for kind, got in zip(measure.columns.values(), scored.values, strict=True):
            assert got is None or type(got) is kind
            assert not isinstance(got, float) or math.isfinite(got)


def test_a_clip_of_another_rate_than_its_audio_is_a_bug() -> None:
    with pytest.raises(AudioRangeError, match="24000 Hz"):
        score(Snr(), [make_clip(0, RATE, 24_000)], make_scope(np.zeros(RATE, np.int16)))


def test_measures_that_hear_say_so_and_refuse_a_deaf_scope() -> None:
    for measure in HEARING:
        assert measure.needs_audio
        with pytest.raises(AudioRangeError):
            score(measure, [make_clip(0, RATE)], make_scope())


def test_no_measure_imports_torch() -> None:
    code = (
        "import sys\n"
        "from transforms.measure import clipping, language, loudness\n"
        "from transforms.measure import snr, speech_ratio, text_rate, mos, music, bandwidth\n"
        "from transforms.measure import boilerplate, coverage, language_agreement\n"
        "heavy = {'torch', 'fasttext', 'pyloudnorm', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "for m in (loudness.Loudness(), speech_ratio.SpeechRatio(), language.Language(),\n"
        "          coverage.Coverage(), boilerplate.Boilerplate(), music.Music(), mos.Mos()):\n"
        "    m.load(), m.fingerprint()\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
