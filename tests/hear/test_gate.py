"""Every rule of the gate: what it drops, at the threshold, and that None is off and 0 is 0."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Drop, Recording, Segment, frames, segment_id
from transforms.hear.gate import Gate, clipped_ratio, level_spread
from transforms.step import Scope

RATE = 16_000
RECORDING = "ab" * 32


class Tape:
    """Samples of one recording in memory; it counts what is read."""

    rate = RATE

    def __init__(self, *channels: np.ndarray) -> None:
        self._channels = [channel.astype(np.int16) for channel in channels]
        self.read_frames = 0

    def channels(self) -> Sequence[int]:
        return range(len(self._channels))

    def length(self, channel: int) -> int:
        return len(self._channels[channel])

    def read(self, channel: int, start: int, end: int) -> np.ndarray:
        assert 0 <= start <= end <= self.length(channel)
        self.read_frames += end - start
        return self._channels[channel][start:end]


def scope(tape: Tape) -> Scope:
    root = Recording(id=RECORDING, uri="x.wav", size=1, seconds=1.0)
    return Scope(root=root, seed=17, audio=tape)


def segment(start: float, end: float, channel: int = 0, speech: float | None = None) -> Segment:
    first, last = frames(start, RATE), frames(end, RATE)
    return Segment(
        id=segment_id(RECORDING, channel, first, last, RATE),
        recording=RECORDING,
        channel=channel,
        start=first / RATE,
        end=last / RATE,
        rate=RATE,
        speech_seconds=(last - first) / RATE if speech is None else speech,
    )


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE))


def off(**rules) -> Gate:
    return Gate(**({"min_segment_seconds": None} | rules))


def judged(gate: Gate, records: list[Segment], tape: Tape) -> list[str]:
    """The reason of each record, "kept" where it stays; in the order of the records."""
    out = list(gate(records, gate.load(), scope(tape)))
    assert [r.id for r in out] == [r.id for r in records]
    for before, after in zip(records, out, strict=True):
        if isinstance(after, Drop):
            assert after.seconds == before.seconds and after.step == "gate"
            assert after.reason in gate.reasons and after.root == RECORDING
            assert after.score is not None and after.threshold is not None
        else:
            assert after == before
    return [r.reason if isinstance(r, Drop) else "kept" for r in out]


def test_all_rules_off_keep_everything_and_read_nothing():
    tape = Tape(np.zeros(5 * RATE))
    assert judged(off(), [segment(0, 0.001), segment(1, 4)], tape) == ["kept", "kept"]
    assert tape.read_frames == 0
    assert list(Gate()([], None, scope(tape))) == []


def test_short_segments_leave():
    tape = Tape(np.zeros(5 * RATE))
    records = [segment(0, 0.2), segment(1, 1.25), segment(2, 2.3)]
    assert judged(Gate(), records, tape) == ["short_segment", "kept", "kept"]
    assert judged(off(min_segment_seconds=0.0), records, tape) == ["kept"] * 3
    (drop, *_) = Gate()(records, None, scope(tape))
    assert (drop.score, drop.threshold) == (0.2, 0.25)
    assert drop.detail == "channel 0, 0.00-0.20 s"


def test_a_recording_with_little_speech_leaves_whole():
    tape = Tape(np.zeros(100 * RATE), np.zeros(100 * RATE))
    records = [segment(0, 3, speech=1.5), segment(5, 8, channel=1, speech=1.0)]
    assert judged(off(min_recording_speech_seconds=3.0), records, tape) == ["little_speech"] * 2
    assert judged(off(min_recording_speech_seconds=2.5), records, tape) == ["kept"] * 2


def test_speech_ratio_is_of_the_channel_not_of_the_segments():
    tape = Tape(np.zeros(100 * RATE), np.zeros(10 * RATE))
    records = [segment(0, 5), segment(10, 15, speech=4.0), segment(0, 5, channel=1)]
    assert judged(off(min_speech_ratio=0.1), records, tape) == [
        "low_speech_ratio",
        "low_speech_ratio",
        "kept",
    ]
    assert judged(off(min_speech_ratio=0.09), records, tape) == ["kept"] * 3
    (drop, *_) = off(min_speech_ratio=0.1)(records, None, scope(tape))
    assert (drop.score, drop.threshold) == (pytest.approx(0.09), 0.1)


def test_the_loudest_channel_is_kept():
    tape = Tape(noise(10, 100), noise(10, 3000))
    records = [segment(0, 5), segment(0, 5, channel=1), segment(6, 9)]
    gate = off(channels="loudest")
    assert judged(gate, records, tape) == ["quiet_channel", "kept", "quiet_channel"]
    assert judged(gate, [records[0], records[2]], tape) == ["kept", "kept"]
    equal = Tape(noise(10, 100), noise(10, 100))
    assert judged(gate, records[:2], equal) == ["kept", "quiet_channel"]


def test_crosstalk_leaves_where_the_other_channel_is_louder_at_that_time():
    loud, faint = noise(10, 3000), noise(10, 30, seed=1)
    left = np.concatenate([loud[: 5 * RATE], faint[5 * RATE :]])
    right = np.concatenate([faint[: 5 * RATE], loud[5 * RATE :]])
    records = [segment(0, 4), segment(6, 9), segment(0, 4, channel=1), segment(6, 9, channel=1)]
    gate = off(max_crosstalk_db=20.0)
    assert judged(gate, records, Tape(left, right)) == ["kept", "crosstalk", "crosstalk", "kept"]
    assert judged(off(max_crosstalk_db=45.0), records, Tape(left, right)) == ["kept"] * 4
    assert judged(off(max_crosstalk_db=-50.0), [segment(0, 4)], Tape(left)) == ["kept"]
    short = Tape(left, right[:RATE])
    assert judged(gate, [segment(6, 9)], short) == ["kept"]


def test_clipped_segments_leave():
    samples = noise(4, 1000)
    samples[: RATE // 10] = 32767
    samples[2 * RATE : 2 * RATE + 16] = -32768
    tape = Tape(samples)
    records = [segment(0, 1), segment(2, 3)]
    assert judged(off(max_clipped_ratio=0.01), records, tape) == ["clipped", "kept"]
    assert judged(off(max_clipped_ratio=0.0), records, tape) == ["clipped", "clipped"]
    assert clipped_ratio(tape.read(0, 0, RATE)) == pytest.approx(0.1)
    assert clipped_ratio(np.zeros(0, np.int16)) == 0.0


def test_noisy_segments_leave():
    bursts = np.tile(np.concatenate([noise(0.5, 3000), noise(0.5, 30, seed=1)]), 4)
    flat = noise(4, 3000, seed=2)
    tape = Tape(np.concatenate([bursts, flat]))
    records = [segment(0, 4), segment(4, 8)]
    assert judged(off(min_snr_db=10.0), records, tape) == ["kept", "low_snr"]
    assert level_spread(tape.read(0, 0, 4 * RATE), RATE) == pytest.approx(40, abs=3)
    assert level_spread(tape.read(0, 4 * RATE, 8 * RATE), RATE) < 3
    assert level_spread(np.zeros(10, np.int16), RATE) == 0.0
    assert level_spread(np.zeros(RATE, np.int16), RATE) == 0.0


def test_the_first_broken_rule_is_named():
    tape = Tape(np.full(10 * RATE, 32767))
    gate = Gate(
        min_recording_speech_seconds=0.1,
        min_speech_ratio=0.5,
        min_segment_seconds=2.0,
        max_clipped_ratio=0.0,
    )
    assert judged(gate, [segment(0, 1)], tape) == ["low_speech_ratio"]
    assert judged(gate, [segment(0, 1), segment(2, 9)], tape) == ["short_segment", "clipped"]


@given(
    spans=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1)), max_size=6),
    ratio=st.none() | st.floats(0, 1),
    least=st.none() | st.floats(0, 5),
    total=st.none() | st.floats(0, 20),
    loudest=st.sampled_from([None, "loudest"]),
    snr=st.none() | st.floats(-10, 60),
)
def test_nothing_is_lost(spans, ratio, least, total, loudest, snr):
    tape = Tape(noise(10, 100), noise(10, 200, seed=1))
    records = [segment(min(a, b), max(a, b), channel=c) for a, b, c in dict.fromkeys(spans)]
    gate = Gate(
        min_speech_ratio=ratio,
        min_segment_seconds=least,
        min_recording_speech_seconds=total,
        channels=loudest,
        min_snr_db=snr,
    )
    assert len(judged(gate, records, tape)) == len(records)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Gate(min_speech_ratio=20.0)
    with pytest.raises(ValueError, match="'loudest'"):
        Gate(channels="left")
    with pytest.raises(ValueError, match="Extra inputs"):
        Gate(min_speech=1.0)
