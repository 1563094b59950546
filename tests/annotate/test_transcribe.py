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


# -- several engines ------------------------------------------------------------------------


@dataclasses.dataclass
class Sayer(OneByOne):
    """A recognizer that says what it was told to say, by the peak of the clip in hundreds."""

    name: str
    says: dict[int, str]
    sure: float | None = -0.1
    quality: str = "normal"
    rate: int | None = None
    no_speech: float = 0.0
    knows: tuple[str | None, ...] | None = None
    found: str | None = None  # the language it finds where none is given
    asked: list = dataclasses.field(default_factory=list)

    def speaks(self, language: str | None) -> bool:
        return self.knows is None or language in self.knows

    def transcribe(self, pcm, rate, given) -> Transcript | None:
        place = int(np.abs(pcm.astype(int)).max()) // 100
        self.asked.append((place, given.language))
        text = self.says.get(place, "")
        if not text:
            return None
        size = len(pcm) / rate / len(text.split())
        words = tuple(
            Word(text=word, start=i * size, end=min((i + 1) * size, len(pcm) / rate))
            for i, word in enumerate(text.split())
        )
        return Transcript(
            engine=self.name,
            text=text,
            quality=self.quality,
            words=words,
            times="measured",
            language=given.language or self.found,
            language_probability=0.75 if self.found and given.language is None else None,
            mean_log_probability=self.sure,
            no_speech_probability=self.no_speech,
        )


TWO = ("pocketsphinx", "faster-whisper/tiny")  # names that fit; the engines are handed over


def test_three_engines_vote_and_all_are_kept(steps_tape):
    model = (
        Sayer("a", {6: "the cat sat"}),
        Sayer("b", {6: "the bat sat"}),
        Sayer("c", {6: "the bat sat"}, quality="smoke"),
    )
    (done,) = Transcribe(engines=TWO, combine="rover")(
        [clip(task(), 6, 7)], model, scope(task(), steps_tape)
    )
    assert done.text == "the bat sat" and done.quality == "smoke"
    assert [t.text for t in done.transcripts] == ["the cat sat", "the bat sat", "the bat sat"]
    assert [w.agreement for w in done.words] == [1.0, 2 / 3, 1.0]
    assert done.disagreement == pytest.approx(2 / 9)
    assert (done.times, done.words[0].start) == ("measured", 6.0)


def test_an_engine_that_hears_nothing_votes_for_silence(steps_tape):
    model = (Sayer("a", {}), Sayer("b", {}), Sayer("c", {6: "thanks for watching"}))
    (gone,) = Transcribe(engines=TWO, combine="rover")(
        [clip(task(), 6, 7)], model, scope(task(), steps_tape)
    )
    assert isinstance(gone, Drop) and gone.reason == "no_text"


def test_an_engine_without_the_language_has_no_vote(steps_tape):
    of = task(language="de")
    model = (
        Sayer("a", {6: "ja gut"}),
        Sayer("b", {6: "ja gut"}),
        Sayer("c", {6: "ya goot"}, knows=("en",)),
    )
    (done,) = Transcribe(engines=TWO, combine="rover")(
        [clip(of, 6, 7)], model, scope(of, steps_tape)
    )
    assert model[2].asked == [] and done.disagreement == 0.0
    assert [w.agreement for w in done.words] == [1.0, 1.0]


def test_the_dear_engine_is_asked_where_the_cheap_one_is_unsure(steps_tape):
    cheap = Sayer("cheap", {2: "two", 3: "three", 4: "la " * 40, 6: "six"})
    dear = Sayer("dear", {2: "TWO", 3: "THREE", 4: "four", 5: "five", 6: "SIX"})
    step = Transcribe(engines=TWO, combine="cheap_first")
    records = [clip(task(), n, n + 1, n) for n in (2, 4, 5, 6)]
    out = list(step(records, (cheap, dear), scope(task(), steps_tape)))
    assert [c.text for c in out] == ["two", "four", "five", "six"]
    assert [place for place, _ in dear.asked] == [4, 5]  # repeats itself; heard nothing
    assert [len(c.transcripts) for c in out] == [1, 2, 1, 1]
    assert [c.disagreement for c in out] == [None, 1.0, 1.0, None]


