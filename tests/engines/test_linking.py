"""Speakers linked from window to window: by what two windows share, by what one window tells
apart, and by voice."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.engines.linking import LEAST_SHARED, Window, linked

NOTHING = (np.nan,) * 4


def window(*speakers) -> Window:
    """A window of (embedding, seconds)."""
    return Window(
        np.array([e for e, _ in speakers], dtype=float).reshape(len(speakers), 4),
        np.array([s for _, s in speakers], dtype=float),
    )


def voice(angle: float) -> tuple[float, ...]:
    """A unit vector at an angle in degrees: cosines of voices are those of their angles."""
    return (np.cos(np.radians(angle)), np.sin(np.radians(angle)), 0.0, 0.0)


def unshared(*windows: Window) -> list[np.ndarray]:
    return [np.zeros((len(a.seconds), len(b.seconds))) for a, b in itertools.pairwise(windows)]


def test_no_windows_and_no_speakers():
    assert linked([], [], similarity=0.7) == []
    empty = window()
    assert linked([empty, empty], unshared(empty, empty), similarity=0.7) == [[], []]


def test_like_voices_are_linked_across_a_window_in_which_they_are_silent():
    three = [
        window((voice(0), 50), (voice(90), 20)),
        window((voice(92), 30)),
        window((voice(88), 10), (voice(3), 40)),
    ]
    assert linked(three, unshared(*three), similarity=0.7) == [[0, 1], [1], [1, 0]]


@pytest.mark.parametrize(("degrees", "same"), [(40, True), (50, False)])
def test_the_threshold_is_the_cosine_of_two_means(degrees, same):
    two = [window((voice(0), 5)), window((voice(degrees), 50))]
    assert linked(two, unshared(*two), similarity=0.7) == [[0], [0 if same else 1]]


def test_speakers_of_one_window_stay_apart_even_through_others():
    two = [window((voice(0), 60), (voice(10), 60)), window((voice(4), 60))]
    assert linked(two, unshared(*two), similarity=0.7) == [[0, 1], [0]]
    three = [*two, window((voice(12), 60), (voice(2), 60))]
    labels = linked(three, unshared(*three), similarity=0.7)
    assert labels[0] == [0, 1] and sorted(labels[2]) == [0, 1] and len(labels[1]) == 1


def test_what_windows_share_beats_their_voices():
    two = [window((voice(0), 60), (voice(90), 60)), window((voice(90), 60), (voice(0), 60))]
    shared = [np.array([[20.0, 1.0], [0.0, 15.0]])]
    assert linked(two, shared, similarity=0.7) == [[0, 1], [0, 1]]
    too_little = [np.array([[LEAST_SHARED - 0.1, 0.0], [0.0, 0.5]])]
    assert linked(two, too_little, similarity=0.7) == [[0, 1], [1, 0]]
    undecided = [np.array([[10.0, 10.0], [10.0, 10.0]])]
    assert linked(two, undecided, similarity=0.7) == [[0, 1], [1, 0]]


def test_voices_that_are_not_numbers_link_by_what_is_shared_only():
    two = [window((NOTHING, 60), (voice(0), 60)), window((NOTHING, 60), ((0.0,) * 4, 9))]
    assert linked(two, unshared(*two), similarity=0.1) == [[0, 1], [2, 3]]
    assert linked(two, [np.array([[9.0, 0.0], [0.0, 0.0]])], similarity=0.1) == [[0, 1], [0, 2]]


def test_a_long_talker_outweighs_a_cough():
    """The mean of a group is weighted by seconds, so a stray second does not drag it away."""
    three = [window((voice(0), 600)), window((voice(40), 1)), window((voice(80), 600))]
    assert linked(three, unshared(*three), similarity=0.7)[2] == [1]


def test_most_speakers_join_the_most_similar_and_at_last_those_told_apart():
    three = [
        window((voice(0), 9), (voice(180), 9)),
        window((voice(60), 9)),
        window((voice(150), 9)),
    ]
    assert linked(three, unshared(*three), similarity=0.99, most=2) == [[0, 1], [0], [1]]
    assert linked(three, unshared(*three), similarity=0.99, most=1) == [[0, 0], [0], [0]]


def synthetic(people: int, windows: int, seed: int, scatter: float) -> tuple[list[Window], list]:
    """Windows of random people, each with a mean voice at `scatter` from its own."""
    draw = np.random.default_rng(seed)
    own = draw.normal(size=(people, 192))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    made, truth = [], []
    for _ in range(windows):
        chosen = draw.permutation(people)[: int(draw.integers(1, people + 1))]
        noise = draw.normal(size=(len(chosen), 192)) * scatter / np.sqrt(192)
        made.append(Window(own[chosen] + noise, draw.uniform(5, 300, len(chosen))))
        truth.append(chosen.tolist())
    return made, truth


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 31), st.integers(0, 10_000))
def test_people_of_ten_hours_are_found_again(people, count, seed):
    """31 windows of 20 minutes; means of one person have a cosine of about .8."""
    windows, truth = synthetic(people, count, seed, scatter=0.5)
    labels = linked(windows, unshared(*windows), similarity=0.6)
    pairs = {
        (t, f)
        for own, found in zip(truth, labels, strict=True)
        for t, f in zip(own, found, strict=True)
    }
    assert len(pairs) == len({t for t, _ in pairs}) == len({f for _, f in pairs})
    flat = [label for found in labels for label in found]
    assert list(dict.fromkeys(flat)) == list(range(len(set(flat))))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_one_window_never_names_one_speaker_twice(people, count, seed, similarity):
    windows, _ = synthetic(people, count, seed, scatter=2.0)
    draw = np.random.default_rng(seed)
    shared = [
        draw.uniform(0, 30, (len(a.seconds), len(b.seconds)))
        for a, b in itertools.pairwise(windows)
    ]
    for found in linked(windows, shared, similarity=similarity):
        assert len(set(found)) == len(found)
