"""Measures of trust that read text and the recognizers' own scores: no sound needed."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_sound import RATE, make_clip, make_scope, score

from schemas.records import Clip, Score, Transcript, Word
from transforms.measure.agreement import Agreement
from transforms.measure.boilerplate import phrase_share
from transforms.measure.confidence import Confidence
from transforms.measure.language_agreement import LanguageAgreement
from transforms.measure.overlap import Overlap
from transforms.measure.phrases import ALONE, ANYWHERE
from transforms.measure.repetition import Repetition, repeated_share
from transforms.measure.wording import spoken_letters, words_of
from transforms.step import Measure

SENTENCE = "The ferry leaves at seven, and the last bus follows an hour later."


def values(measure: Measure, clip: Clip) -> dict[str, Score]:
    (scores,) = score(measure, [clip], make_scope())
    return dict(zip(measure.columns, scores.values, strict=True))


def clip_of(text: str, **changes: object) -> Clip:
    return dataclasses.replace(make_clip(0, 4 * RATE, text=text), **changes)


# -- repetition -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "share", "longest"),
    [
        (SENTENCE, 0.0, 1),
        ("No, no, no!", 0.0, 3),
        ("ha " * 8, 0.0, 8),
        ("ha " * 16, 0.5, 16),
        ("We go home. " * 4, 0.0, 4),
        ("We go home. " * 8, 0.5, 8),
        ("we go home, " * 8 + "we go", 12 / 26, 8),
        ("thank you " * 10, 0.6, 10),
        ("no no thanks " * 8, 0.5, 8),  # a loop of three words that holds a small one
        ("one two three four five six seven eight nine ten", 0.0, 1),
        ("seven, seven, four, two, two, zero", 0.0, 2),
        ("We go home. WE GO HOME! " * 4, 0.5, 8),  # without case and marks
        ("再见" * 10, 0.6, 10),
        ("谢" * 20, 0.6, 20),
        ("", None, 0),
        ("... ?!", None, 0),
    ],
)
def test_loops_are_what_repeats_more_often_than_people_do(
    text: str, share: float | None, longest: int
) -> None:
    found = values(Repetition(), clip_of(text))
    assert found["loop_share"] == (None if share is None else pytest.approx(share))
    assert found["longest_run"] == longest


def test_words_before_and_after_a_loop_count_as_text() -> None:
    words = [*["a", "b", "c", "d", "e"], *["x", "y"] * 10, *["f", "g", "h", "i", "j"]]
    share, longest = Repetition().loops(words)
    assert share == pytest.approx(12 / 30)
    assert longest == 10
    assert Repetition(free_repeats=10).loops(words) == (0.0, 10)
    assert Repetition(free_repeats=1).loops(words)[0] == pytest.approx(18 / 30)


def test_a_phrase_longer_than_looked_for_is_no_loop() -> None:
    words = [str(i) for i in range(10)] * 6
    assert Repetition(max_ngram=9).loops(words) == (0.0, 1)
    assert Repetition(max_ngram=10).loops(words) == (pytest.approx(20 / 60), 6)


def test_loops_that_vary_show_as_repeated_ngrams() -> None:
    text = " ".join(
        f"I think that is a good idea {filler}" for filler in ["so", "and", "but", "now"]
    )
    assert values(Repetition(), clip_of(text))["loop_share"] == 0.0
    assert values(Repetition(), clip_of(text))["repeated_share"] > 0.4
    assert values(Repetition(), clip_of(SENTENCE))["repeated_share"] == 0.0
    assert repeated_share(["a", "b", "c"], 4) is None


@given(
    head=st.lists(st.sampled_from("abcdef"), max_size=5, unique=True),
    phrase=st.lists(st.sampled_from("uvwxyz"), min_size=2, max_size=6, unique=True),
    times=st.integers(1, 30),
)
def test_the_share_of_a_made_loop_is_what_was_made(
    head: list[str], phrase: list[str], times: int
) -> None:
    words = head + phrase * times
    share, longest = Repetition().loops(words)
    assert share == pytest.approx(max(0, times - 4) * len(phrase) / len(words))
    assert longest == times


@given(words=st.lists(st.sampled_from("ab"), max_size=60))
def test_loops_of_any_words_are_a_share(words: list[str]) -> None:
    share, longest = Repetition().loops(words)
    assert (share is None) == (not words)
    assert share is None or 0 <= share < 1
    assert longest <= len(words)
    runs = [1] * len(words)
    for i in range(1, len(words)):
        runs[i] = runs[i - 1] + 1 if words[i] == words[i - 1] else 1
    assert longest >= max(runs, default=0)


# -- confidence and agreement -----------------------------------------------------------------


def heard(text: str, **changes: object) -> Transcript:
    return dataclasses.replace(Transcript(engine="a", text=text), **changes)


def word(text: str, confidence: float | None = None, agreement: float | None = None) -> Word:
    return Word(text=text, start=0.0, end=0.1, confidence=confidence, agreement=agreement)


def test_confidence_is_that_of_the_text_that_was_chosen() -> None:
    one = heard("one", quality="normal", mean_log_probability=-0.2, no_speech_probability=0.1)
    two = heard("two", quality="normal", mean_log_probability=-0.9, no_speech_probability=0.7)
    chosen = clip_of("two", quality="normal", transcripts=(one, two))
    assert values(Confidence(), chosen)["mean_log_probability"] == -0.9
    assert values(Confidence(), chosen)["no_speech"] == 0.7
    combined = clip_of("one two", quality="normal", transcripts=(one, two))
    assert values(Confidence(), combined)["mean_log_probability"] == pytest.approx(-0.55)
    assert values(Confidence(), combined)["no_speech"] == pytest.approx(0.4)


def test_a_given_text_was_not_heard() -> None:
    given_text = heard("one", quality="given")
    other = heard("none", quality="normal", mean_log_probability=-3.0)
    clip = clip_of("one", quality="given", transcripts=(given_text, other))
    assert set(values(Confidence(), clip).values()) == {None}


def test_unsure_words_are_a_share_of_those_that_have_a_confidence() -> None:
    words = (word("a", 0.9), word("b", 0.5), word("c", 0.1), word("d", None), word("e", 0.3))
    found = values(Confidence(), clip_of("a b c d e", words=words))
    assert found["unsure_share"] == pytest.approx(0.5)
    assert found["lowest_word"] == 0.1
    assert values(Confidence(unsure_below=0.95), clip_of("a", words=words))["unsure_share"] == 1.0


def test_agreement_is_carried_and_averaged() -> None:
    words = (word("a", agreement=1.0), word("b", agreement=0.5), word("c"))
    found = values(Agreement(), clip_of("a b c", words=words, disagreement=0.25))
    assert found == {"disagreement": 0.25, "word_agreement": 0.75, "lowest_word": 0.5}
    assert set(values(Agreement(), clip_of("a b c")).values()) == {None}


def test_numbers_that_are_not_finite_count_as_unknown() -> None:
    bad = heard("a", mean_log_probability=math.nan, no_speech_probability=math.inf)
    words = (word("a", math.nan, math.nan),)
    clip = clip_of("a", quality="normal", transcripts=(bad,), words=words, disagreement=math.nan)
    assert set(values(Confidence(), clip).values()) == {None}
    assert set(values(Agreement(), clip).values()) == {None}


def test_overlap_is_a_share_of_the_clip() -> None:
    assert values(Overlap(), clip_of("", overlap_seconds=1.0)) == {"share": 0.25}
    assert values(Overlap(), clip_of("", overlap_seconds=9.0)) == {"share": 1.0}
    assert values(Overlap(), make_clip(5, 5)) == {"share": None}


# -- languages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "probability", "text", "agrees"),
    [
        ("en", 0.9, SENTENCE, True),
        ("en-GB", 0.9, SENTENCE, True),
        ("fr", 0.9, SENTENCE, False),
        ("fr", 0.4, SENTENCE, None),  # not sure enough by sound
        ("fr", None, SENTENCE, None),  # given, not heard
        ("fr", 0.9, "yes okay", None),  # too short to tell by text
        (None, None, SENTENCE, None),
    ],
)
def test_languages_agree_where_both_are_known(
    language: str | None, probability: float | None, text: str, agrees: bool | None
) -> None:
    clip = clip_of(text, language=language, language_probability=probability)
    found = values(LanguageAgreement(), clip)
    assert found["agrees"] is agrees
    assert found["by_sound"] == (language if probability is not None else None)
    assert found["by_text"] == (None if text == "yes okay" else "en")


def test_languages_that_text_confuses_are_one() -> None:
    text = "Trajekt polazi u sedam, a posljednji autobus kreće sat vremena kasnije."
    clip = clip_of(text, language="bs", language_probability=0.9)
    found = values(LanguageAgreement(min_probability=0.0), clip)
    assert found["by_text"] in ("hr", "sr", "bs")
    assert found["agrees"] is True


# -- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("seven", 5 + 2),  # the end is a pause, with a mark or without
        ("seven. ", 5 + 2),
        ("seven...", 5 + 2),
        ("7", 4 + 2),
        ("7, 3", 4 + 2 + 4 + 2),
        ("no, no", 2 + 2 + 2 + 2),
        ("... no", 2 + 2),  # marks before a word are no pause after one
        ("渡轮", 5 + 2),
        ("", 0),
        ("... ?!", 0),
    ],
)
def test_letters_as_they_sound(text: str, letters: float) -> None:
    assert spoken_letters(text) == pytest.approx(letters)


def test_words_are_compared_without_case_and_marks() -> None:
    assert words_of("Don't! DON'T, (don't)") == ["don't"] * 3
    assert words_of("Straße STRASSE") == ["strasse", "strasse"]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Thank you for watching!", 1.0),
        ("Thanks for watching. See you next time!", 1.0),
        ("Subtitles by Anna Maria Miller", 1.0),
        ("We thank you for watching the children.", 4 / 7),
        (SENTENCE, 0.0),
        ("you", 1.0),
        ("Do you see", 0.0),
        ("感谢观看", 1.0),
        ("", None),
        ("?!", None),
    ],
)
def test_known_phrases_cover_a_share_of_the_words(text: str, share: float | None) -> None:
    found = phrase_share(words_of(text))
    assert found == (None if share is None else pytest.approx(share))


def test_every_listed_phrase_is_found_whole_and_written_as_it_is_compared() -> None:
    assert len(ANYWHERE) >= 6
    for language, phrases in [*ANYWHERE.items(), *ALONE.items()]:
        assert len(set(phrases)) == len(phrases), language
        for phrase in phrases:
            assert phrase == phrase.casefold()
            assert phrase_share(words_of(phrase)) == 1.0
