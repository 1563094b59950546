"""What a study may say: intervals, the sign-flip test, Holm, verdicts, areas."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trainer.ablation.statistics import area, compare, holm, interval, sign_flip, verdict

VALUES = st.lists(st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=2)


def test_the_interval_is_students():
    values = [0.919 - 0.475, 0.975 - 0.419, 0.794 - 0.488, 0.894 - 0.456]
    found = interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values)) and found.seeds == 4
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.holds(0.0) is False and found.holds(0.43) is True


def test_one_seed_has_no_interval_and_none_is_refused():
    found = interval([0.5])
    assert (found.mean, found.low, found.high, found.holds(0.5)) == (0.5, None, None, None)
    with pytest.raises(ValueError):
        interval([])
    with pytest.raises(ValueError):
        interval([0.1, math.nan])


def test_the_sign_flip_test_counts_every_pattern():
    assert sign_flip([1.0, 2.0, 3.0]) == 2 / 8  # only all signs alike are as extreme
    assert sign_flip([1.0] * 8) == 2 / 256
    assert sign_flip([-1.0] * 5) == 2 / 32
    assert sign_flip([1.0, -1.0]) == 1.0
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0
    # 0.5 - 1 + 3 = 2.5; the patterns with |sum| of at least 2.5: +-(.5 1 3), +-(.5 -1 3), -+...
    sums = [abs(a * 0.5 + b * 1 + c * 3) for a, b, c in itertools.product((1, -1), repeat=3)]
    assert sign_flip([0.5, -1.0, 3.0]) == sum(s >= 2.5 for s in sums) / 8


@settings(max_examples=60)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_the_sign_flip_test_sees_neither_side_nor_order(values):
    p = sign_flip(values)
    assert 2 / 2 ** len(values) <= p + 1e-12 and p <= 1
    assert sign_flip([-value for value in values]) == p
    assert sign_flip(values[::-1]) == p


def test_many_seeds_are_drawn_and_agree_with_the_exact_count():
    chance = np.random.default_rng(3)
    values = list(chance.normal(0.25, 1.0, 16))
    padded = [*values, 0.0]  # 17: drawn; a difference of 0 changes no sum
    assert sign_flip(padded) == pytest.approx(sign_flip(values), abs=0.01)
    assert sign_flip(padded) == sign_flip(padded)


def test_under_no_difference_p_is_below_alpha_as_often_as_alpha_says():
    chance = np.random.default_rng(5)
    below = np.mean([sign_flip(list(chance.normal(0, 1, 8))) <= 0.05 for _ in range(400)])
    assert 0.02 < below < 0.085


def test_holm_is_the_published_step_down():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=6))
def test_holm_never_lowers_a_p_and_keeps_their_order(values):
    found = holm(values)
    assert all(found[name] >= values[name] for name in values)
    for a, b in itertools.combinations(values, 2):
        if values[a] < values[b]:
            assert found[a] <= found[b]


def test_arms_are_paired_by_seed():
    found = compare("a", "b", {1: 0.9, 2: 0.8, 4: 0.7}, {2: 0.5, 1: 0.4, 3: 0.0})
    assert found is not None
    assert found.differences == pytest.approx({1: 0.5, 2: 0.3})
    assert compare("a", "b", {1: 1.0}, {2: 1.0}) is None


@pytest.mark.parametrize(
    ("values", "corrected", "said"),
    [
        ([0.4, 0.5, 0.45, 0.42, 0.44, 0.5], 0.03, "shown"),
        ([-0.4, -0.5, -0.45, -0.42, -0.44, -0.5], 0.03, "the opposite is shown"),
        ([0.4, 0.5, 0.45, 0.42, 0.44, 0.5], 0.06, "not shown: the interval is clear of zero"),
        ([0.4, -0.5, 0.45, 0.42, 0.44, 0.5], 0.01, "not shown: the interval includes zero"),
        ([0.4, 0.5, 0.45, 0.42], 0.01, "no claim: 4 of at least 5 seeds"),
    ],
)
def test_verdicts(values, corrected, said):
    left = dict(enumerate(values))
    found = compare("a", "b", left, dict.fromkeys(left, 0.0))
    assert found is not None and verdict(found, corrected, 0.05).startswith(said)


def test_with_five_seeds_the_test_cannot_reach_five_percent_and_the_verdict_says_so():
    left = dict(enumerate([0.5] * 4 + [0.4]))
    found = compare("a", "b", left, dict.fromkeys(left, 0.0))
    assert found is not None and found.p == 2 / 32
    assert "with 5 seeds p is never below 0.0625" in verdict(found, found.p, 0.05)


def test_the_area_is_the_mean_height():
    assert area({0: 0.0, 10: 1.0, 20: 1.0}, 0, 20) == 0.75
    assert area({0: 9.0, 10: 0.5, 30: 0.5, 40: 9.0}, 10, 30) == 0.5
    with pytest.raises(ValueError, match="no area from 0 to 20"):
        area({10: 1.0, 20: 1.0}, 0, 20)
