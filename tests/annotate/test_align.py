"""Words of a given text find their times and their clips, through the step and to the policies."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from schemas.records import AudioRef, Clip, Drop, Task, clip_id, frames, task_id
from tests.engines import tone_model
from transforms.annotate.align import Align
from transforms.annotate.sentences import Sentences
from transforms.annotate.transcribe import Transcribe
from transforms.compose.documents import About
from transforms.compose.interleave import Interleave
from transforms.engines import ctc_model
from transforms.engines.models import ModelError
from transforms.step import Scope, registry

RATE = tone_model.RATE
RECORDING = "ab" * 32
NEAR = 0.02  # seconds


class Tape:
    """Samples of one recording in memory."""

    def __init__(self, samples: np.ndarray, rate: int = RATE) -> None:
        self.samples, self.rate = samples, rate

    def channels(self) -> Sequence[int]:
        return (0,)

    def length(self, channel: int) -> int:
        return len(self.samples)

    def read(self, channel: int, start: int, end: int) -> np.ndarray:
        assert channel == 0 and 0 <= start <= end <= len(self.samples)
        return self.samples[start:end]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tone_model.write(tmp_path_factory.mktemp("tones"))


@pytest.fixture
def step(folder) -> Align:
    return Align(model=str(folder))


def clips_of(task: Task, edges: Sequence[float], rate: int = RATE) -> list[Clip]:
    """Clips from each edge to the next."""
    found = []
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        first, last = frames(start, rate), frames(end, rate)
        found.append(
            Clip(
                id=clip_id(task.id, 0, first, last, rate, "spk0"),
                task=task.id,
                recording=RECORDING,
                channel=0,
                index=index,
                start=first / rate,
                end=last / rate,
                rate=rate,
                speaker="spk0",
                audio=AudioRef(tar="0" * 64, offset=0, size=9, start=first, end=last, rate=rate),
            )
        )
    return found


def transcribed(text: str, pcm: np.ndarray, edges: Sequence[float], rate: int = RATE):
    """The clips of a recording with their shares of a given text, and the scope they came in."""
    task = Task(id=task_id(RECORDING, None, text, None, None), recording=RECORDING, text=text)
    scope = Scope(root=task, seed=1, audio=Tape(pcm, rate))
    engine = Transcribe(engines=("given",))
    return list(engine(clips_of(task, edges, rate), engine.load(), scope)), scope


def run(step: Align, clips: Sequence[Clip], scope: Scope) -> list[Clip | Drop]:
    return list(step(clips, step.load(), scope))


def assert_near(words, said) -> None:
    assert len(words) == len(said)
    for word, (start, end) in zip(words, said, strict=True):
        assert word.start == pytest.approx(start, abs=NEAR)
        assert word.end == pytest.approx(end, abs=NEAR)
        assert word.confidence > 0.4


# -- one clip -------------------------------------------------------------------------------


def test_words_of_one_clip_get_the_times_they_were_said_at(step):
    text = "abc  face, bad -\ncab."
    pcm, said = tone_model.say("abc face bad cab", {2: 1.2})
    clips, scope = transcribed(text, pcm, [0, len(pcm) / RATE])
    (done,) = run(step, clips, scope)
    assert done.text == text and done.times == "measured"
    assert [word.text for word in done.words] == ["abc", "face,", "bad", "-", "cab."]
    assert_near([word for word in done.words if word.text != "-"], said)
    dash = done.words[3]
    assert dash.start == dash.end == done.words[2].end and dash.confidence is None
    (answer,) = done.transcripts
    assert (answer.text, answer.words, answer.times) == (done.text, done.words, "measured")
    rest = {"words", "times", "transcripts"}
    for field in dataclasses.fields(Clip):
        if field.name not in rest:
            assert getattr(done, field.name) == getattr(clips[0], field.name)


def test_times_lie_on_the_grid_of_the_recording_at_any_rate(step):
    import soxr

    pcm, said = tone_model.say("abc face bad cab")
    rate = 22_050
    other = soxr.resample(pcm, RATE, rate)
    clips, scope = transcribed("abc face bad cab", other, [0, len(other) / rate], rate)
    (done,) = run(step, clips, scope)
    assert_near(done.words, said)
    for word in done.words:
        assert word.start == frames(word.start, rate) / rate
        assert done.start <= word.start <= word.end <= done.end


# -- several clips --------------------------------------------------------------------------


def test_a_text_is_dealt_anew_to_the_clips_in_which_its_words_were_said(step):
    text = "abc face bad cab hgf edd"
    pcm, said = tone_model.say(text, {1: 3.0, 5: 1.0})
    edges = [0, said[1][0] - 0.3, said[5][0] - 0.5, len(pcm) / RATE]
    clips, scope = transcribed(text, pcm, edges)
    dealt = [clip.text for clip in clips]
    assert dealt != ["abc", "face bad cab hgf", "edd"]  # by duration, which is wrong
    done = run(step, clips, scope)
    assert [clip.text for clip in done] == ["abc", "face bad cab hgf", "edd"]
    assert [clip.id for clip in done] == [clip.id for clip in clips]
    assert {clip.times for clip in done} == {"measured"}
    assert_near([word for clip in done for word in clip.words], said)
    for clip in done:
        assert all(clip.start <= w.start <= w.end <= clip.end for w in clip.words)
    # the order of records is no matter
    assert run(step, clips[::-1], scope) == done[::-1]


def test_a_clip_in_which_nothing_was_said_leaves(step):
    text = "abc face bad"
    pcm, said = tone_model.say(text, {2: 4.0})
    edges = [0, said[1][1] + 0.2, said[2][0] - 0.3, len(pcm) / RATE]
    clips, scope = transcribed(text, pcm, edges)
    assert clips[1].text  # the share of a long pause
    first, gone, last = run(step, clips, scope)
    assert (first.text, last.text) == ("abc face", "bad")
    assert isinstance(gone, Drop) and gone.reason in step.reasons
    assert (gone.id, gone.root, gone.seconds) == (clips[1].id, clips[1].task, clips[1].seconds)
    assert sum(frames(r.seconds, RATE) for r in (first, gone, last)) == len(pcm)


def test_sentences_are_then_cut_in_the_pauses_between_them(step):
    text = "Abc face bad cab. Hgf edd bee."
    pcm, said = tone_model.say(text.lower().replace(".", ""), {4: 1.0})
    clips, scope = transcribed(text, pcm, [0, len(pcm) / RATE])
    cut = Sentences()
    parts = list(cut(run(step, clips, scope), cut.load(), scope))
    assert [part.text for part in parts] == ["Abc face bad cab.", "Hgf edd bee."]
    assert parts[0].end == pytest.approx((said[3][1] + said[4][0]) / 2, abs=NEAR)


# -- what is not believed -------------------------------------------------------------------


def unchanged(step, text, said, **more) -> bool:
    pcm, _ = tone_model.say(said, **more)
    clips, scope = transcribed(text, pcm, [0, len(pcm) / RATE / 2, len(pcm) / RATE])
    assert {clip.times for clip in clips} == {"estimated"}
    return run(step, clips, scope) == clips


def test_a_text_that_was_not_said_stays_as_it_was(step):
    assert unchanged(step, "hhh ggg hgh ghg", "abc face bad cab")
    assert not unchanged(step, "abc face bad cab", "abc face bad cab")


def test_a_text_that_is_longer_than_the_sound_stays_as_it_was(step):
    assert unchanged(step, "abc face " * 200, "abc face")


def test_a_text_in_other_letters_stays_as_it_was(step):
    assert unchanged(step, "да нет да нет", "abc face")
    assert unchanged(step, "1 2 3 4 abc", "abc face")
    assert unchanged(step, "- ? -- !", "abc face")


def test_silence_gives_no_times(step):
    pcm = np.zeros(3 * RATE, np.int16)
    clips, scope = transcribed("abc face", pcm, [0, 3])
    (done,) = run(step, clips, scope)
    assert done.times == "estimated"


def test_a_word_without_letters_is_placed_between_its_neighbours_and_marked(step):
    pcm, said = tone_model.say("abc ---- bad cab")  # silence where a figure is spoken
    clips, scope = transcribed("abc 1984 bad cab", pcm, [0, len(pcm) / RATE])
    (done,) = run(step, clips, scope)
    assert done.times == "estimated"
    abc, figure, bad, _ = done.words
    assert (figure.start, figure.end, figure.confidence) == (abc.end, bad.start, None)
    assert_near([done.words[0], *done.words[2:]], [said[0], *said[2:]])


def test_several_words_without_letters_share_what_there_is(step):
    pcm, _ = tone_model.say("abc face bad cab edd")
    clips, scope = transcribed("1 2 abc face bad cab edd 3 4", pcm, [0, len(pcm) / RATE])
    (done,) = run(step, clips, scope)
    one, two, abc = done.words[:3]
    assert one.start == 0 and one.end == two.start and two.end == abc.start
    assert one.end - one.start == pytest.approx(two.end - two.start, abs=1e-3)
    assert done.words[-1].end == pytest.approx(done.end, abs=1e-3)


# -- other texts ----------------------------------------------------------------------------


def test_a_text_that_was_heard_without_times_is_laid_over_its_own_clip(step):
    pcm, said = tone_model.say("abc face bad cab", {2: 1.0})
    middle = (said[1][1] + said[2][0]) / 2
    task = Task(id=task_id(RECORDING, None, None, None, None), recording=RECORDING)
    scope = Scope(root=task, seed=1, audio=Tape(pcm))
    first, second, empty = clips_of(task, [0, middle, len(pcm) / RATE - 0.05, len(pcm) / RATE])
    clips = [
        dataclasses.replace(first, text="abc face", quality="normal"),
        dataclasses.replace(second, text="bad cab", quality="normal"),
        empty,
    ]
    one, two, same = run(step, clips, scope)
    assert (one.times, two.times) == ("measured", "measured")
    assert_near([*one.words, *two.words], said)
    assert same == empty


def test_measured_times_are_left_alone(step):
    pcm, _ = tone_model.say("abc face")
    clips, scope = transcribed("abc face", pcm, [0, len(pcm) / RATE])
    known = [dataclasses.replace(clip, times="measured") for clip in clips]
    assert run(step, known, scope) == known


# -- through to the policies ----------------------------------------------------------------


@pytest.mark.parametrize("aligned", [False, True])
def test_a_word_level_policy_refuses_given_text_that_was_not_aligned(folder, aligned):
    text = "abc face bad cab hgf edd bee bad"
    pcm, _ = tone_model.say(text)
    clips, scope = transcribed(text, pcm, [0, len(pcm) / RATE])
    step = Align(model=str(folder)) if aligned else Align()
    done = run(step, clips, scope)
    compose = Interleave.model_validate(
        {"policy": {"word_spans": {"eta": 0.5, "mean_words": 2.0}}, "materialize": True}
    )
    about = About(stream="web", split="train", licence="CC0", source="file:x")
    (out,) = compose.documents(done, {clip.id for clip in done}, about)
    if aligned:
        assert {chunk.modality for chunk in out.chunks} == {"speech", "text"}
        shown = [word for c in out.chunks if c.modality == "text" for word in c.text.split()]
        assert 0 < len(shown) < 8 and set(shown) <= set(text.split())
    else:
        assert isinstance(out, Drop) and out.reason == "times_not_measured"
        assert "8 words with times 'estimated'" in out.detail
        assert "Transcribe with an engine that times words" in out.detail


# -- settings -------------------------------------------------------------------------------


def test_without_a_model_everything_passes():
    assert registry()["align"] is Align
    step = Align()
    assert step.load() is None and step.fingerprint() is None
    pcm, _ = tone_model.say("abc face")
    clips, scope = transcribed("abc face", pcm, [0, len(pcm) / RATE])
    assert run(step, clips, scope) == clips


def test_a_model_is_known_by_its_files_and_its_absence_is_told(step, folder, tmp_path):
    assert step.fingerprint() == {"model": ctc_model.digest(str(folder))}
    missing = Align(model=str(tmp_path / "none"))
    for ask in (missing.fingerprint, missing.load):
        with pytest.raises(ModelError, match=r"none lacks config.json.*hf download"):
            ask()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": ""}, "at least 1 character"),
        ({"min_confidence": 1.5}, "less than or equal to 1"),
        ({"device": "tpu"}, "'cpu' or 'cuda'"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Align(**wrong)
