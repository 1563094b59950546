"""The step's own work: order of engines, dealing a given text, times, drops, digests."""

import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Clip, Drop, Task, Transcript, Word, clip_id, frames, task_id
from transforms.annotate.transcribe import Transcribe
from transforms.engines import recognizer
from transforms.engines.answers import OneByOne
from transforms.step import Scope, registry

RATE = 16_000
RECORDING = "ab" * 32
ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = pathlib.Path(os.environ.get("SPEECHLOOM_CORPUS", ROOT / "../shared/corpus"))


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


@dataclasses.dataclass
class Stub(OneByOne):
    """A recognizer that says the peak of what it hears; nothing below `deaf_below`."""

    name: str = "stub"
    quality: str = "normal"
    rate: int | None = None
    deaf_below: int = 0
    asked: list = dataclasses.field(default_factory=list)

    def transcribe(self, pcm, rate, given) -> Transcript | None:
        self.asked.append((len(pcm), rate, given))
        peak = int(np.abs(pcm.astype(int)).max()) if len(pcm) else 0
        if peak < self.deaf_below:
            return None
        seconds = len(pcm) / rate
        words = (
            Word(text=f"peak{peak}", start=0.0, end=seconds / 3, confidence=0.5),
            Word(text=self.name, start=seconds / 3, end=seconds),
        )
        return Transcript(
            engine=self.name,
            text=f"peak{peak} {self.name}",
            quality=self.quality,
            words=words,
            times="measured",
        )


def task(text: str | None = None, language: str | None = None) -> Task:
    return Task(
        id=task_id(RECORDING, None, text, None, language),
        recording=RECORDING,
        text=text,
        language=language,
    )


def clip(of: Task, start: float, end: float, index: int = 0, rate: int = RATE, channel=0) -> Clip:
    first, last = frames(start, rate), frames(end, rate)
    return Clip(
        id=clip_id(of.id, channel, first, last, rate, "spk0"),
        task=of.id,
        recording=RECORDING,
        channel=channel,
        index=index,
        start=first / rate,
        end=last / rate,
        rate=rate,
        speaker="spk0",
    )


def scope(of: Task, tape: Tape) -> Scope:
    return Scope(root=of, seed=17, audio=tape)


@pytest.fixture
def steps_tape() -> Tape:
    """Ten seconds; the samples of second k are all 100 * k."""
    return Tape(np.repeat(np.arange(10, dtype=np.int16) * 100, RATE))


def given_engine() -> recognizer.Recognizer:
    return recognizer.load("given")


# -- order of engines -----------------------------------------------------------------------


def test_the_first_engine_that_answers_wins(steps_tape):
    of = task()
    first, second = Stub("first", deaf_below=500), Stub("second", quality="smoke")
    quiet, loud = Transcribe()(
        [clip(of, 1, 2), clip(of, 6, 7, 1)], (given_engine(), first, second), scope(of, steps_tape)
    )
    assert (quiet.text, quiet.quality) == ("peak100 second", "smoke")
    assert (loud.text, loud.quality) == ("peak600 first", "normal")
    assert [t.engine for t in loud.transcripts] == ["first"]
    assert len(first.asked) == 2 and len(second.asked) == 1


def test_all_engines_are_kept_and_the_first_still_decides(steps_tape):
    of = task(text="hello there")
    model = (given_engine(), Stub("first"), Stub("second"))
    (done,) = Transcribe(all_engines=True)([clip(of, 6, 7)], model, scope(of, steps_tape))
    assert done.text == "hello there" and done.quality == "given"
    assert [t.engine for t in done.transcripts] == ["given", "first", "second"]
    assert [w.start for w in done.transcripts[1].words] == [6.0, frames(6 + 1 / 3, RATE) / RATE]


def test_a_given_text_asks_no_recognizer(steps_tape):
    of = task(text="hello there")
    stub = Stub()
    (done,) = Transcribe()([clip(of, 6, 7)], (given_engine(), stub), scope(of, steps_tape))
    assert done.text == "hello there" and stub.asked == []


