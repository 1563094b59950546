"""A long recording in windows: the line and its way back, and turns that cover every frame
whatever a listener says. The listeners here are simple; the published library's is in
test_pyannote.py."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import frames
from transforms.engines import timeline
from transforms.engines.diarizer import Options
from transforms.engines.timeline import Piece
from transforms.engines.turns import NOBODY
from transforms.engines.windowed import Heard, Windowed

RATE = 16_000


class Samples:
    def __init__(self, sound: np.ndarray, rate: int = RATE) -> None:
        self.sound, self.rate, self.longest = sound, rate, 0

    def channels(self):
        return [0]

    def length(self, channel: int) -> int:
        return len(self.sound)

    def read(self, channel: int, start: int, end: int) -> np.ndarray:
        assert 0 <= start <= end <= len(self.sound)
        self.longest = max(self.longest, end - start)
        return self.sound[start:end]


# --- the line --------------------------------------------------------------------------------


def test_gaps_longer_than_two_seconds_are_cut_to_two():
    pieces = timeline.laid_out(
        [(5_000, 6_000), (6_000, 7_000), (8_000, 9_000), (900_000, 901_000)], 1_000
    )
    assert pieces == [
        Piece(5_000, 6_000, 0),
        Piece(6_000, 7_000, 1_000),
        Piece(8_000, 9_000, 3_000),
        Piece(900_000, 901_000, 6_000),
    ]
    assert timeline.laid_out([], 16_000) == []


def test_what_lies_in_a_window_of_the_line():
    pieces = timeline.laid_out([(100, 200), (250, 300), (400, 500)], 1_000)
    assert list(timeline.within(pieces, 50, 170)) == [Piece(150, 200, 50), Piece(250, 270, 150)]
    assert list(timeline.within(pieces, 100, 150)) == []
    assert list(timeline.within(pieces, 0, 400)) == pieces


@given(st.integers(0, 100_000), st.integers(2, 5_000), st.data())
def test_windows_cover_the_line_and_overlap(length, size, data):
    overlap = data.draw(st.integers(0, size // 2))
    found = timeline.windows(length, size, overlap)
    assert (found == []) == (length == 0)
    if not found:
        return
    assert found[0][0] == 0 and found[-1][1] == length
    assert all(0 < b - a <= size for a, b in found)
    for (_, end), (start, _) in itertools.pairwise(found):
        assert end - start == overlap
    sizes = [b - a for a, b in found]
    assert max(sizes) - min(sizes) <= 1


def test_windows_that_cannot_move_on_are_refused():
    with pytest.raises(ValueError, match="cannot overlap by 10"):
        timeline.windows(100, 10, 10)


def test_a_border_falls_into_the_pause_nearest_the_middle():
    pieces = timeline.laid_out([(0, 100), (120, 200), (230, 1_000)], 1_000)
    assert timeline.border(pieces, 50, 350) == 215
    assert timeline.border(pieces, 60, 160) == 110
    assert timeline.border(pieces, 400, 600) == 500


# --- turns -----------------------------------------------------------------------------------


class Says:
    """Answers with the same voices for every window, and keeps the windows."""

    def __init__(self, turns, voices=None, speakers=None) -> None:
        self.turns, self.voices, self.heard = turns, voices or turns, []
        self.speakers = speakers or 1 + max((s for *_, s in self.voices), default=-1)

    def hear(self, samples, most_speakers):
        assert samples.dtype == np.float32
        self.heard.append(samples)
        vectors = np.eye(max(1, self.speakers), 8, dtype=np.float32)[: self.speakers]
        return Heard(turns=list(self.turns), voices=list(self.voices), embeddings=vectors)


def said(listener, stretches, rate=RATE, seconds=60, **options):
    audio = Samples(np.ones(round(seconds * rate), np.int16), rate)
    turns = Windowed(Options(**options), listener).turns(audio, 0, stretches, rate)
    return [(t.speaker, frames(t.start, rate), frames(t.end, rate), t.overlaps) for t in turns]


def test_pauses_belong_to_the_nearer_voice_and_longer_rests_to_nobody():
    listener = Says([(0.9, 3.0, 0), (4.0, 6.0, 1), (12.0, 14.0, 0)])
    assert said(listener, [(0, 20 * RATE)]) == [
        ("spk0", 0, 56_000, ()),  # its 0.9 s of silence before, and half the pause after
        ("spk1", 56_000, 104_000, ()),  # half a second after it
        (NOBODY, 104_000, 184_000, ()),
        ("spk0", 184_000, 232_000, ()),
        (NOBODY, 232_000, 320_000, ()),
    ]


def test_a_stretch_without_a_voice_is_nobodys_however_short():
    listener = Says([(0.0, 1.0, 0)])
    assert said(listener, [(0, RATE), (2 * RATE, 2 * RATE + 50), (3 * RATE, 9 * RATE)]) == [
        ("spk0", 0, RATE, ()),
        (NOBODY, 2 * RATE, 2 * RATE + 50, ()),
        (NOBODY, 3 * RATE, 9 * RATE, ()),
    ]
    assert said(Says([]), [(0, RATE)]) == [(NOBODY, 0, RATE, ())]
    assert said(Says([]), []) == []


def test_stretches_that_touch_share_their_voices():
    listener = Says([(0.0, 1.0, 0)])
    assert said(listener, [(0, RATE), (RATE, RATE + 4_000)]) == [
        ("spk0", 0, RATE, ()),
        ("spk0", RATE, RATE + 4_000, ()),
    ]


def test_short_turns_go_to_the_longer_neighbour_but_never_to_nobody():
    listener = Says([(0.0, 4.0, 0), (4.0, 4.2, 1), (4.2, 5.0, 2), (10.0, 10.1, 1)])
    assert [row[:3] for row in said(listener, [(0, 16 * RATE)])] == [
        ("spk0", 0, 67_200),
        ("spk1", 67_200, 88_000),
        (NOBODY, 88_000, 152_000),
        ("spk2", 152_000, 169_600),
        (NOBODY, 169_600, 256_000),
    ]
    kept = said(listener, [(0, 16 * RATE)], min_turn_seconds=0.0)
    assert [row[0] for row in kept[:3]] == ["spk0", "spk1", "spk2"]


def test_overlap_is_told_where_two_different_voices_sound():
    listener = Says(
        [(0.0, 6.0, 0), (6.0, 12.0, 1)],
        [(0.0, 8.0, 0), (5.0, 12.0, 1), (7.0, 9.0, 2), (10.0, 11.0, 1)],
    )
    assert said(listener, [(0, 12 * RATE)]) == [
        ("spk0", 0, 6 * RATE, ((5 * RATE, 6 * RATE),)),
        ("spk1", 6 * RATE, 12 * RATE, ((6 * RATE, 9 * RATE),)),
    ]


def test_overlap_stays_inside_the_stretches():
    listener = Says([(0.0, 9.0, 0)], [(0.0, 9.0, 0), (0.5, 9.0, 1)])
    assert said(listener, [(1_600, RATE), (2 * RATE, 3 * RATE)]) == [
        ("spk0", 1_600, RATE, ((1_600 + 8_000, RATE),)),
        ("spk0", 2 * RATE, 3 * RATE, ((2 * RATE, 3 * RATE),)),
    ]


def test_turns_that_are_not_exclusive_are_made_so():
    listener = Says([(0.0, 4.0, 0), (3.0, 6.0, 1), (3.5, 3.9, 0)])
    assert [row[:3] for row in said(listener, [(0, 6 * RATE)])] == [
        ("spk0", 0, 4 * RATE),
        ("spk1", 4 * RATE, 6 * RATE),
    ]


def test_the_listener_hears_silence_between_stretches_and_no_more_than_a_window():
    listener = Says([])
    said(listener, [(8_000, 16_000), (32_000, 40_000), (500_000, 516_000)])
    (window,) = listener.heard
    assert len(window) == 8_000 + 16_000 + 8_000 + 32_000 + 16_000
    level = np.float32(1 / 32768)
    assert np.all(window[:8_000] == level) and np.all(window[8_000:24_000] == 0)
    assert np.all(window[24_000:32_000] == level) and np.all(window[32_000:64_000] == 0)
    listener = Says([])
    said(listener, [(0, 60 * RATE)], window_seconds=20.0, window_overlap_seconds=5.0)
    assert [len(window) for window in listener.heard] == pytest.approx([18.75 * RATE] * 4, abs=1)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_recordings_at_another_rate_are_heard_at_16_khz(rate):
    listener = Says([(0.5, 2.5, 0)])
    turns = said(listener, [(0, 3 * rate)], rate=rate)
    assert [len(window) for window in listener.heard] == [3 * RATE]
    assert turns == [("spk0", 0, 3 * rate, ())]


# A listener that hears: which of four tones sounds in each tenth of a second.
HERTZ = (300, 700, 1500, 3100)


class Tones:
    """Names tones in the order in which they appear in the window, so that names differ."""

    def hear(self, samples, most_speakers):
        size = RATE // 10
        rows = samples[: len(samples) // size * size].reshape(-1, size)
        spectrum = np.abs(np.fft.rfft(rows, axis=1))[:, [hertz // 10 for hertz in HERTZ]]
        found = [int(row.argmax()) if row.max() > 1 else None for row in spectrum]
        order = list(dict.fromkeys(tone for tone in found if tone is not None))
        turns = [
            (place / 10, (place + 1) / 10, order.index(tone))
            for place, tone in enumerate(found)
            if tone is not None
        ]
        return Heard(turns, turns, np.eye(4, dtype=np.float32)[order].reshape(-1, 4))


def tone(hertz: float, length: int, rate: int) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(length) / rate)).astype(np.int16)


@pytest.mark.parametrize("overlap", [0.0, 3.0])
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_windows_change_nothing_where_the_voices_are_clear(rate, overlap):
    draw = np.random.default_rng(3)
    sound, stretches, place = [], [], 0
    for number in range(60):
        hertz = HERTZ[int(draw.integers(4)) if number > 20 else number % 2]  # two come later
        length = round(float(draw.integers(8, 50)) / 10 * rate)
        gap = round(float(draw.integers(1, 40)) / 10 * rate)
        stretches.append((place, place + length))
        sound += [tone(hertz, length, rate), np.zeros(gap, np.int16)]
        place += length + gap
    audio = Samples(np.concatenate(sound), rate)
    whole = Windowed(Options(), Tones()).turns(audio, 0, stretches, rate)
    audio.longest = 0
    options = Options(window_seconds=20.0, window_overlap_seconds=overlap)
    parts = Windowed(options, Tones()).turns(audio, 0, stretches, rate)
    assert len({turn.speaker for turn in whole}) == 4
    assert parts == whole
    assert audio.longest <= 20 * rate


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 120_000)), min_size=1, max_size=8),
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0.01, 9), st.integers(0, 3), st.booleans()),
        max_size=14,
    ),
    st.sampled_from([16_000, 24_000]),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.sampled_from([4.0, 11.0, 1200.0]),
)
def test_every_frame_has_one_turn_whatever_is_heard(gaps, voices, rate, least, size):
    place, stretches = 0, []
    for gap, length in gaps:
        stretches.append((place + gap, place + gap + length))
        place += gap + length
    every = [(start, start + length, who) for start, length, who, _ in voices]
    listener = Says([v for v, (*_, alone) in zip(every, voices, strict=True) if alone], every, 4)
    options = Options(min_turn_seconds=least, window_seconds=size, window_overlap_seconds=size / 4)
    audio = Samples(np.ones(place, np.int16), rate)
    turns = Windowed(options, listener).turns(audio, 0, stretches, rate)
    rest = iter(turns)
    for start, end in stretches:
        speaker = None
        while start < end:
            turn = next(rest)
            first, last = frames(turn.start, rate), frames(turn.end, rate)
            assert first == start and start < last <= end
            assert turn.speaker != speaker
            reached = first
            for a, b in turn.overlaps:
                assert reached <= a < b <= last
                reached = b
            assert turn.speaker != NOBODY or turn.overlaps == ()
            start, speaker = last, turn.speaker
    assert next(rest, None) is None
    named = list(dict.fromkeys(t.speaker for t in turns if t.speaker != NOBODY))
    assert named == [f"spk{number}" for number in range(len(named))]
