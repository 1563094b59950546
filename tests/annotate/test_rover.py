"""ROVER: lattices made by hand whose answers are known, and what holds for any answers."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Transcript, Word
from schemas.words import word_ranges
from transforms.annotate.lattice import edits, network, tokens_of
from transforms.annotate.rover import combine, disagreement
from transforms.engines.normalizer import compared_words

SECONDS = 20.0


def heard(
    text: str,
    *,
    engine: str = "a",
    times: str = "measured",
    confidence: float | None = None,
    at: float = 0.0,
    language: str | None = "en",
) -> Transcript:
    """A transcript whose words last 0.4 s, with 0.1 s between them, from `at` on."""
    words = tuple(
        Word(text=word, start=at + place * 0.5, end=at + place * 0.5 + 0.4, confidence=confidence)
        for place, word in enumerate(text.split())
    )
    return Transcript(
        engine=engine,
        text=text,
        words=words if times != "none" else (),
        times=times if words else "none",
        language=language,
    )


def agreements(combined) -> list[tuple[str, float]]:
    return [(word.text, round(word.agreement * 12)) for word in combined.words]


# -- one ------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", ["measured", "estimated", "none"])
def test_one_hypothesis_comes_back_as_it_is(times):
    only = heard("  The  cat, sat.\n", times=times, confidence=0.3)
    done = combine([only], SECONDS)
    assert (done.text, done.words, done.times) == (only.text, only.words, only.times)
    assert done.disagreement is None
    assert all(word.agreement is None for word in done.words)


def test_no_hypothesis_is_a_bug():
    with pytest.raises(ValueError, match="no hypothesis"):
        combine([], SECONDS)


# -- lattices with known answers ------------------------------------------------------------


@pytest.mark.parametrize("times", ["measured", "estimated", "none"])
@pytest.mark.parametrize(
    ("texts", "expected", "votes"),
    [
        # substitution
        (["the cat sat", "the bat sat", "the cat sat"], "the cat sat", [12, 8, 12]),
        (["a x c", "a y c", "a y c"], "a y c", [12, 8, 12]),
        # insertion: one hears a word more
        (["the big cat", "the cat", "the cat"], "the cat", [12, 12]),
        # deletion: one hears a word less
        (["the cat", "the big cat", "the big cat"], "the big cat", [12, 8, 12]),
        # different lengths at both ends
        (["b c", "a b c d", "a b c d"], "a b c d", [8, 12, 12, 8]),
        # an empty hypothesis is a vote for silence
        (["the cat sat", "the cat", ""], "the cat", [8, 8]),
        (["the cat", "", ""], "", []),
        # all differ: the engine named first
        (["x", "y", "z"], "x", [4]),
        # a word against none: the engine named first
        (["a b", "a"], "a b", [12, 6]),
        (["a", "a b"], "a", [12]),
    ],
)
def test_a_lattice_made_by_hand(texts, expected, votes, times):
    if times == "measured":  # a word that is spelt alike was spoken at the same time
        places = {word: place for place, word in enumerate(max(texts, key=len).split())}
        hypotheses = [spoken(text, places) for text in texts]
    else:
        hypotheses = [heard(text, times=times) for text in texts]
    done = combine(hypotheses, SECONDS)
    assert done.text == expected
    assert [round(word.agreement * 12) for word in done.words] == votes
    assert [word.text for word in done.words] == expected.split()
    wanted = "none" if not expected else "measured" if times == "measured" else "estimated"
    assert done.times == wanted


def spoken(text: str, places: dict[str, int]) -> Transcript:
    plain = heard(text)
    words = tuple(
        dataclasses.replace(word, start=0.5 * p, end=0.5 * p + 0.4)
        for place, word in enumerate(plain.words)
        for p in [places.get(word.text, place)]
    )
    return dataclasses.replace(plain, words=words)


def test_confidence_decides_a_tie_where_all_rivals_have_one():
    low, high = heard("cat", confidence=0.4), heard("bat", confidence=0.9)
    assert combine([low, high], SECONDS).text == "bat"
    assert combine([low, heard("bat")], SECONDS).text == "cat"
    assert combine([heard("bat"), low], SECONDS).text == "bat"


def test_a_word_of_low_confidence_loses_to_silence():
    sure, unsure = heard("cat", confidence=0.9), heard("cat", confidence=0.1)
    assert combine([heard(""), sure], SECONDS).text == "cat"
    assert combine([unsure, heard("")], SECONDS).text == ""
    assert combine([heard("cat"), heard("")], SECONDS).text == "cat"


def test_votes_go_before_confidence():
    done = combine([heard("cat", confidence=1.0), heard("bat"), heard("bat")], SECONDS)
    assert done.text == "bat"


def test_words_far_apart_in_time_are_not_one_word():
    early, late = heard("yes", at=0.0), heard("yes", at=3.0)
    done = combine([early, late, heard("", at=0)], SECONDS)
    assert done.text == ""  # heard twice, by one engine each
    apart = network([tokens_of(h, i, "en") for i, h in enumerate([early, late])])
    assert [sorted(slot) for slot in apart] == [[0], [1]]
    near = heard("yes", at=1.0)
    assert combine([early, near, heard("")], SECONDS).text == "yes"


def test_different_words_at_different_times_are_two_slots_in_the_order_of_time():
    first, second = heard("left", at=1.0), heard("right", at=0.0)
    slots = network([tokens_of(h, i, "en") for i, h in enumerate([first, second])])
    assert [[t.key for t in slot.values()] for slot in slots] == [["right"], ["left"]]
    untimed = [heard("left", times="none"), heard("right", times="none")]
    slots = network([tokens_of(h, i, "en") for i, h in enumerate(untimed)])
    assert len(slots) == 1


def test_time_tells_which_of_two_equal_words_is_missing():
    both = heard("no no")
    second = heard("no", at=0.5)
    slots = network([tokens_of(h, i, "en") for i, h in enumerate([both, second])])
    assert [sorted(slot) for slot in slots] == [[0], [0, 1]]
    first = heard("no", at=0.0)
    slots = network([tokens_of(h, i, "en") for i, h in enumerate([both, first])])
    assert [sorted(slot) for slot in slots] == [[0, 1], [0]]


# -- spelling and text ----------------------------------------------------------------------


def test_case_and_marks_are_no_difference():
    done = combine([heard("The cat, sat."), heard("the CAT sat")], SECONDS)
    assert done.text == "The cat, sat." and done.disagreement == 0.0
    assert [word.agreement for word in done.words] == [1.0] * 3


def test_two_that_agree_give_their_text_verbatim():
    own = heard("So — he said: «no»!")
    done = combine([heard("Sue he set no."), own, own], SECONDS)
    assert done.text == own.text


def test_an_answer_without_capitals_and_marks_has_no_say_in_spelling():
    done = combine([heard("it's a cat"), heard("It's a cat."), heard("it's a cat")], SECONDS)
    assert done.text == "It's a cat."


def test_mixed_winners_keep_their_marks():
    texts = ["Big dogs, bark today.", "Pig dogs, bark today.", "Big dogs, park today."]
    assert combine([heard(text) for text in texts], SECONDS).text == "Big dogs, bark today."
    mixed = ["Pig dogs, bark today.", "Big dogs, park today.", "Big dogs, bark to-day!"]
    assert combine([heard(text) for text in mixed], SECONDS).text == "Big dogs, bark today."


def test_signs_without_blanks_are_joined_without_blanks():
    def signs(text):
        words = tuple(
            Word(text=sign, start=0.3 * place, end=0.3 * place + 0.3)
            for place, sign in enumerate(s for s in text if s.isalpha())
        )
        return Transcript(engine="a", text=text, words=words, times="measured", language="zh")

    done = combine([signs("你好、视界。"), signs("你号、世界。"), signs("妳好、世界。")], SECONDS)
    assert done.text == "你好、世界。"
    assert word_ranges(done.text, done.words) is not None


# -- times ----------------------------------------------------------------------------------


def test_times_are_those_of_the_first_engine_that_measured_the_word():
    guessed, one, two = (
        heard("The cat.", times="estimated"),
        heard("the cat", at=0.1),
        heard("the cat", at=0.2),
    )
    done = combine([guessed, one, two], SECONDS)
    assert done.text == "The cat." and done.times == "measured"
    assert [(w.start, w.end) for w in done.words] == [(w.start, w.end) for w in one.words]


def test_a_word_nobody_measured_lies_between_its_measured_neighbours():
    gap = Transcript(
        engine="a",
        text="one three",
        words=(Word(text="one", start=1.0, end=1.4), Word(text="three", start=2.0, end=2.4)),
        times="measured",
    )
    rest = [heard("one two three", times="none"), heard("one two three", times="estimated")]
    done = combine([gap, *rest], SECONDS)
    assert done.times == "estimated"
    assert [(w.text, w.start, w.end) for w in done.words] == [
        ("one", 1.0, 1.4),
        ("two", 1.4, 2.0),
        ("three", 2.0, 2.4),
    ]


def test_without_any_times_words_are_spread_over_the_clip():
    done = combine([heard("a b", times="none"), heard("a b", times="none")], 3.0)
    assert [(w.start, w.end) for w in done.words] == [(0.0, 1.5), (1.5, 3.0)]
    assert done.times == "estimated"


# -- disagreement ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a b", "a b"], 0.0),
        (["a b", "A, B!"], 0.0),
        (["a b", "c d"], 1.0),
        (["a b c d", "a b"], 0.5),
        (["a b", "a c", "a b"], 1 / 3),
        (["", "a"], 1.0),
        (["", ""], 0.0),
        (["a"], None),
    ],
)
def test_disagreement_is_the_mean_error_rate_of_pairs(texts, expected):
    found = disagreement(texts, None)
    assert found is None if expected is None else found == pytest.approx(expected, abs=1e-12)


@given(
    a=st.lists(st.sampled_from("abc"), max_size=8), b=st.lists(st.sampled_from("abc"), max_size=8)
)
def test_edits_equal_those_of_a_known_library(a, b):
    import rapidfuzz

    assert edits(a, b) == rapidfuzz.distance.Levenshtein.distance(a, b) == edits(b, a)


# -- what holds for any answers -------------------------------------------------------------

TEXTS = st.lists(
    st.sampled_from(["the", "The", "cat", "cat,", "bat", "no", "no.", "uhm", "don't", "21", "—"]),
    max_size=7,
).map(" ".join)


@st.composite
def answers(draw, text=TEXTS):
    said = draw(text)
    times = draw(st.sampled_from(["measured", "estimated", "none"]))
    confidence = draw(st.sampled_from([None, 0.25, 0.75]))
    return heard(
        said, times=times, confidence=confidence, at=draw(st.sampled_from([0.0, 0.2, 1.1]))
    )


@given(hypotheses=st.lists(answers(), min_size=2, max_size=5))
def test_words_stand_in_the_text_in_order_with_a_share_each(hypotheses):
    done = combine(hypotheses, SECONDS)
    assert word_ranges(done.text, done.words) is not None or not done.words
    assert len(done.words) == len(done.text.split())
    assert all(1 / len(hypotheses) <= word.agreement <= 1 for word in done.words)
    starts = [word.start for word in done.words]
    assert starts == sorted(starts)
    assert (done.times == "none") == (not done.words)
    assert 0.0 <= done.disagreement <= 1.0
    if done.times == "measured":
        spans = {(w.start, w.end) for h in hypotheses if h.times == "measured" for w in h.words}
        assert {word.start for word in done.words} <= {start for start, _ in spans}


@given(hypotheses=st.lists(answers(), min_size=2, max_size=4))
def test_every_slot_keeps_the_order_of_every_hypothesis(hypotheses):
    tokens = [tokens_of(h, index, "en") for index, h in enumerate(hypotheses)]
    slots = network(tokens)
    for index, own in enumerate(tokens):
        assert [slot[index] for slot in slots if index in slot] == list(own)
    assert all(slots)


@given(hypotheses=st.lists(answers(), min_size=2, max_size=4), data=st.data())
def test_the_network_does_not_depend_on_the_order_of_engines(hypotheses, data):
    order = data.draw(st.permutations(range(len(hypotheses))))

    def shape(indices):
        tokens = [tokens_of(hypotheses[i], place, "en") for place, i in enumerate(indices)]
        return [
            sorted((t.key, indices[t.hypothesis], t.place) for t in slot.values())
            for slot in network(tokens)
        ]

    one, other = shape(range(len(hypotheses))), shape(order)
    # Equal hypotheses may stand for each other.
    assert [[key for key, *_ in slot] for slot in one] == [[key for key, *_ in s] for s in other]


@given(agreed=answers(), other=answers(), place=st.integers(0, 2))
def test_of_three_the_two_that_agree_win(agreed, other, place):
    hypotheses = [agreed, agreed]
    hypotheses.insert(place, other)
    done = combine(hypotheses, SECONDS)
    assert compared_words(done.text, None) == compared_words(agreed.text, None)
    for before, after in itertools.pairwise(done.words):
        assert before.start <= after.start


@given(agreed=answers(), other=answers())
def test_where_no_vote_is_tied_the_order_of_engines_does_not_count(agreed, other):
    texts = {
        compared_words(combine(list(order), SECONDS).text, "en")
        for order in itertools.permutations([agreed, other, agreed])
    }
    assert len(texts) == 1
