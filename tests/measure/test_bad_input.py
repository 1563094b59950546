"""Every measure on what should not be there: each clip has one answer, of plain finite values."""

import dataclasses
import math

import numpy as np
import pytest
from made_sound import RATE, make_clip, make_scope, score, speechlike, to_pcm

from schemas.records import Clip, Transcript, Word
from transforms.step import Measure, Pcm16, registry

MEASURES = {n: step for n, step in sorted(registry().items()) if issubclass(step, Measure)}


def tone(seconds: float) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)


def with_words(pcm: Pcm16, *spans: tuple[float, float], text: str = "") -> Clip:
    words = tuple(
        Word(text=f"w{i}", start=a, end=b, confidence=0.5, agreement=0.5)
        for i, (a, b) in enumerate(spans)
    )
    said = text or " ".join(word.text for word in words)
    times = "measured" if words else "none"
    heard = Transcript(engine="a", text=said, words=words, times=times, mean_log_probability=-0.3)
    return dataclasses.replace(
        make_clip(0, len(pcm), text=said), words=words, times=times, transcripts=(heard,)
    )


SPEECH = to_pcm(speechlike(2.0, 1))
CASES: dict[str, tuple[Pcm16, Clip]] = {}
for case, samples, spans, said in (
    ("no samples", SPEECH[:0], (), "words without sound"),
    ("no samples and no words", SPEECH[:0], (), ""),
    ("one sample", SPEECH[:1], ((0.0, 0.0),), ""),
    ("shorter than a window", SPEECH[:160], ((0.0, 0.01),), ""),
    ("silence", np.zeros(2 * RATE, np.int16), ((0.0, 1.0),), ""),
    ("a tone", to_pcm(tone(2.0)), ((0.0, 1.0),), ""),
    ("full scale", np.full(2 * RATE, -32768, np.int16), ((0.0, 1.0),), ""),
    ("zero words", SPEECH, (), ""),
    ("marks alone", SPEECH, (), "... ?! —"),
    ("words out of order", SPEECH, ((1.5, 1.8), (0.2, 0.4), (1.0, 1.1)), ""),
    ("words over each other", SPEECH, ((0.0, 2.0), (0.0, 2.0), (0.5, 0.6)), ""),
    ("words beyond the clip", SPEECH, ((1.9, 5.0), (7.0, 8.0), (1e6, 1e6)), ""),
    ("words of no length", SPEECH, ((0.5, 0.5), (0.5, 0.5)), ""),
    ("a very long text", SPEECH, (), "no no no " * 3000),
    ("lone surrogates and zeros", SPEECH, (), "a\ud800b \x00 \u202e c"),
):
    CASES[case] = (samples, with_words(samples, *spans, text=said))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MEASURES)
def test_an_answer_of_plain_finite_values(name: str, case: str) -> None:
    pcm, clip = CASES[case]
    measure = MEASURES[name]()
    (scores,) = score(measure, [clip], make_scope(pcm))
    assert scores.id == clip.id
    assert len(scores.values) == len(measure.columns)
    for kind, got in zip(measure.columns.values(), scores.values, strict=True):
        assert got is None or type(got) is kind
        assert not isinstance(got, float) or math.isfinite(got)


@pytest.mark.parametrize("name", MEASURES)
def test_the_samples_are_left_as_they_were(name: str) -> None:
    pcm = SPEECH.copy()
    pcm.flags.writeable = False
    clip = CASES["words out of order"][1]
    score(MEASURES[name](), [clip, clip], make_scope(pcm))
    assert np.array_equal(pcm, SPEECH)


def test_what_is_undefined_is_unknown_and_what_is_defined_is_said() -> None:
    def got(name: str, case: str) -> tuple[object, ...]:
        pcm, clip = CASES[case]
        return score(MEASURES[name](), [clip], make_scope(pcm))[0].values

    assert got("repetition", "zero words") == (None, 0, None)
    assert got("repetition", "a very long text")[0] == pytest.approx(8992 / 9000)
    assert got("coverage", "silence")[1] == 1.0
    assert got("coverage", "words beyond the clip")[1] == 1.0  # no detector calls this speech
    assert got("coverage", "zero words") == (None, None, None, 0.0)
    assert got("boilerplate", "marks alone") == (None, None)
    assert got("bandwidth", "silence") == (None, None)
    assert got("dc_offset", "full scale") == (1.0,)
    assert got("music", "shorter than a window") == (None, None)
    assert got("overlap", "no samples") == (None,)
    assert got("confidence", "words out of order")[2:] == (0.0, 0.5)
    assert got("agreement", "words out of order") == (None, 0.5, 0.5)
