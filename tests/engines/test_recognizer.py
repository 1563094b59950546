"""One contract for every recognizer, and what each promises beyond it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Transcript, Word
from transforms.engines import recognizer
from transforms.engines.recognizer import Given, deal, spread, violations

RATE = 16_000
SENTENCES = (
    "The old man walked slowly to the river.",
    "We have seven days to find the answer.",
    "Yes.",
)
KNOWN = Given(text="the old man walked", language="en")


def silence(samples: int) -> np.ndarray:
    return np.zeros(samples, np.int16)


@pytest.fixture(scope="module", params=recognizer.ENGINES)
def engine(request, whisper_toy) -> recognizer.Recognizer:
    toy = f"/{whisper_toy}" if request.param == "faster-whisper" else ""
    return recognizer.load(request.param + toy)


@pytest.fixture(scope="module")
def clips(speak) -> list[np.ndarray]:
    return [speak(sentence) for sentence in SENTENCES] + [
        silence(RATE),
        silence(1),
        np.random.default_rng(1).normal(0, 5000, RATE // 2).astype(np.int16),
    ]


def test_answers_keep_the_contract(engine, clips):
    for clip in clips:
        answer = engine.transcribe(clip, RATE, KNOWN)
        if answer is not None:
            assert violations(answer, len(clip) / RATE) == []
            assert (answer.engine, answer.quality) == (engine.name, engine.quality)


def test_speech_with_its_text_is_answered(engine, clips):
    answer = engine.transcribe(clips[0], RATE, KNOWN)
    assert answer is not None and len(answer.words) >= 2


def test_no_samples_no_answer(engine):
    assert engine.transcribe(silence(0), RATE, KNOWN) is None


def test_same_answer_after_any_other_clip(engine, clips):
    forward = [engine.transcribe(clip, RATE, KNOWN) for clip in clips]
    backward = [engine.transcribe(clip, RATE, KNOWN) for clip in reversed(clips)]
    assert forward == backward[::-1]
    assert recognizer.load(engine.name).transcribe(clips[1], RATE, KNOWN) == forward[1]


def test_the_input_is_not_changed(engine, clips):
    before = clips[0].copy()
    engine.transcribe(clips[0], RATE, KNOWN)
    assert np.array_equal(before, clips[0])


# -- pocketsphinx ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sphinx() -> recognizer.Recognizer:
    return recognizer.load("pocketsphinx")


def test_pocketsphinx_hears_words_of_a_sentence(sphinx, clips):
    answer = sphinx.transcribe(clips[1], RATE, Given())
    assert answer.quality == "smoke" and answer.times == "measured"
    assert {"seven", "days", "find", "answer"} & set(answer.text.split())
    assert answer.text == " ".join(word.text for word in answer.words)
    assert not set("<>[]()") & set(answer.text)
    assert all(word.confidence is None for word in answer.words)
    assert answer.words[-1].end > 0.6 * len(clips[1]) / RATE


def test_pocketsphinx_hears_nothing_in_silence(sphinx):
    assert sphinx.transcribe(silence(2 * RATE), RATE, Given()) is None
    assert sphinx.transcribe(silence(1), RATE, Given()) is None


def test_pocketsphinx_declines_languages_it_does_not_know(sphinx, clips):
    assert sphinx.transcribe(clips[0], RATE, Given(language="fr")) is None
    assert sphinx.transcribe(clips[0], RATE, Given(language="en")) is not None


def test_pocketsphinx_refuses_another_rate(sphinx):
    with pytest.raises(ValueError, match="needs 16000 Hz, was given 24000"):
        sphinx.transcribe(silence(100), 24_000, Given())


def test_forgetting_is_needed(clips):
    """The decoder itself does remember: this is what `reinit_feat` is for."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")

    def score(clip: np.ndarray) -> float:
        decoder.start_utt()
        decoder.process_raw(clip.tobytes(), full_utt=True)
        decoder.end_utt()
        return decoder.hyp().prob

    first = score(clips[0])
    score(clips[-1])
    assert score(clips[0]) != first
    decoder.reinit_feat()
    assert score(clips[0]) == first


