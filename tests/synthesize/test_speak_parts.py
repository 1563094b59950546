"""What speak is made of: pieces, word times, levels and the draw of voices, one by one."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.engines.synth_contract import Mark, Voice
from transforms.synthesize import levels
from transforms.synthesize.casting import Ensemble, chosen
from transforms.synthesize.pieces import pieces
from transforms.synthesize.word_times import timed, units

TEXT = st.text(
    st.one_of(st.sampled_from("ab .,!?\n\u3002\u6e2f\u0301\u200d-"), st.characters(codec="utf-8")),
    max_size=300,
)


@given(TEXT, st.integers(1, 60))
def test_pieces_hold_every_character_once(text, most):
    spans = list(pieces(text, most))
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(0 < end - start <= most for start, end in spans)


def test_pieces_end_where_a_reader_would_breathe():
    text = "One is here. Two, which is longer, follows it. And three comes last of them all."
    found = [text[start:end] for start, end in pieces(text, 50)]
    assert found == [
        "One is here. Two, which is longer, follows it. ",
        "And three comes last of them all.",
    ]
    words = "word " * 30
    assert all(words[end - 1] == " " for _, end in pieces(words, 23))


MARKS = st.lists(st.tuples(st.integers(0, 299), st.floats(0, 10), st.floats(0, 3)), max_size=40)


@given(TEXT, MARKS, st.floats(0.01, 10), st.booleans())
def test_word_times_are_ordered_and_inside(text, found, seconds, same):
    found = sorted((at, min(start, seconds), length) for at, start, length in found)
    starts = sorted(start for _, start, _ in found)
    marks = [
        Mark(place=place, start=start, end=min(start + length, seconds))
        for (place, _, length), start in zip(found, starts, strict=True)
    ]
    said = text if same else text.replace("a", "bb")
    words, times = timed(text, said, marks, seconds)
    assert [word.text for word in words] == [word for _, word in units(text)]
    assert times in ("measured", "estimated")
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert all(0 <= edge <= seconds + 1e-9 for edge in edges)
    assert [word.start for word in words] == sorted(word.start for word in words)


def test_words_said_in_one_breath_share_its_time():
    text = "out of the house"
    marks = [
        Mark(place=0, start=0.0, end=0.4),
        Mark(place=4, start=0.4, end=0.8),
        Mark(place=11, start=0.8, end=1.2),
    ]
    words, times = timed(text, text, marks, 1.2)
    assert times == "estimated"
    assert [(round(w.start, 2), round(w.end, 2)) for w in words] == [
        (0.0, 0.4),
        (0.4, 0.56),
        (0.56, 0.8),
        (0.8, 1.2),
    ]


def test_words_that_stand_in_both_texts_keep_their_times():
    said = "It grew by five percent today"
    marks = [Mark(place=p, start=n / 2, end=n / 2 + 0.5) for n, (p, _) in enumerate(units(said))]
    words, times = timed("It grew by 5 % today", said, marks, 3.0)
    assert times == "estimated"
    assert {w.text: (w.start, w.end) for w in words}["today"] == (2.5, 3.0)
    assert [(w.start, w.end) for w in words[3:5]] == [(1.5, 2.0), (2.0, 2.5)]


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_loudness_is_that_of_the_standard(rate):
    import pyloudnorm

    meter = pyloudnorm.Meter(rate)
    for seconds in (0.5, 0.73, 1.3, 7.0):
        time = np.arange(int(seconds * rate)) / rate
        swell = 0.02 + np.sin(np.pi * (time * 2.7 % 1)) ** 2  # syllables
        tones = sum(np.sin(2 * np.pi * 140 * n * time) / n for n in range(1, 30))
        wave = (0.1 * swell * tones).astype(np.float32)
        wave[len(wave) // 2 : len(wave) * 2 // 3] *= 0.01  # below the relative gate
        wanted = meter.integrated_loudness(wave.astype(np.float64))
        assert levels.loudness(wave, rate) == pytest.approx(wanted, abs=0.1)


def test_silence_and_nothing_have_no_loudness():
    for length in (0, 100, 16_000):
        wave = np.zeros(length, np.float32)
        assert levels.loudness(wave, 16_000) is None
        assert levels.gain(wave, 16_000, -23.0) == 1.0


@given(st.floats(0.001, 1.0), st.floats(-40, 0))
def test_no_gain_passes_the_ceiling(level, target):
    wave = (level * np.sin(np.arange(16_000) * 0.3)).astype(np.float32)
    out = levels.pcm16(wave * np.float32(levels.gain(wave, 16_000, target)))
    assert np.abs(out.astype(int)).max() <= 32767 * levels.CEILING + 1


def test_a_click_in_silence_is_not_louder_than_full_scale():
    """Where it lies behind the last whole block, nothing has a loudness."""
    wave = np.zeros(160_700, np.float32)
    wave[160_500] = 1.2
    factor = levels.gain(wave, 16_000, -23.0)
    assert levels.loudness(wave, 16_000) is None
    assert levels.pcm16(wave, factor, bounded=True).max() == round(32767 * levels.CEILING)
    assert levels.pcm16(-wave).min() == -32768


VOICES = tuple(
    Voice(name=f"{accent}{n}", language=accent[:2], accent=accent, usual=n < 2)
    for accent in ("en-us", "en-gb", "de")
    for n in range(4)
)


def test_the_usual_voices_are_drawn_unasked():
    assert {voice.name for voice in chosen(VOICES, (), ("en-us",))} == {"en-us0", "en-us1"}
    assert len(chosen(VOICES, ("en-us*", "en-us3"), ())) == 4


def test_a_weight_of_nothing_is_never_drawn():
    ensemble = Ensemble(
        voices=chosen(VOICES, ("*",), ()),
        weights={"en-gb": 0.0, "en-us1": 0.0},
        speed=(1, 1),
        pitch=(1, 1),
    )
    rng = random.Random(1)
    drawn = Counter(ensemble.draw("en", rng).voice.name for _ in range(300))
    assert set(drawn) == {"en-us0", "en-us2", "en-us3"}
    assert ensemble.draw("fr", rng) is None
    assert ensemble.draw("de", rng, frozenset(f"de{n}" for n in range(4))) is None


def test_a_draw_takes_as_much_chance_whatever_is_drawn():
    """So that a voice that is added for one language changes nothing for another."""
    ensemble = Ensemble(voices=VOICES, weights={}, speed=(0.9, 1.1), pitch=(1, 1))
    one, other = random.Random(4), random.Random(4)
    ensemble.draw("en", one)
    ensemble.draw("fr", other)
    assert one.random() == other.random()
