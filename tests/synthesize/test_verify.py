"""verify: what is misheard is spoken once more in another voice, then dropped with its score."""

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from schemas.records import Clip, Drop, Transcript, Word, frames
from tests.synthesize.spoken import (
    SENTENCES,
    Told,
    parted,
    scope_for,
    sound_of,
    stage_of,
    tone,
    utterances,
)
from transforms.engines.answers import Given, OneByOne, Unanswered
from transforms.engines.synth_contract import Sound
from transforms.synthesize.round_trip import seconds_per_character, word_error_rate
from transforms.synthesize.speak import Speak
from transforms.synthesize.verify import Listening, Verify

TEXTS = ("One two three.", "Four five six.", "Seven eight nine.", "Ten eleven twelve.")
PITCHES = {"a": 200.0, "b": 300.0, "c": 400.0}
SPEAK = Speak(loudness=None, normalise=False, pause=(0.1, 0.1), turn_pause=(0.1, 0.1))


class Hears(OneByOne):
    """A recognizer that hears what a function makes of a pitch and of how often it listened."""

    quality = "normal"
    rate = 16_000
    name = "hears"

    def __init__(self, said: Callable[[str, int], str | None]):
        self.heard: list[str] = []
        self._said = said

    def speaks(self, language):
        return language == "en"

    def transcribe(self, pcm, rate: int, given: Given):
        crossings = np.count_nonzero(np.diff(np.signbit(pcm[:16_000]))) / 2
        voice = min(PITCHES, key=lambda name: abs(PITCHES[name] - crossings))
        self.heard.append(voice)
        text = self._said(voice, len(self.heard) - 1)
        if text is None or isinstance(text, Unanswered):
            return text
        return Transcript(
            engine="hears",
            text=text,
            words=(Word(text=text.split()[0], start=0.1, end=0.4),),
            times="measured",
        )


def made(tmp_path, texts: Sequence[str] = TEXTS, spoken: Sequence[bool] = ()):
    """Clips that voice a said, and all that verify needs."""
    engine = Told(lambda text, voice: tone(1.0, PITCHES[voice]), ("a", "b", "c"))
    stage = stage_of(engine)
    only_a = dataclasses.replace(
        stage, ensemble=dataclasses.replace(stage.ensemble, voices=engine.voices()[:1])
    )
    records = utterances(texts, spoken=spoken)
    scope = scope_for(records, tmp_path)
    clips, drops = parted(list(SPEAK(records, only_a, scope)))
    assert not drops
    return clips, stage, scope


def verify(said, tmp_path, spoken: Sequence[bool] = (), **settings):
    clips, stage, scope = made(tmp_path, spoken=spoken)
    before = {clip.id: sound_of(clip, scope) for clip in clips}
    step = Verify(**{"max_wer": 0.3, "pace": None, **settings}).beside([SPEAK])
    hears = Hears(said)
    items = list(step(clips, Listening(hears, stage if step.retake else None), scope))
    return clips, items, scope, hears, before


def right(voice: str, turn: int) -> str:
    return TEXTS[turn]


def test_what_is_heard_right_stays_as_it_is(tmp_path):
    clips, items, scope, hears, before = verify(right, tmp_path)
    kept, drops = parted(items)
    assert not drops
    assert hears.heard == ["a"] * 4
    for clip, found in zip(clips, kept, strict=True):
        assert found == dataclasses.replace(clip, transcripts=found.transcripts, disagreement=0.0)
        assert [answer.engine for answer in found.transcripts] == ["told/a", "hears"]
        assert found.transcripts[1].words[0].start == pytest.approx(clip.start + 0.1)
        assert np.array_equal(sound_of(found, scope), before[clip.id])


def test_what_is_misheard_is_spoken_again_in_another_voice(tmp_path):
    def said(voice, turn):
        return (TEXTS[0], "wholly other words", TEXTS[3], TEXTS[1])[turn]

    clips, items, _, hears, _ = verify(said, tmp_path, (True, True, False, True))
    # The text that is not spoken is not heard either.
    assert hears.heard[:3] == ["a"] * 3
    kept, _ = parted(items)
    assert [clip.id for clip in kept] == [clip.id for clip in clips]
    assert hears.heard[3] in ("b", "c")
    again = kept[1]
    assert again.speaker == f"told/{hears.heard[3]}"
    assert again.text == TEXTS[1]
    assert "speed=1 pitch=1" in again.transcripts[0].device
    assert again.disagreement == 0.0


