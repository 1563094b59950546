"""The step diarize: every frame of a segment is in exactly one clip or drop, whatever the engine
says, and what was given is believed."""

import dataclasses
import hashlib
import itertools

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ids import digest_of
from schemas.records import AudioRef, Clip, Drop, Segment, Task, Turn, clip_id, frames, segment_id
from transforms.annotate.diarize import Diarize
from transforms.engines.device_memory import NoRoomError
from transforms.engines.turns import NOBODY, Spoken
from transforms.step import Scope, registry

RECORDING = "ab" * 32
TASK = digest_of("a task")


class Samples:
    """Channels of PCM16 in memory, as a scope's audio; counts what is read."""

    def __init__(self, channels: dict[int, np.ndarray], rate: int = 16_000) -> None:
        self._channels, self.rate, self.reads = channels, rate, 0

    def channels(self):
        return sorted(self._channels)

    def length(self, channel: int) -> int:
        return len(self._channels[channel])

    def read(self, channel: int, start: int, end: int) -> np.ndarray:
        assert 0 <= start <= end <= self.length(channel)
        self.reads += 1
        return self._channels[channel][start:end]


class Cutter:
    """A diarizer that cuts stretches at given places and deals speakers out in turn."""

    def __init__(self, cuts=(), speakers: int = 2) -> None:
        self._cuts, self._speakers = sorted(cuts), speakers

    def turns(self, audio, channel, stretches, rate):
        found, names = [], itertools.count()
        for start, end in stretches:
            inner = [cut for cut in self._cuts if start < cut < end]
            for first, last in itertools.pairwise([start, *dict.fromkeys(inner), end]):
                speaker = f"spk{next(names) % self._speakers}"
                found.append(Turn(speaker=speaker, start=first / rate, end=last / rate))
        return found

    def fingerprint(self):
        return {}


def segment(start: int, end: int, channel: int = 0, rate: int = 16_000, stored=True) -> Segment:
    tar = AudioRef(tar="cd" * 32, offset=512, size=9, start=100, end=100 + end - start, rate=rate)
    return Segment(
        id=segment_id(RECORDING, channel, start, end, rate),
        recording=RECORDING,
        channel=channel,
        start=start / rate,
        end=end / rate,
        rate=rate,
        speech_seconds=0.0,
        audio=tar if stored else None,
        source_rate=44_100,
        codec="mp3",
        partial=channel == 1,
    )


def run(step, records, model, *, speaker=None, channels=(0,), rate=16_000, seconds=30):
    draw = np.random.default_rng(5)
    audio = Samples(
        {c: draw.integers(-900, 900, seconds * rate).astype(np.int16) for c in channels}, rate
    )
    task = Task(id=TASK, recording=RECORDING, speaker=speaker)
    return list(step(records, model, Scope(root=task, seed=1, audio=audio))), audio


def check_conserved(segments, results):
    """Every frame of every segment in exactly one clip or drop, at the right place of its FLAC."""
    rest = sorted(
        (r for r in results if isinstance(r, Clip)), key=lambda clip: (clip.channel, clip.start)
    )
    dropped = {r.id: r for r in results if isinstance(r, Drop)}
    for one in sorted(segments, key=lambda s: (s.channel, s.start)):
        if one.id in dropped:
            assert dropped[one.id].seconds == one.seconds
            continue
        place = first = frames(one.start, one.rate)
        while place < frames(one.end, one.rate):
            clip = rest.pop(0)
            begin, end = frames(clip.start, one.rate), frames(clip.end, one.rate)
            assert (clip.channel, begin) == (one.channel, place)
            assert clip.id == clip_id(TASK, one.channel, begin, end, one.rate, clip.speaker)
            if one.audio:
                assert clip.audio == one.audio.cut(begin - first, end - first)
            else:
                assert clip.audio is None
            place = end
        assert place == frames(one.end, one.rate)
    assert rest == []
    total = sum(frames(r.seconds, s.rate) for s in segments[:1] for r in results)
    assert total == sum(frames(s.seconds, s.rate) for s in segments)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(1, 40_000), st.integers(0, 2)), max_size=7
    ),
    st.lists(st.integers(1, 300_000), max_size=12),
    st.integers(1, 4),
    st.sampled_from([16_000, 24_000]),
    st.randoms(use_true_random=False),
)
def test_every_frame_is_kept_once(layout, cuts, speakers, rate, chance):
    places = {0: 0, 1: 0, 2: 0}
    segments = []
    for gap, length, channel in layout:
        start = places[channel] + gap
        segments.append(segment(start, start + length, channel, rate, stored=bool(gap % 2)))
        places[channel] = start + length
    engine = Cutter(cuts, speakers)
    expected, _ = run(Diarize(), segments, engine, channels=(0, 1, 2), rate=rate)
    check_conserved(segments, expected)
    assert [clip.index for clip in expected] == list(range(len(expected)))
    assert len({clip.id for clip in expected}) == len(expected)
    shuffled = list(segments)
    chance.shuffle(shuffled)
    assert run(Diarize(), shuffled, engine, channels=(0, 1, 2), rate=rate)[0] == expected