def test_no_engine_with_words_is_a_drop(steps_tape):
    of = task(language="fr")
    step = Transcribe()
    records = [clip(of, 1, 2), clip(of, 6, 7, 1)]
    out = list(step(records, (given_engine(), Stub(deaf_below=500)), scope(of, steps_tape)))
    assert isinstance(out[0], Drop) and isinstance(out[1], Clip)
    assert (out[0].id, out[0].root, out[0].reason) == (records[0].id, of.id, "no_text")
    assert out[0].seconds == 1.0 and out[0].reason in step.reasons
    assert "asked given, pocketsphinx; language fr" in out[0].detail


# -- given text over several clips ----------------------------------------------------------


def test_one_clip_gets_the_text_verbatim(steps_tape):
    of = task(text="  Two  spaces, kept.\n")
    (done,) = Transcribe()([clip(of, 1, 3)], (given_engine(),), scope(of, steps_tape))
    assert done.text == "  Two  spaces, kept.\n"
    assert (done.times, done.language) == ("estimated", None)
    assert (done.words[0].start, done.words[-1].end) == (1.0, 3.0)


def test_several_clips_share_the_text_by_time_whatever_their_order(steps_tape):
    of = task(text="one two six ten")
    late, early = clip(of, 5, 6, 1), clip(of, 1, 4, 0)
    out = list(Transcribe()([late, early], (given_engine(),), scope(of, steps_tape)))
    assert [c.text for c in out] == ["ten", "one two six"]
    assert [c.id for c in out] == [late.id, early.id]


def test_a_clip_without_a_given_word_is_not_topped_up(steps_tape):
    of = task(text="hello")
    stub = Stub()
    out = list(
        Transcribe()(
            [clip(of, 1, 4), clip(of, 5, 5.5, 1)], (given_engine(), stub), scope(of, steps_tape)
        )
    )
    assert out[0].text == "hello"
    assert out[1].reason == "no_text" and "no words left" in out[1].detail
    assert stub.asked == []
    kept = Transcribe(all_engines=True)(
        [clip(of, 1, 4), clip(of, 5, 5.5, 1)], (given_engine(), stub), scope(of, steps_tape)
    )
    assert [type(r) for r in kept] == [Clip, Drop]


def test_blank_given_text_is_no_text(steps_tape):
    of = task(text=" \n")
    (done,) = Transcribe()([clip(of, 6, 7)], (given_engine(), Stub()), scope(of, steps_tape))
    assert done.text == "peak600 stub"


@given(
    text=st.text(alphabet="abc. é", max_size=40),
    cuts=st.lists(st.integers(0, 1000), min_size=2, max_size=8, unique=True),
)
def test_no_given_word_is_lost_or_doubled(text, cuts):
    of = task(text=text)
    edges = sorted(cuts)
    records = [clip(of, a / 100, b / 100, i) for i, (a, b) in enumerate(itertools.pairwise(edges))]
    tape = Tape(np.zeros(10 * RATE, np.int16))
    out = list(Transcribe()(records, (given_engine(),), scope(of, tape)))
    assert [r.id for r in out] == [r.id for r in records]
    assert sum(frames(r.seconds, RATE) for r in out) == frames(records[-1].end, RATE) - frames(
        records[0].start, RATE
    )
    texts = [r.text for r in out if isinstance(r, Clip)]
    assert "".join("".join(texts).split()) == "".join(text.split())
    for done in (r for r in out if isinstance(r, Clip)):
        times = [t for w in done.words for t in (w.start, w.end)]
        assert times == sorted(times) and done.start <= times[0] and times[-1] <= done.end
        assert all(t == frames(t, RATE) / RATE for t in times)


# -- samples --------------------------------------------------------------------------------