def test_later_clips_move_and_keep_their_samples(tmp_path):
    def longer(text: str, voice: str) -> Sound:
        return tone(1.0 if voice == "a" else 1.6, PITCHES[voice])

    clips, stage, scope = made(tmp_path, spoken=(True, True, False, True))
    before = {clip.id: sound_of(clip, scope) for clip in clips}
    stage = dataclasses.replace(stage, engine=Told(longer, ("a", "b", "c")))
    turns = iter([TEXTS[0], "no such words", TEXTS[3], TEXTS[1]])
    step = Verify(max_wer=0.3, pace=None).beside([SPEAK])
    items = list(step(clips, Listening(Hears(lambda v, t: next(turns)), stage), scope))
    kept, drops = parted(items)
    assert not drops
    moved = kept[3].start - clips[3].start
    assert moved == pytest.approx(kept[1].seconds - clips[1].seconds) and moved > 0.5
    at = 0.0
    for clip in kept:
        assert clip.start == at
        at = clip.end
    assert frames(at, 16_000) == scope.samples().length(0)
    for old, new in ((clips[0], kept[0]), (clips[3], kept[3])):
        assert np.array_equal(sound_of(new, scope), before[old.id])
    assert [w.start - kept[3].start for w in kept[3].words] == pytest.approx(
        [w.start - clips[3].start for w in clips[3].words]
    )
    assert kept[2].start == kept[2].end == kept[3].start


def test_what_fails_twice_is_dropped_with_score_and_threshold(tmp_path):
    def said(voice, turn):
        return TEXTS[turn] if voice == "a" and turn != 1 else "one word right: five"

    clips, items, scope, _, _ = verify(said, tmp_path)
    kept, (drop,) = parted(items)
    assert [clip.id for clip in kept] == [clips[at].id for at in (0, 2, 3)]
    assert (drop.id, drop.reason, drop.step) == (clips[1].id, "misheard", "verify")
    assert drop.score == pytest.approx(4 / 3) or drop.score > drop.threshold
    assert drop.threshold == 0.3
    assert drop.seconds == clips[1].seconds
    assert "then word error rate" in drop.detail
    assert kept[1].start == kept[0].end
    assert scope.samples().length(0) == sum(len(sound_of(clip, scope)) for clip in kept)


def test_without_a_retake_the_first_failure_counts(tmp_path):
    _, items, _, hears, _ = verify(
        lambda voice, turn: None if turn == 2 else TEXTS[turn], tmp_path, retake=False
    )
    kept, (drop,) = parted(items)
    assert len(kept) == 3
    assert hears.heard == ["a"] * 4
    assert drop.score == 1.0
    assert "heard ''" in drop.detail


def test_a_voice_may_have_a_limit_of_its_own(tmp_path):
    def said(voice, turn):
        return "One two four."

    clips, items, _, _, _ = verify(
        said, tmp_path, max_wer=0.1, max_wer_by_voice={"told/a": 2.0, "told/*": 0.0}
    )
    assert len(parted(items)[0]) == 4
    _, items, _, _, _ = verify(said, tmp_path, max_wer=2.0, max_wer_by_voice={"told/*": 0.0})
    assert len(parted(items)[1]) == len(clips)


def test_a_share_is_drawn_by_id(tmp_path):
    clips, _, _, hears, _ = verify(right, tmp_path, share=0.0)
    assert hears.heard == []
    many = [f"Number {n} is said." for n in range(60)]
    clips, _, scope = made(tmp_path, many)
    listened = []
    for order in (clips, clips[::-1]):
        hears = Hears(lambda voice, turn: "anything")
        step = Verify(max_wer=None, pace=None, share=0.4, retake=False)
        kept = list(step(order, Listening(hears, None), scope))
        listened.append({clip.id for clip in kept if len(clip.transcripts) == 2})
    assert listened[0] == listened[1]
    assert 12 <= len(listened[0]) <= 36


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The first boats came in with the morning tide and nobody saw them."),
        ("zh", "清晨的第一批船随着潮水进来。没有人看见它们。"),
        ("ko", "아침 첫 배들이 밀물과 함께 들어왔고 아무도 보지 못했다."),
        ("hi", "सुबह की पहली नावें ज्वार के साथ आईं और किसी ने नहीं देखा।"),
        ("ar", "وصلت القوارب الأولى مع مد الصباح ولم يرها أحد."),
        ("ru", "Первые лодки пришли рано утром, и никто их не видел."),
    ],
)
def test_the_usual_pace_of_a_language_is_within_bounds(tmp_path, language, text):
    """A Chinese sign takes as long as four letters: it is a syllable."""
    records = utterances([text], language=language)
    stage = Speak().load()
    (clip,) = Speak()(records, stage, scope_for(records, tmp_path))
    stage.close()
    low, high = Verify().pace
    assert 2 * low < seconds_per_character(clip) < high / 1.5