def test_clip_carries_what_its_segment_knows():
    one = segment(1600, 48_000)
    results, audio = run(Diarize(), [one], Cutter([16_000]))
    assert [(clip.start, clip.end, clip.speaker) for clip in results] == [
        (0.1, 1.0, "spk0"),
        (1.0, 3.0, "spk1"),
    ]
    second = results[1]
    assert (second.task, second.recording, second.rate) == (TASK, RECORDING, 16_000)
    assert (second.source_rate, second.codec, second.partial) == (44_100, "mp3", False)
    assert (second.speaker_given, second.text, second.quality) == (False, "", "")
    samples = audio.read(0, 16_000, 48_000).astype("<i2").tobytes()
    assert second.pcm_sha256 == hashlib.sha256(samples).hexdigest()


def test_channels_kept_apart_are_different_people():
    segments = [segment(0, 16_000, 1), segment(0, 32_000, 0), segment(40_000, 56_000, 0)]
    results, _ = run(Diarize(), segments, Cutter(), channels=(0, 1))
    assert [clip.speaker for clip in results] == ["ch0-spk0", "ch0-spk1", "ch1-spk0"]
    assert [clip.partial for clip in results] == [False, False, True]
    only_second, _ = run(Diarize(), segments[:1], Cutter(), channels=(0, 1))
    assert [clip.speaker for clip in only_second] == ["spk0"]


class Forbidden:
    def turns(self, audio, channel, stretches, rate):
        raise AssertionError("the engine was asked although the speaker was given")


def test_given_speaker_is_believed_and_no_engine_is_asked():
    segments = [segment(0, 16_000), segment(20_000, 36_000, 1)]
    results, _ = run(Diarize(), segments, Forbidden(), speaker="Ann", channels=(0, 1))
    check_conserved(segments, results)
    assert [(clip.speaker, clip.speaker_given) for clip in results] == [("Ann", True)] * 2


def test_given_speaker_is_not_believed_when_the_recipe_says_so():
    step = Diarize(trust_given=False)
    results, _ = run(step, [segment(0, 16_000)], Cutter(), speaker="Ann")
    assert [(clip.speaker, clip.speaker_given) for clip in results] == [("spk0", False)]


def test_engine_given_uses_the_name_or_drops():
    for trust in (True, False):
        step = Diarize(engine="given", trust_given=trust)
        assert step.load() is None and step.fingerprint() is None
        named, _ = run(step, [segment(0, 16_000)], step.load(), speaker="Ann")
        assert [(clip.speaker, clip.speaker_given) for clip in named] == [("Ann", True)]
        segments = [segment(0, 16_000), segment(20_000, 21_000)]
        dropped, audio = run(step, segments, step.load())
        check_conserved(segments, dropped)
        assert [drop.reason for drop in dropped] == ["no_speaker_given"] * 2
        assert {drop.step for drop in dropped} == {"diarize"} and audio.reads == 0
        assert set(Diarize.reasons) >= {drop.reason for drop in dropped}
        assert {drop.root for drop in dropped} == {RECORDING}


def test_nothing_in_nothing_out():
    assert run(Diarize(), [], Cutter())[0] == []


class Answers:
    """A diarizer that hears what it is told: (speaker, start, end, overlaps), in frames."""

    def __init__(self, *turns) -> None:
        self._turns = turns

    def turns(self, audio, channel, stretches, rate):
        return [
            Spoken(speaker=name, start=a / rate, end=b / rate, overlaps=tuple(overlaps))
            for name, a, b, overlaps in self._turns
        ]


def spans(results, rate=16_000):
    """(speaker or reason, first frame, frame after the last, overlapped frames), in time."""
    found = [
        (r.speaker, frames(r.start, rate), frames(r.end, rate), frames(r.overlap_seconds, rate))
        if isinstance(r, Clip)
        else (r.reason, frames(r.start, rate), frames(r.end, rate), frames(r.seconds, rate))
        for r in results
    ]
    return sorted(found, key=lambda span: span[1])