@pytest.mark.parametrize(
    ("changed", "limits", "asked"),
    [
        ({"sure": -0.49}, {}, False),
        ({"sure": -0.51}, {}, True),
        ({"sure": None}, {}, True),
        ({"sure": None}, {"min_log_probability": None}, False),
        ({"no_speech": 0.51}, {}, True),
        ({"no_speech": 0.51}, {"max_no_speech": None}, False),
        ({"sure": -0.2}, {"min_log_probability": 0.0}, True),
        ({}, {"max_compression_ratio": 0.1}, True),
    ],
)
def test_what_unsure_means(steps_tape, changed, limits, asked):
    model = (Sayer("cheap", {6: "six"}, **changed), Sayer("dear", {6: "SIX"}))
    step = Transcribe(engines=TWO, combine="cheap_first", unsure=limits)
    (done,) = step([clip(task(), 6, 7)], model, scope(task(), steps_tape))
    assert done.text == ("SIX" if asked else "six")
    assert bool(model[1].asked) is asked


def test_the_last_engine_decides_also_when_it_hears_nothing(steps_tape):
    model = (Sayer("cheap", {6: "thank you"}, sure=-2.0), Sayer("dear", {}))
    step = Transcribe(engines=TWO, combine="cheap_first")
    (gone,) = step([clip(task(), 6, 7)], model, scope(task(), steps_tape))
    assert isinstance(gone, Drop) and gone.reason == "no_text"


@pytest.mark.parametrize("combine", ["rover", "cheap_first"])
def test_a_given_text_decides_in_every_mode(steps_tape, combine):
    of = task(text="hello there")
    model = (given_engine(), Sayer("a", {6: "hollow"}), Sayer("b", {6: "hollow"}))
    (done,) = Transcribe(engines=("given", *TWO), combine=combine)(
        [clip(of, 6, 7)], model, scope(of, steps_tape)
    )
    assert done.text == "hello there" and model[1].asked == []
    if combine == "rover":
        (kept,) = Transcribe(engines=("given", *TWO), combine=combine, all_engines=True)(
            [clip(of, 6, 7)], model, scope(of, steps_tape)
        )
        assert (kept.text, kept.quality) == ("hello there", "given")
        assert len(kept.transcripts) == 3 and kept.disagreement == pytest.approx(2 / 3)


def test_a_language_that_one_engine_found_is_what_the_next_is_asked_in(steps_tape):
    first = Sayer("a", {5: "fünf"}, found="de")
    second = Sayer("b", {5: "fünf", 6: "sechs"})
    records = [clip(task(), 5, 6), clip(task(), 6, 7, 1)]
    out = list(
        Transcribe(engines=TWO, combine="rover")(
            records, (first, second), scope(task(), steps_tape)
        )
    )
    assert second.asked == [(5, "de"), (6, "de")]
    assert (out[0].language, out[0].language_probability) == ("de", 0.75)
    given_language = task(language="de")
    (done,) = Transcribe()(
        [clip(given_language, 5, 6)], (first,), scope(given_language, steps_tape)
    )
    assert (done.language, done.language_probability) == ("de", None)


def test_a_clip_without_room_is_a_drop_whatever_others_heard(steps_tape):
    class Full(Sayer):
        def transcribe_all(self, clips, rate, given):
            found = super().transcribe_all(clips, rate, given)
            return [recognizer.Unanswered(reason="oom", detail="no room"), *found[1:]]

    model = (Full("a", {5: "five", 6: "six"}), Sayer("b", {5: "five", 6: "six"}))
    step = Transcribe(engines=TWO, combine="rover")
    out = list(step([clip(task(), 5, 6), clip(task(), 6, 7, 1)], model, scope(task(), steps_tape)))
    assert isinstance(out[0], Drop) and out[0].reason == "oom" and out[0].reason in step.reasons
    assert "no room" in out[0].detail and out[0].seconds == 1.0
    assert [place for place, _ in model[1].asked] == [6] and out[1].text == "six"


def test_engines_see_clips_in_order_of_time(steps_tape):
    stub = Sayer("a", {n: "x" for n in range(10)})
    records = [clip(task(), n, n + 1, n) for n in (7, 3, 5)]
    out = list(Transcribe()(records, (stub,), scope(task(), steps_tape)))
    assert [place for place, _ in stub.asked] == [3, 5, 7]
    assert [c.start for c in out] == [7.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"combine": "rover"}, "needs two recognizers or more"),
        ({"combine": "best", "engines": TWO}, "'first', 'rover' or 'cheap_first'"),
        ({"combine": "cheap_first", "engines": TWO, "all_engines": True}, "choose one"),
        ({"sha256": {"pocketsphinx": "ab" * 32}}, "not of 'pocketsphinx'"),
        ({"sha256": {TWO[1]: "ab" * 32}}, "not of 'faster-whisper/tiny'"),
        ({"engines": TWO, "sha256": {TWO[1]: "ab"}}, "not 64 hex digits"),
        ({"unsure": {"min_logprob": -1}}, "Extra inputs"),
    ],
)
def test_wrong_combinations_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Transcribe(**wrong)