def test_a_pace_out_of_bounds_fails_unheard(tmp_path):
    clips, items, _, hears, _ = verify(right, tmp_path, share=0.0, pace=(0.2, 0.5), retake=False)
    _, drops = parted(items)
    paces = [seconds_per_character(clip) for clip in clips]
    assert all(pace < 0.2 for pace in paces)
    assert [(drop.reason, drop.score) for drop in drops] == [("pace", pace) for pace in paces]
    assert hears.heard == []


def test_what_the_recognizer_cannot_do_is_no_fault_of_the_voice(tmp_path):
    lost = Unanswered(reason="oom", detail="no room")
    clips, items, _, hears, _ = verify(
        lambda voice, turn: lost if turn == 0 else TEXTS[turn], tmp_path
    )
    kept, (drop,) = parted(items)
    assert (drop.id, drop.reason) == (clips[0].id, "oom")
    assert hears.heard == ["a"] * 4  # and it is not spoken again
    assert len(kept) == 3


def test_a_language_that_it_does_not_speak_is_kept_unheard(tmp_path):
    clips, stage, scope = made(tmp_path)
    german = [dataclasses.replace(clip, language="de") for clip in clips]
    hears = Hears(lambda voice, turn: "x")
    assert list(Verify(pace=None).beside([SPEAK])(german, Listening(hears, stage), scope)) == german
    assert hears.heard == []


def test_the_same_again_in_any_order_of_pages(tmp_path):
    def said(voice, turn):
        return TEXTS[1] if voice == "c" else "nothing of it"

    found = []
    for _ in range(2):
        _, items, scope, _, _ = verify(said, tmp_path, max_wer=0.9)
        found.append(
            [
                (item, hashlib.sha256(sound_of(item, scope).tobytes()).hexdigest())
                if isinstance(item, Clip)
                else item
                for item in items
            ]
        )
    assert found[0] == found[1]
    assert any(isinstance(item, Drop) for item in found[0])


def test_texts_count_as_written_and_as_read(tmp_path):
    (clip,), _, _ = made(tmp_path, ["It grew by 5% in 2021."])
    read = dataclasses.replace(clip.transcripts[0], text="It grew by five percent in that year")
    clip = dataclasses.replace(clip, transcripts=(read,))
    assert word_error_rate(clip, "it grew by five percent in 2021") == 0
    assert word_error_rate(clip, "it grew by five percent in that year") == 0
    assert word_error_rate(clip, "") == 1
    assert word_error_rate(clip, "it grew") > 0.5


def test_the_recipe_hands_it_the_speak_of_its_stream():
    speak = Speak(loudness=-20.0)
    assert Verify().beside([speak]).speaking == speak
    assert Verify(retake=False).beside([speak]).speaking is None
    own = Verify(speaking=Speak(loudness=-16.0))
    assert own.beside([speak]) == own
    step = Verify().beside([speak])
    assert Verify.model_validate_json(step.model_dump_json()) == step


def test_settings_of_the_second_voice_are_part_of_the_key():
    from pipeline.keys import step_key

    keys = {str(step_key(Verify().beside([Speak(loudness=level)]))) for level in (-20.0, -23.0)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    "settings",
    [{"engine": "given"}, {"engine": "sphinx"}, {"share": 1.5}, {"pace": (0.3, 0.1)}],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError):
        Verify(**settings)


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_pocketsphinx_understands_flite(tmp_path):
    speak = Speak(engine="flite", voices=("slt",), speed=(1.0, 1.0))
    stage = speak.load()
    records = utterances(SENTENCES[:1])
    scope = scope_for(records, tmp_path)
    clips, _ = parted(list(speak(records, stage, scope)))
    step = Verify(max_wer=0.5).beside([speak])
    model = step.load()
    kept, drops = parted(list(step(clips, model, scope)))
    model.close()
    assert not drops
    assert {clip.speaker for clip in kept} == {"flite/slt"}
    assert np.mean([clip.disagreement for clip in kept]) < 0.3


def resolved(steps: str):
    from pipeline.recipe import resolve
    from schemas.settings import parse

    text = f"name: said\nseed: 5\nstreams:\n  krist: [crawl, extract, chunk, {steps}, interleave]\n"
    return resolve(parse(text, "said.yaml"))


def test_a_recipe_binds_verify_to_its_speak():
    from pipeline.recipe import from_canonical

    made = resolved("speak: {loudness: -20.0}, verify: {share: 0.5}")
    _, speak, listen = made.steps("krist", "synthesize")
    assert listen.speaking == speak
    again = from_canonical(made.canonical())
    assert again.steps("krist", "synthesize") == made.steps("krist", "synthesize")


def test_what_is_spoken_again_is_never_left_out_of_a_room():
    with pytest.raises(ValueError, match="augment"):
        resolved("speak, augment, verify")
    assert resolved("speak, verify, augment")