def test_overlap_is_marked_on_clips_and_what_nobody_says_is_dropped():
    engine = Answers(
        ("spk0", 0, 40_000, [(1_000, 1_500), (30_000, 40_000)]),
        (NOBODY, 40_000, 60_000, []),
        ("spk1", 60_000, 80_000, []),
    )
    results, _ = run(Diarize(), [segment(0, 80_000)], engine)
    assert spans(results) == [
        ("spk0", 0, 40_000, 10_500),
        ("no_speaker", 40_000, 60_000, 20_000),
        ("spk1", 60_000, 80_000, 0),
    ]
    assert [clip.index for clip in results if isinstance(clip, Clip)] == [0, 1]
    drop = next(r for r in results if isinstance(r, Drop))
    assert (drop.id, drop.root, drop.step) == (segment(0, 80_000).id, RECORDING, "diarize")


def test_overlap_can_be_dropped_with_what_it_leaves_too_short():
    engine = Answers(
        ("spk0", 0, 100_000, [(20_000, 30_000), (34_000, 40_000), (60_000, 60_900)]),
        ("spk1", 100_000, 200_000, [(103_000, 110_000), (190_000, 195_000)]),
        ("spk0", 200_000, 210_000, [(200_000, 210_000)]),
    )
    results, _ = run(Diarize(overlap="drop"), [segment(0, 210_000)], engine)
    assert spans(results) == [
        ("spk0", 0, 20_000, 0),
        ("overlap", 20_000, 40_000, 20_000),  # a quarter of a second between two overlaps goes too
        ("spk0", 40_000, 100_000, 900),  # under a tenth of a second: marked, not cut out
        ("overlap", 100_000, 110_000, 10_000),
        ("spk1", 110_000, 190_000, 0),
        ("overlap", 190_000, 200_000, 10_000),
        ("overlap", 200_000, 210_000, 10_000),
    ]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60_000), st.sampled_from(["spk0", "spk1", NOBODY])), min_size=1
    ),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 20_000)), max_size=12),
    st.sampled_from(["keep", "drop"]),
    st.sampled_from([0.0, 0.5, 3.0]),
)
def test_every_frame_is_in_one_clip_or_drop(lengths, voices, overlap, least):
    turns, place = [], 0
    for length, name in lengths:
        turns.append((name, place, place + length))
        place += length
    both, reached = [], 0
    for gap, length in voices:
        both.append((reached + gap, reached + gap + length))
        reached += gap + length
    answer = Answers(
        *(
            (name, a, b, [(max(a, c), min(b, d)) for c, d in both if c < b and d > a])
            for name, a, b in turns
        )
    )
    step = Diarize(overlap=overlap, min_turn_seconds=least)
    results, _ = run(step, [segment(0, place)], answer, seconds=1 + place // 16_000)
    found = spans(results)
    assert [start for _, start, *_ in found] == [0, *(end for _, _, end, _ in found)][:-1]
    assert found[-1][2] == place
    assert all(span[3] == span[2] - span[1] for span in found if span[0] in Diarize.reasons)
    if overlap == "drop":
        cut = [span for span in found if span[0] == "overlap"]
        assert all(span[3] >= 1_600 for span in cut)
        longest = round(0.1 * 16_000)
        for name, a, b in turns:
            for c, d in both:
                inside = (max(a, c), min(b, d))
                if name != NOBODY and inside[1] - inside[0] >= longest:
                    assert any(s[1] <= inside[0] and inside[1] <= s[2] for s in cut)


def test_overlaps_out_of_place_are_a_bug():
    for overlaps in ([(5, 5)], [(0, 20_000)], [(10, 20), (15, 30)], [(30, 40), (10, 20)]):
        engine = Answers(("spk0", 0, 16_000, overlaps))
        with pytest.raises(ValueError, match="overlaps out of place"):
            run(Diarize(), [segment(0, 16_000)], engine)


def test_a_full_device_costs_the_channel_and_nothing_else():
    class Full(Cutter):
        def turns(self, audio, channel, stretches, rate):
            if channel == 1:
                raise NoRoomError("CUDA out of memory")
            return super().turns(audio, channel, stretches, rate)

    segments = [segment(0, 16_000), segment(0, 8_000, 1), segment(9_000, 20_000, 1)]
    results, _ = run(Diarize(), segments, Full(), channels=(0, 1))
    assert spans(results) == [
        ("ch0-spk0", 0, 16_000, 0),
        ("oom", 0, 8_000, 8_000),
        ("oom", 9_000, 20_000, 11_000),
    ]
    assert {r.id for r in results if isinstance(r, Drop)} == {s.id for s in segments[1:]}


def _bad(change):
    class Bad(Cutter):
        def turns(self, audio, channel, stretches, rate):
            return change(super().turns(audio, channel, stretches, rate))

    return Bad([8000])


@pytest.mark.parametrize(
    "change",
    [
        lambda turns: turns[1:],
        lambda turns: turns[:-1],
        lambda turns: [],
        lambda turns: [*turns, turns[-1]],
        lambda turns: [turns[0], dataclasses.replace(turns[1], start=0.49)],
        lambda turns: [turns[0], dataclasses.replace(turns[1], start=0.51)],
        lambda turns: [turns[0], dataclasses.replace(turns[1], end=1.01)],
        lambda turns: turns[::-1],
        lambda turns: [dataclasses.replace(turns[0], end=turns[0].start), *turns],
    ],
)
def test_an_engine_that_loses_frames_is_a_bug(change):
    with pytest.raises(ValueError, match="diarizer"):
        run(Diarize(), [segment(0, 16_000), segment(17_000, 18_000)], _bad(change))


def test_audio_at_another_rate_is_a_bug():
    with pytest.raises(ValueError, match="16000 Hz, its audio at 24000"):
        run(Diarize(), [segment(0, 16_000)], Cutter(), rate=24_000)


def test_settings_are_strict():
    with pytest.raises(pydantic.ValidationError, match=r"did you mean 'resemblyzer'.*given"):
        Diarize(engine="resemblizer")
    for field, value in [
        ("min_turn_seconds", -0.1),
        ("max_speakers", 0),
        ("same_speaker", 0.0),
        ("block_windows", 10),
        ("window_seconds", 5.0),
        ("link_similarity", 0.0),
        ("device", "gpu"),
        ("overlap", "cut"),
        ("nobody", 1),
    ]:
        with pytest.raises(pydantic.ValidationError, match=field):
            Diarize(**{field: value})
    with pytest.raises(pydantic.ValidationError, match="more than half of window_seconds 100"):
        Diarize(window_seconds=100.0, window_overlap_seconds=51.0)
    with pytest.raises(pydantic.ValidationError, match="names no pipeline"):
        Diarize(engine="pyannote/")
    assert Diarize(engine="pyannote/models/mine").engine == "pyannote/models/mine"
    assert Diarize(min_turn_seconds=0.0).min_turn_seconds == 0.0


def test_settings_reach_the_engine():
    options = (
        Diarize(
            min_turn_seconds=0.0,
            max_speakers=3,
            block_windows=200,
            same_speaker=0.9,
            window_seconds=600,
            window_overlap_seconds=30,
            link_similarity=0.8,
        )
        .load()
        ._options
    )
    assert dataclasses.asdict(options) == {
        "min_turn_seconds": 0.0,
        "max_speakers": 3,
        "block_windows": 200,
        "same_speaker": 0.9,
        "window_seconds": 600.0,
        "window_overlap_seconds": 30.0,
        "link_similarity": 0.8,
    }


def test_registered_under_its_file_name():
    assert registry()["diarize"] is Diarize
    assert Diarize.name() == "diarize" and Diarize().engine == "resemblyzer"


def test_real_engine_gives_the_same_clips_in_any_company():
    """Recordings of noise in three colours: what comes out of one does not depend on the rest."""
    step = Diarize()
    model = step.load()
    jobs = {}
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        draw = np.random.default_rng(seed)
        sound = draw.normal(0, 2000, 30 * 16_000)
        sound = np.convolve(sound, np.ones(seed) / seed, "same").astype(np.int16)
        audio = Samples({0: sound})
        scope = Scope(root=Task(id=TASK, recording=RECORDING), seed=1, audio=audio)
        segments = [segment(place, place + 70_000) for place in range(0, 400_000, 80_000)]
        jobs[name] = (segments, scope)
    alone = {name: list(step(job[0], step.load(), job[1])) for name, job in jobs.items()}
    for order in ("abc", "cba", "bab", "ac"):
        for name in order:
            results = list(step(jobs[name][0], model, jobs[name][1]))
            check_conserved(jobs[name][0], results)
            assert results == alone[name]