def test_digest_and_samples_are_those_of_the_clip(steps_tape):
    of = task()
    stub = Stub()
    (done,) = Transcribe()([clip(of, 2.5, 3.5)], (stub,), scope(of, steps_tape))
    expected = np.repeat(np.array([200, 300], "<i2"), RATE // 2).tobytes()
    assert done.pcm_sha256 == hashlib.sha256(expected).hexdigest()
    assert stub.asked[0][:2] == (RATE, RATE)


def test_an_engine_gets_the_rate_it_wants_and_the_right_channel():
    of = task()
    time = np.arange(24_000) / 24_000
    tone = (10_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    tape = Tape(np.zeros(24_000, np.int16), tone, rate=24_000)
    stub = Stub(rate=16_000)
    (done,) = Transcribe()([clip(of, 0.25, 0.75, rate=24_000, channel=1)], (stub,), scope(of, tape))
    assert stub.asked[0][:2] == (8_000, 16_000)
    assert 9_900 < int(done.text.split()[0].removeprefix("peak")) < 10_300
    assert done.words[-1].end == 0.75


def test_other_fields_stay_as_they_were(steps_tape):
    of = task()
    before = clip(of, 6, 7, index=3)
    (after,) = Transcribe()([before], (Stub(),), scope(of, steps_tape))
    changed = {
        field.name
        for field in dataclasses.fields(Clip)
        if getattr(before, field.name) != getattr(after, field.name)
    }
    assert changed == {"text", "quality", "times", "words", "transcripts", "pcm_sha256"}


def test_an_engine_that_breaks_its_contract_is_a_bug(steps_tape):
    class Broken(Stub):
        def transcribe(self, pcm, rate, given):
            word = Word(text="late", start=0.0, end=99.0)
            return Transcript(engine="x", text="late", words=(word,), times="measured")

    of = task()
    with pytest.raises(ValueError, match=r"broke its contract on clip .* outside the clip"):
        list(Transcribe()([clip(of, 1, 2)], (Broken(),), scope(of, steps_tape)))


# -- language -------------------------------------------------------------------------------


def test_the_given_language_goes_before_the_hint(steps_tape):
    for named, hint, expected in [
        ("fr", "en", "fr"),
        (None, "en", "en"),
        (None, None, None),
    ]:
        of = task(language=named)
        stub = Stub()
        (done,) = Transcribe(language=hint)([clip(of, 6, 7)], (stub,), scope(of, steps_tape))
        assert done.language == expected == stub.asked[0][2].language


# -- settings -------------------------------------------------------------------------------


def test_it_is_called_transcribe_in_a_recipe():
    assert registry()["transcribe"] is Transcribe


def test_a_recipe_gives_a_list():
    step = Transcribe.model_validate({"engines": ["pocketsphinx"], "all_engines": True})
    assert step.engines == ("pocketsphinx",)
    assert [engine.name for engine in step.load()] == ["pocketsphinx"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engines": ["pocketsphynx"]}, "did you mean 'pocketsphinx'"),
        ({"engines": ["given", "given"]}, "named twice"),
        ({"engines": []}, "at least 1 item"),
        ({"engines": [7]}, "valid string"),
        ({"engines": "given"}, "valid tuple"),
        ({"all_engines": 1}, "valid boolean"),
        ({"language": "english"}, "match pattern"),
        ({"engine": "given"}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Transcribe(**wrong)


def test_the_fingerprint_names_every_engine():
    assert set(Transcribe().fingerprint()) == {"given", "pocketsphinx"}
    assert set(Transcribe().fingerprint()["pocketsphinx"]) == {"pocketsphinx"}
    assert Transcribe(engines=["given"]).fingerprint() == {"given": {}}


@pytest.mark.corpus
def test_real_speech_gives_words_with_times():
    import soundfile

    path = CORPUS / "audio/librispeech-test-other/533-1066-0003.flac"
    if not path.is_file():
        pytest.skip(f"no corpus at {CORPUS}")
    samples, rate = soundfile.read(path, dtype="int16")
    of = task()
    step = Transcribe()
    (done,) = step([clip(of, 0, len(samples) / rate)], step.load(), scope(of, Tape(samples)))
    assert done.quality == "smoke" and done.times == "measured"
    assert {"fortunately", "keeping", "bachelor"} <= set(done.text.split())
    assert len(done.words) > 6 and done.words[-1].end > 4.5
