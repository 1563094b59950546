"""Clips cut at the cues of a given transcript: every frame once, each clip its cue's text."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Clip, Cue, Drop, Task, clip_id, frames, task_id
from transforms.annotate.cues import Cues, dealt
from transforms.annotate.transcribe import Transcribe
from transforms.engines import recognizer
from transforms.step import Scope

RATE = 8_000
RECORDING = "cd" * 32


class Tape:
    rate = RATE

    def channels(self):
        return (0,)

    def length(self, channel):
        return 60 * RATE

    def read(self, channel, start, end):
        assert 0 <= start <= end <= 60 * RATE
        return np.arange(start, end).astype(np.int16)


def scope(*cues: Cue) -> Scope:
    name = task_id(RECORDING, None, None, None, None, cues)
    return Scope(root=Task(id=name, recording=RECORDING, cues=cues), seed=1, audio=Tape())


def clip(start: float, end: float, speaker: str = "spk0") -> Clip:
    first, last = frames(start, RATE), frames(end, RATE)
    return Clip(
        id=clip_id("ab" * 16, 0, first, last, RATE, speaker),
        task="ab" * 16,
        recording=RECORDING,
        channel=0,
        index=0,
        start=start,
        end=end,
        rate=RATE,
        speaker=speaker,
    )


def spans(found):
    return [(one.start, one.end) for one in found]


def test_one_clip_per_cue_and_the_rest_leaves_with_a_reason():
    cues = (Cue(start=1, end=2, text="a", speaker="Ana"), Cue(start=2, end=3.5, text="b c"))
    found = list(Cues()([clip(0.5, 10)], None, scope(*cues)))
    kept = [one for one in found if isinstance(one, Clip)]
    gone = [one for one in found if isinstance(one, Drop)]
    assert spans(kept) == [(1, 2), (2, 3.5)] and spans(gone) == [(0.5, 1), (3.5, 10)]
    assert {drop.reason for drop in gone} == {"outside_cues"}
    assert [(one.speaker, one.speaker_given) for one in kept] == [("Ana", True), ("spk0", False)]
    assert [one.index for one in kept] == [0, 1] and len({one.id for one in kept}) == 2
    assert len({one.pcm_sha256 for one in kept}) == 2


def test_speakers_of_cues_can_be_left_aside():
    (kept,) = Cues(trust_speakers=False)(
        [clip(0, 1)], None, scope(Cue(start=0, end=1, text="a", speaker="Ana"))
    )
    assert (kept.speaker, kept.speaker_given) == ("spk0", False)


def test_clips_without_cues_pass_as_they_are():
    one = clip(0, 1)
    assert list(Cues()([one], None, scope())) == [one]


def test_each_clip_is_given_its_own_cue_word_for_word():
    cues = (Cue(start=0, end=1, text="One."), Cue(start=1, end=4, text="Two three, four."))
    of = scope(*cues)
    cut = list(Cues()([clip(0, 4)], None, of))
    model = (recognizer.load("given"),)
    done = list(Transcribe(engines=("given",))(cut, model, of))
    assert [(one.text, one.quality) for one in done] == [
        ("One.", "given"),
        ("Two three, four.", "given"),
    ]


def test_a_cue_heard_in_two_clips_is_shared_by_duration():
    cues = (Cue(start=0, end=4, text="one two three four"), Cue(start=4, end=5, text="five"))
    assert dealt(cues, [clip(0, 2), clip(2, 4.6), clip(4.6, 5), clip(6, 7)]) == [
        "one two",
        "three four five",
        "",
        "",
    ]


CUTS = st.lists(st.integers(0, 400), min_size=2, max_size=12, unique=True).map(sorted)


@settings(max_examples=200)
@given(CUTS, CUTS)
def test_every_frame_of_a_clip_is_kept_or_dropped_once(edges, cues):
    clips = [clip(a / 10, b / 10) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    timed = tuple(
        Cue(start=a / 10, end=b / 10, text="x") for a, b in zip(cues[::2], cues[1::2], strict=False)
    )
    found = list(Cues()(clips, None, scope(*timed)))
    covered = sorted((frames(one.start, RATE), frames(one.end, RATE)) for one in found)
    wanted = [f for c in clips for f in range(frames(c.start, RATE), frames(c.end, RATE), 80)]
    assert [f for a, b in covered for f in range(a, b, 80)] == wanted
    inside = [one for one in found if isinstance(one, Clip)]
    assert all(any(c.start <= o.start and o.end <= c.end for c in timed) for o in inside)


def test_overlapped_seconds_are_shared():
    one = dataclasses.replace(clip(0, 4), overlap_seconds=2.0)
    kept = [
        found
        for found in Cues()([one], None, scope(Cue(start=1, end=2, text="a")))
        if isinstance(found, Clip)
    ]
    assert [found.overlap_seconds for found in kept] == [0.5]