@pytest.mark.slow
def test_pocketsphinx_answers_alike_in_a_fresh_process(sphinx, clips, tmp_path):
    path = tmp_path / "clip.npy"
    np.save(path, clips[1])
    code = (
        "import sys, numpy as np; from transforms.engines import recognizer as r;"
        "print(r.load('pocketsphinx').transcribe(np.load(sys.argv[1]), 16000, r.Given()))"
    )
    ran = [
        subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
        for _ in range(2)
    ]
    assert ran[0].stdout == ran[1].stdout
    assert ran[0].stdout.decode().strip() == str(sphinx.transcribe(clips[1], RATE, Given()))


# -- given ----------------------------------------------------------------------------------


def test_given_text_stays_verbatim():
    text = "  Well — yes,\n it's \u201cso\u201d. "
    answer = recognizer.load("given").transcribe(silence(RATE), RATE, Given(text=text))
    assert answer.text == text
    assert [w.text for w in answer.words] == ["Well", "—", "yes,", "it's", "\u201cso\u201d."]
    assert (answer.quality, answer.times, answer.language) == ("given", "estimated", None)
    assert answer.words[0].start == 0.0 and answer.words[-1].end == 1.0


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_nothing_given_nothing_answered(text):
    assert recognizer.load("given").transcribe(silence(RATE), RATE, Given(text=text)) is None


def test_deal_follows_the_durations():
    text = "one two six ten"
    assert deal(text, [1.0, 1.0]) == ["one two", "six ten"]
    assert deal(text, [3.0, 1.0]) == ["one two six", "ten"]
    assert deal(text, [1.0, 1.0, 0.001]) == ["one two", "six ten", ""]
    assert deal("one", [1.0, 5.0]) == ["", "one"]


def test_deal_gives_one_clip_everything_and_cuts_no_spelling():
    assert deal(" a  b \n", [2.0]) == [" a  b \n"]
    assert deal("a,  b;\tc d", [1.0, 1.0]) == ["a,  b;", "c d"]
    assert deal("", [1.0, 1.0]) == ["", ""]
    assert deal("今天天气。很好吗", [3.0, 2.0]) == ["今天天气。", "很好吗"]


def test_deal_survives_clips_without_length():
    assert deal("a b", [0.0, 0.0]) == ["", "a b"]
    assert deal("a b", [0.0, 1.0]) == ["", "a b"]


@given(
    text=st.text(alphabet="ab ,.\n今日ん\u3000é'", max_size=60),
    seconds=st.lists(st.floats(0, 30, allow_subnormal=False), min_size=1, max_size=6),
)
def test_every_word_is_dealt_once_and_in_order(text, seconds):
    shares = deal(text, seconds)
    assert len(shares) == len(seconds)
    assert "".join("".join(shares).split()) == "".join(text.split())
    assert all(share in text for share in shares)
    for share, duration in zip(shares, seconds, strict=True):
        words = spread(share, duration)
        assert "".join(w.text for w in words) == "".join(share.split())
        if share.strip():
            answer = Transcript(engine="x", text=share, words=words, times="estimated")
            assert violations(answer, duration) == []


# -- names and the contract's own check -----------------------------------------------------


def test_names_are_family_and_variant():
    assert recognizer.parse("given") == (recognizer.GivenText, "")
    for name, message in {
        "pocketsfinx": "did you mean 'pocketsphinx'",
        "whisper/large": "Known: given, pocketsphinx, faster-whisper",
        "pocketsphinx/big": "has one model",
        "given/x": "no variants",
    }.items():
        with pytest.raises(ValueError, match=message):
            recognizer.parse(name)


def test_violations_are_found():
    def broken(**changes) -> list[str]:
        word = Word(text="a", start=0.1, end=0.2)
        return violations(
            Transcript(
                **({"engine": "x", "text": "a", "words": (word,), "times": "measured"} | changes)
            ),
            1.0,
        )

    assert broken() == []
    assert broken(text=" ") == ["the text is empty"]
    assert broken(words=(Word(text="a", start=0.5, end=1.5),)) == [
        "a word lies outside the clip of 1.0 s"
    ]
    late, early = Word(text="a", start=0.5, end=0.6), Word(text="b", start=0.1, end=0.2)
    assert broken(words=(late, early)) == ["words are not in order"]
    numpy_time = Word(text="a", start=np.float64(0.1), end=0.2)
    assert broken(words=(numpy_time,)) == ["a time is not a plain float"]
    assert broken(mean_log_probability=float("nan")) == ["a score is not a finite plain float"]
    assert broken(no_speech_probability=np.float32(0.5)) == ["a score is not a finite plain float"]
    assert broken(words=()) == ["times are 'measured' with 0 words"]
