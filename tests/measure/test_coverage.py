"""Coverage and boilerplate: words and speech in place, by a voice detector on made sound."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from made_sound import RATE, make_clip, make_scope, score, to_pcm

from schemas.records import Clip, Score, Word
from transforms.measure.boilerplate import Boilerplate
from transforms.measure.coverage import Coverage
from transforms.measure.voiced import FRAME_SECONDS, voiced
from transforms.step import Pcm16

ENERGY = Coverage(engine="energy", pad_seconds=0.0)


def bursts(seconds: float, *spans: tuple[float, float]) -> Pcm16:
    """Noise within the spans, silence without: speech for the detector by energy."""
    sound = np.zeros(int(seconds * RATE))
    rng = np.random.default_rng(1)
    for start, end in spans:
        at = slice(int(start * RATE), int(end * RATE))
        sound[at] = 0.2 * rng.standard_normal(len(sound[at]))
    return to_pcm(sound)


def spoken_at(pcm: Pcm16, *spans: tuple[float, float], text: str = "word " * 5) -> Clip:
    words = tuple(Word(text="word", start=start, end=end) for start, end in spans)
    clip = make_clip(0, len(pcm), text=text)
    return dataclasses.replace(clip, words=words, times="measured" if words else "none")


def values(measure: Any, clip: Clip, pcm: Pcm16) -> dict[str, Score]:
    (scores,) = score(measure, [clip], make_scope(pcm))
    return dict(zip(measure.columns, scores.values, strict=True))


SOUND = bursts(6.0, (1.0, 3.0), (4.0, 5.0))


def test_words_over_all_speech_cover_it() -> None:
    found = values(ENERGY, spoken_at(SOUND, (0.8, 2.0), (2.0, 3.2), (3.8, 5.2)), SOUND)
    assert found["speech_covered"] == 1.0
    assert found["words_outside"] == 0.0
    assert found["longest_unsaid"] == 0.0


def test_speech_without_words_is_uncovered_and_its_longest_stretch_is_said() -> None:
    found = values(ENERGY, spoken_at(SOUND, (3.8, 5.2)), SOUND)
    assert found["speech_covered"] == pytest.approx(1 / 3, abs=0.06)
    assert found["longest_unsaid"] == pytest.approx(2.0, abs=0.2)
    assert found["words_outside"] == 0.0


def test_words_without_speech_are_outside() -> None:
    found = values(ENERGY, spoken_at(SOUND, (0.0, 0.2), (0.3, 0.5), (1.5, 1.7), (5.5, 5.9)), SOUND)
    assert found["words_outside"] == 0.75


def test_a_word_beside_speech_is_inside_by_its_margin() -> None:
    clip = spoken_at(SOUND, (3.4, 3.5))
    assert values(ENERGY, clip, SOUND)["words_outside"] == 1.0
    wide = Coverage(engine="energy", pad_seconds=0.6)
    assert values(wide, clip, SOUND)["words_outside"] == 0.0


def test_order_and_times_beyond_the_clip_change_nothing() -> None:
    plain = values(ENERGY, spoken_at(SOUND, (0.8, 3.2), (3.8, 6.0)), SOUND)
    turned = values(ENERGY, spoken_at(SOUND, (3.8, 60.0), (0.8, 3.2)), SOUND)
    assert turned == plain
    beyond = values(ENERGY, spoken_at(SOUND, (7.0, 8.0)), SOUND)
    assert beyond["words_outside"] == 1.0
    assert beyond["speech_covered"] == 0.0


def test_a_clip_inside_a_recording_counts_from_its_own_start() -> None:
    pcm = np.concatenate([np.zeros(2 * RATE, np.int16), SOUND])
    clip = make_clip(2 * RATE, len(pcm), text="x")
    words = (Word(text="x", start=2.8, end=5.2), Word(text="y", start=5.8, end=7.2))
    clip = dataclasses.replace(clip, words=words, times="measured")
    (scores,) = score(ENERGY, [clip], make_scope(pcm))
    assert scores.values[:2] == (1.0, 0.0)


@pytest.mark.parametrize("times", ["estimated", "none"])
def test_times_that_were_not_measured_say_nothing_in_place(times: str) -> None:
    clip = dataclasses.replace(spoken_at(SOUND, (0.8, 3.2)), times=times, text="a" * 28)
    found = values(ENERGY, clip, SOUND)
    assert [found[name] for name in ("speech_covered", "words_outside", "longest_unsaid")] == [
        None
    ] * 3
    assert found["letters_per_second"] == pytest.approx(
        10, abs=0.8
    )  # 28 letters and the end, 3 s of speech


def test_letters_are_counted_over_speech_and_not_over_pauses() -> None:
    long = bursts(30.0, (1.0, 3.0), (28.0, 29.0))
    for pcm in (SOUND, long):
        found = values(ENERGY, spoken_at(pcm, text="a" * 28), pcm)
        assert found["letters_per_second"] == pytest.approx(10, abs=0.8)


def test_text_on_silence_has_an_absurd_rate_and_all_words_outside() -> None:
    pcm = np.zeros(4 * RATE, np.int16)
    found = values(Coverage(), spoken_at(pcm, (0.0, 1.0), text="Thanks for watching."), pcm)
    assert found == {
        "speech_covered": None,
        "words_outside": 1.0,
        "longest_unsaid": 0.0,
        "letters_per_second": pytest.approx(190),
    }


def test_no_samples_and_no_words() -> None:
    nothing = np.zeros(0, np.int16)
    assert set(values(Coverage(), make_clip(0, 0, text="a"), nothing).values()) == {None}
    silent = values(ENERGY, make_clip(0, len(SOUND)), SOUND)
    assert silent["letters_per_second"] == 0.0
    assert silent["speech_covered"] is None


def test_boilerplate_counts_only_where_there_is_little_speech() -> None:
    text = "Thank you for watching!"
    step = Boilerplate(engine="energy")
    quiet = bursts(10.0, (1.0, 2.0))
    assert values(step, make_clip(0, len(quiet), text=text), quiet) == {
        "share": 1.0,
        "unspoken": 1.0,
    }
    loud = bursts(3.0, (0.5, 2.5))
    assert values(step, make_clip(0, len(loud), text=text), loud) == {"share": 1.0, "unspoken": 0.0}
    other = values(step, make_clip(0, len(quiet), text="The ferry leaves."), quiet)
    assert other == {"share": 0.0, "unspoken": 0.0}
    assert set(values(step, make_clip(0, len(quiet)), quiet).values()) == {None}
    empty = values(step, make_clip(0, 0, text=text), np.zeros(0, np.int16))
    assert empty == {"share": 1.0, "unspoken": 1.0}


@pytest.mark.parametrize("length", [1, 511, 512, 513, 24_001])
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_frames_weigh_what_they_last(length: int, rate: int) -> None:
    class Always:
        def probabilities(self, blocks: Any) -> np.ndarray:
            return np.ones(-(-sum(map(len, blocks)) // 512), np.float32)

        @classmethod
        def fingerprint(cls) -> dict[str, str]:
            return {}

    found = voiced(np.ones(length, np.int16), rate, Always(), 0.5)
    assert found.seconds == pytest.approx(length / rate, abs=1e-9)
    assert found.ratio == pytest.approx(1.0)
    assert len(found.speech) == -(-length // round(FRAME_SECONDS * rate))
