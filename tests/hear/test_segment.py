"""Borders from probability curves: every rule by itself, and the laws for any curve."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Drop, Recording, Segment, Waveform, frames, segment_id
from transforms.engines import vad
from transforms.hear.segment import SegmentStep, Stretch, stretches
from transforms.step import Scope, registry

RATE = 16_000
HOP = 512
RECORDING = "ab" * 32


class Tape:
    """Samples of one recording in memory."""

    def __init__(self, *channels: np.ndarray, rate: int = RATE) -> None:
        self._channels = channels
        self.rate = rate

    def channels(self) -> Sequence[int]:
        return range(len(self._channels))

    def length(self, channel: int) -> int:
        return len(self._channels[channel])

    def read(self, channel: int, start: int, end: int) -> np.ndarray:
        assert 0 <= start <= end <= self.length(channel)
        return self._channels[channel][start:end]


class Script:
    """An engine that answers a written curve; it counts what it is given."""

    def __init__(self, curve: Sequence[float]) -> None:
        self.curve = np.array(curve, np.float32)
        self.samples = 0

    def probabilities(self, blocks) -> vad.Curve:
        self.samples = sum(len(block) for block in blocks)
        return self.curve


def waveform(length: int, rate: int = RATE, channel: int = 0, partial: bool = False) -> Waveform:
    return Waveform(
        recording=RECORDING,
        channel=channel,
        rate=rate,
        length=length,
        source_rate=44_100,
        source_channels=2,
        codec="flac",
        container="flac",
        pcm_sha256="cd" * 32,
        partial=partial,
    )


def scope(tape: Tape) -> Scope:
    root = Recording(id=RECORDING, uri="x.wav", size=1, seconds=1.0)
    return Scope(root=root, seed=17, audio=tape)


def curve(*parts: tuple[float, float]) -> np.ndarray:
    """(probability, seconds) pairs; each lasts a whole number of 32 ms."""
    return np.concatenate([np.full(round(s / 0.032), p, np.float32) for p, s in parts])


def cut(answers: np.ndarray, length: int | None = None, **changes) -> list[Stretch]:
    plain = {"pad_seconds": 0.0} | changes
    return stretches(answers, SegmentStep(**plain), length or len(answers) * HOP, RATE)


def spans(found: list[Stretch]) -> list[tuple[float, float]]:
    return [(s.start / HOP, s.end / HOP) for s in found]


# -- one rule at a time ---------------------------------------------------------------------


def test_speech_between_silences():
    answers = np.array([0.1] * 40 + [0.9] * 50 + [0.1] * 30)
    assert cut(answers) == [Stretch(40 * HOP, 90 * HOP, 50 * HOP)]


def test_hysteresis_holds_speech_until_it_falls_below_the_lower_bound():
    answers = np.array([0.4] * 40 + [0.6] * 20 + [0.4] * 20 + [0.3] * 40)
    assert spans(cut(answers)) == [(40, 80)]
    assert spans(cut(answers, hysteresis=0.0)) == [(40, 60)]


def test_the_threshold_itself_is_speech_and_the_lower_bound_is_not_silence():
    answers = np.array([0.0] * 20 + [0.5] * 20 + [0.25] * 20 + [0.0] * 20)
    assert spans(cut(answers, hysteresis=0.25)) == [(20, 60)]


def test_short_silence_stays_inside_but_does_not_count_as_speech():
    gap = np.array([0.9] * 30 + [0.0] * 15 + [0.9] * 30 + [0.0] * 16 + [0.9] * 30)
    found = cut(gap, min_silence_seconds=0.5)  # 15.6 frames
    assert spans(found) == [(0, 75), (91, 121)]
    assert [s.speech for s in found] == [60 * HOP, 30 * HOP]


def test_short_speech_is_dropped():
    answers = np.array([0.0] * 30 + [0.9] * 7 + [0.0] * 30 + [0.9] * 8 + [0.0] * 30)
    assert spans(cut(answers)) == [(67, 75)]  # 0.25 s is 7.8 frames
    assert spans(cut(answers, min_speech_seconds=0.0)) == [(30, 37), (67, 75)]


def test_padding_stops_at_the_ends_and_at_half_of_a_gap():
    answers = np.array([0.9] * 20 + [0.0] * 17 + [0.9] * 20 + [0.0] * 40)
    found = cut(answers, pad_seconds=1.0, min_silence_seconds=0.1)
    assert spans(found) == [(0, 28.5), (28.5, 57 + 31.25)]
    assert [s.speech for s in found] == [20 * HOP, 20 * HOP]


def test_padding_never_leaves_the_channel():
    answers = np.array([0.9] * 20)
    assert cut(answers, length=20 * HOP - 100, pad_seconds=1.0) == [
        Stretch(0, 20 * HOP - 100, 20 * HOP - 100)
    ]


def test_long_speech_is_cut_at_its_least_speech_like_frame():
    answers = np.full(1500, 0.9)  # 48 s
    answers[500], answers[700], answers[900] = 0.5, 0.6, 0.4  # 700 and 900 lie in the window
    found = cut(answers)
    assert spans(found) == [(0, 900.5), (900.5, 1500)]
    assert sum(s.speech for s in found) == 1500 * HOP


def test_a_cut_before_the_window_is_not_considered():
    answers = np.full(1500, 0.9)
    answers[600] = 0.4  # 19.2 s: more than 10 s before the limit
    answers[650] = 0.8
    assert spans(cut(answers))[0] == (0, 650.5)


def test_even_speech_is_cut_at_the_limit_and_leaves_no_crumb():
    long = cut(np.full(3000, 0.9))
    assert all(s.end - s.start <= 30 * RATE for s in long)
    assert spans(long)[0][1] == pytest.approx(937.5, abs=1)
    just_over = cut(np.full(940, 0.9))  # 30.08 s
    assert len(just_over) == 2
    assert min(s.end - s.start for s in just_over) >= 10 * RATE


def test_24_khz_and_a_rate_without_whole_frames():
    answers = np.array([0.0] * 25 + [0.9] * 25 + [0.0] * 25)
    at24 = stretches(answers, SegmentStep(pad_seconds=0.0), 75 * 768, 24_000)
    assert at24 == [Stretch(25 * 768, 50 * 768, 25 * 768)]
    length = round(75 * 0.032 * 22_050)
    (at22,) = stretches(answers, SegmentStep(pad_seconds=0.0), length, 22_050)
    assert (at22.start, at22.end) == (17_640, 35_280)


def test_no_speech_no_stretch():
    assert cut(np.zeros(100)) == []
    assert stretches(np.zeros(0, np.float32), SegmentStep(), 0, RATE) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_engine_that_answers_nonsense_is_a_bug(bad):
    answers = np.array([0.9] * 50 + [bad] + [0.9] * 50)
    with pytest.raises(ValueError, match="1 of them not finite"):
        cut(answers)


def test_an_engine_that_answers_too_little_is_a_bug():
    with pytest.raises(ValueError, match="gave 9 probabilities"):
        cut(np.zeros(9), length=10 * HOP)


# -- laws for any curve ---------------------------------------------------------------------

RUNS = st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(1, 400)), min_size=0, max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    runs=RUNS,
    short=st.integers(0, HOP - 1),
    rate=st.sampled_from([16_000, 24_000, 22_050, 8_000]),
    threshold=st.sampled_from([0.2, 0.5, 0.9]),
    silence=st.sampled_from([0.0, 0.1, 0.5, 2.0]),
    speech=st.sampled_from([0.0, 0.25, 1.0]),
    pad=st.sampled_from([0.0, 0.1, 3.0]),
    most=st.sampled_from([1.0, 5.0, 30.0]),
)
def test_stretches_keep_the_laws(runs, short, rate, threshold, silence, speech, pad, most):
    answers = np.array([p for p, n in runs for _ in range(n)], np.float32)
    length = max(0, len(answers) * rate * 32 // 1000 - short * (rate == 16_000))
    step = SegmentStep(
        threshold=threshold,
        min_silence_seconds=silence,
        min_speech_seconds=speech,
        pad_seconds=pad,
        max_seconds=most,
        cut_seconds=most / 4,
    )
    fitting = -(-length * 1000 // (rate * 32))
    answers = np.resize(answers, fitting) if fitting else np.zeros(0, np.float32)
    found = stretches(answers, step, length, rate)
    reached = 0
    for stretch in found:
        assert reached <= stretch.start < stretch.end <= length
        assert 0 <= stretch.speech <= stretch.end - stretch.start <= most * rate
        reached = stretch.end
    assert found == stretches(answers, step, length, rate)

    wave = waveform(length, rate)
    tape = Tape(np.zeros(length, np.int16), rate=rate)
    out = list(step([wave], Script(answers), scope(tape)))
    kept = [r for r in out if isinstance(r, Segment)]
    left = [r for r in out if isinstance(r, Drop)]
    assert out
    assert sum(frames(r.seconds, rate) for r in out) == length
    assert [(frames(r.start, rate), frames(r.end, rate)) for r in kept] == [
        (s.start, s.end) for s in found
    ]
    edges = sorted((frames(r.start, rate), frames(r.end, rate)) for r in [*kept, *left])
    assert edges[0][0] == 0 and edges[-1][1] == length
    assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))


# -- the step -------------------------------------------------------------------------------


def test_records_carry_what_the_waveform_says():
    answers = curve((0, 1.28), (1, 3.2), (0, 0.64))
    length = len(answers) * HOP
    wave = waveform(length, partial=True, channel=1)
    tape = Tape(np.zeros(length, np.int16), np.zeros(length, np.int16))
    script = Script(answers)
    before, segment, after = SegmentStep(pad_seconds=0.0)([wave], script, scope(tape))
    assert script.samples == length
    assert segment == Segment(
        id=segment_id(RECORDING, 1, 20_480, 71_680, RATE),
        recording=RECORDING,
        channel=1,
        start=1.28,
        end=4.48,
        rate=RATE,
        speech_seconds=3.2,
        source_rate=44_100,
        source_channels=2,
        codec="flac",
        pcm_sha256="cd" * 32,
        partial=True,
    )
    assert (before.reason, before.start, before.end) == ("non_speech", 0.0, 1.28)
    assert (after.reason, after.start, after.end) == ("non_speech", 4.48, 5.12)
    assert before.id == before.root == RECORDING and before.detail == "channel 1"


@pytest.mark.parametrize("length", [0, 1, 5 * RATE])
def test_nothing_found_is_one_drop_of_the_whole_channel(length):
    tape = Tape(np.zeros(length, np.int16))
    step = SegmentStep()
    (drop,) = step([waveform(length)], step.load(), scope(tape))
    assert (drop.reason, drop.seconds, drop.start, drop.end) == (
        "no_speech",
        length / RATE,
        0.0,
        length / RATE,
    )
    assert set(step.reasons) == {"no_speech", "non_speech"}


@pytest.mark.parametrize("length", [1, 400, 5 * RATE])
def test_whole_keeps_ready_cut_utterances_even_when_tiny_or_silent(length):
    tape = Tape(np.zeros(length, np.int16))
    step = SegmentStep(engine="whole")
    (segment,) = step([waveform(length)], step.load(), scope(tape))
    assert frames(segment.seconds, RATE) == length
    assert segment.speech_seconds == segment.seconds


def test_whole_cuts_long_audio_in_its_quiet_places():
    noise = np.random.default_rng(0).normal(0, 3000, 40 * RATE)
    noise[24 * RATE : 24 * RATE + 3200] = 0
    tape = Tape(noise.astype(np.int16))
    step = SegmentStep(engine="whole")
    first, second = step([waveform(40 * RATE)], step.load(), scope(tape))
    assert 24.0 <= first.end <= 24.2
    assert second.start == first.end and second.end == 40.0


def test_energy_engine_finds_bursts_at_24_khz():
    rate = 24_000
    rng = np.random.default_rng(5)
    samples = rng.normal(0, 3, 12 * rate)
    for start in (2, 7):
        samples[start * rate : (start + 3) * rate] += rng.normal(0, 3000, 3 * rate)
    step = SegmentStep(engine="energy")
    out = list(
        step(
            [waveform(12 * rate, rate)],
            step.load(),
            scope(Tape(samples.astype(np.int16), rate=rate)),
        )
    )
    kept = [r for r in out if isinstance(r, Segment)]
    assert [(s.start, s.end) for s in kept] == [
        (pytest.approx(2, abs=0.25), pytest.approx(5, abs=0.25)),
        (pytest.approx(7, abs=0.25), pytest.approx(10, abs=0.25)),
    ]
    assert sum(frames(r.seconds, rate) for r in out) == 12 * rate


def test_channels_do_not_see_each_other():
    loud = np.random.default_rng(6).normal(0, 3000, 4 * RATE)
    loud[: 2 * RATE] *= 0.001
    burst, quiet = loud.astype(np.int16), np.zeros(4 * RATE, np.int16)
    step = SegmentStep(engine="energy")
    model = step.load()
    both = list(
        step([waveform(4 * RATE), waveform(4 * RATE, channel=1)], model, scope(Tape(burst, quiet)))
    )
    alone = list(step([waveform(4 * RATE)], model, scope(Tape(burst))))
    assert both[: len(alone)] == alone
    assert [(r.reason, r.detail) for r in both[len(alone) :]] == [("no_speech", "channel 1")]


# -- the settings ---------------------------------------------------------------------------


def test_it_is_called_segment_in_a_recipe():
    assert registry()["segment"] is SegmentStep


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "sillero"}, "did you mean 'silero'"),
        ({"max_seconds": 12.0}, "cut_seconds 10.0 is more than a third"),
        ({"threshold": 0.1}, "speech would never end"),
        ({"min_speech_seconds": -1.0}, "greater than or equal to 0"),
        ({"pad_seconds": "0.1"}, "valid number"),
        ({"treshold": 0.4}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SegmentStep(**wrong)


def test_the_fingerprint_names_the_model():
    assert set(SegmentStep().fingerprint()) == {"onnxruntime", "model"}
    assert SegmentStep().fingerprint() == SegmentStep().fingerprint()
