"""The published laws of word spans: their statistics, and that they deal every word once."""

import itertools
import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.synthesize.span_laws import Dealt, inserter, inserter_sentences, lst, poisson

WORDS, DOCUMENTS = 1_000, 300  # what methods e.1 gives its statistics for


def documents(law: Callable[[int, random.Random], list[Dealt]]) -> list[list[Dealt]]:
    return [law(WORDS, random.Random(number)) for number in range(DOCUMENTS)]


def mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def lengths(dealt: Sequence[list[Dealt]], spoken: bool) -> list[int]:
    return [end - start for one in dealt for start, end, said in one if said is spoken]


@pytest.mark.parametrize(
    ("eta", "share", "speech", "text", "segments"),
    [(0.2, 0.205, 9.8, 36.9, 42), (0.3, 0.305, 9.75, 21.8, 63), (0.4, 0.404, 9.6, 14.0, 84)],
)
def test_poisson_spans_have_the_published_statistics(
    eta: float, share: float, speech: float, text: float, segments: float
) -> None:
    """Methods e.1: Zeng's law by SIMS's algorithm, 1,000 words x 300 documents."""
    dealt = documents(lambda count, rng: poisson(count, rng, eta))
    assert sum(lengths(dealt, True)) / (WORDS * DOCUMENTS) == pytest.approx(share, abs=0.003)
    assert mean(lengths(dealt, True)) == pytest.approx(speech, abs=0.15)
    assert mean(lengths(dealt, False)) == pytest.approx(text, rel=0.02)
    assert mean([len(one) for one in dealt]) == pytest.approx(segments, rel=0.02)


def test_poisson_lengths_spread_as_poisson_does() -> None:
    found = lengths(documents(lambda count, rng: poisson(count, rng, 0.05)), True)
    # at a small share hardly any is rejected: mean and variance are those of the law itself
    assert mean(found) == pytest.approx(10.0, abs=0.3)
    assert mean([(one - 10) ** 2 for one in found]) == pytest.approx(10.0, abs=1.5)
    assert min(found) >= 1


def test_poisson_begins_anywhere_alike() -> None:
    """A tenth of the spans begins in each tenth of the text."""
    starts = [start for one in documents(poisson) for start, _, spoken in one if spoken]
    for tenth in range(10):
        inside = sum(100 * tenth <= start < 100 * tenth + 100 for start in starts)
        assert inside / len(starts) == pytest.approx(0.1, abs=0.012)


def test_lst_speaks_one_word_in_three() -> None:
    """Methods b.1: a text span, then a speech span of half its length; words 1 : 2."""
    dealt = [lst(30_000, random.Random(number)) for number in range(20)]
    speech, text = lengths(dealt, True), lengths(dealt, False)
    assert sum(speech) / sum(text) == pytest.approx(0.5, abs=0.005)
    assert mean(text) == pytest.approx(15.0, abs=0.2)
    for one in dealt:
        assert [spoken for _, _, spoken in one] == [bool(n % 2) for n in range(len(one))]
        for (a, b, _), (c, d, _) in zip(one[:-1:2], one[1:-1:2], strict=False):
            assert abs((d - c) - (b - a) / 2) <= 0.5
    assert {5, 25} == {min(text[:-1]), max(text)} or min(text) < 5  # the last may be cut off


def test_inserter_spans_have_at_least_five_words() -> None:
    """Methods g: at least 5 words; best at a share of 30 %."""
    dealt = documents(inserter)
    speech = lengths(dealt, True)
    assert min(speech) == 5
    assert mean(speech) == pytest.approx(10.0, abs=0.4)
    assert sum(speech) / (WORDS * DOCUMENTS) == pytest.approx(0.305, abs=0.004)


def test_inserter_sentences_are_whole_and_keep_their_share() -> None:
    rng = random.Random(3)
    shares = []
    for number in range(DOCUMENTS):
        words = [rng.randint(3, 40) for _ in range(50)]
        spoken = inserter_sentences(words, random.Random(number), 0.4)
        share = sum(n for n, said in zip(words, spoken, strict=True) if said) / sum(words)
        assert 0.4 <= share < 0.4 + 40 / sum(words)
        shares.append(share)
    assert len(set(shares)) > 100


LAWS: list[Callable[[int, random.Random], list[Dealt]]] = [
    poisson,
    lst,
    inserter,
    lambda count, rng: poisson(count, rng, 0.6, 1.0),
    lambda count, rng: poisson(count, rng, 0.6, 400.0),
    lambda count, rng: inserter(count, rng, 0.6, 5.0),
    lambda count, rng: lst(count, rng, 1, 1),
]


@given(st.integers(0, 400), st.integers(0, 2**32), st.sampled_from(LAWS))
def test_every_word_is_dealt_once_and_in_order(
    count: int, seed: int, law: Callable[[int, random.Random], list[Dealt]]
) -> None:
    dealt = law(count, random.Random(seed))
    at = 0
    for start, end, _ in dealt:
        assert start == at < end
        at = end
    assert at == count
    assert dealt == law(count, random.Random(seed))


@given(st.integers(100, 400), st.integers(0, 2**32), st.sampled_from([0.1, 0.3, 0.4]))
def test_spoken_spans_never_touch_and_reach_the_share(count: int, seed: int, eta: float) -> None:
    dealt = poisson(count, random.Random(seed), eta)
    assert all(a[2] != b[2] for a, b in itertools.pairwise(dealt))
    assert sum(end - start for start, end, spoken in dealt if spoken) >= math.ceil(eta * count)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(0, 2**32))
def test_sentences_are_flagged_each(words: list[int], seed: int) -> None:
    spoken = inserter_sentences(words, random.Random(seed), 0.4)
    assert len(spoken) == len(words)
    total = sum(n for n, said in zip(words, spoken, strict=True) if said)
    assert total >= 0.4 * sum(words)


def test_texts_of_few_words() -> None:
    assert poisson(0, random.Random(1)) == lst(0, random.Random(1)) == []
    assert poisson(1, random.Random(1)) == [(0, 1, True)]
    assert inserter(4, random.Random(1)) == [(0, 4, False)]
    assert inserter(5, random.Random(1)) == [(0, 5, True)]
    assert lst(3, random.Random(1)) == [(0, 3, False)]
    assert inserter_sentences([], random.Random(1)) == []
