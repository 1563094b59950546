"""Intervals and the removal test: against other formulas, and over many simulated sets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainer.evaluation.contamination import removal_test
from trainer.evaluation.intervals import EXACT, mean_of, ratio, through


def test_single_items_give_the_t_interval_of_a_mean() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0, 0.25, 1.0]
    found = ratio(values, [1] * 7, [str(k) for k in range(7)])
    low, high = stats.t.interval(0.95, 6, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.freedom == 6


def test_clusters_of_equal_items_count_once() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    once = ratio(values, [1] * 5, list("abcde"))
    thrice = ratio(np.repeat(values, 3), [1] * 15, list(np.repeat(list("abcde"), 3)))
    assert thrice.error == pytest.approx(once.error)
    assert (thrice.low, thrice.clusters, thrice.items) == (pytest.approx(once.low), 5, 15)


def test_a_constant_ratio_has_no_spread() -> None:
    found = ratio([2.0, 4.0, 8.0], [1, 2, 4], list("abc"))
    assert (found.low, found.value, found.high) == (2.0, 2.0, 2.0)


def test_one_cluster_has_no_interval() -> None:
    found = ratio([1.0, 0.0], [1, 1], ["a", "a"])
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "one cluster" in found.method


def test_all_right_is_bounded_by_the_exact_binomial() -> None:
    found = ratio([1.0] * 30, [1] * 30, [str(k) for k in range(30)], share=True)
    exact = stats.binomtest(30, 30).proportion_ci(0.95, method="exact")
    assert found.method == EXACT
    assert (found.low, found.high) == (pytest.approx(exact.low), 1.0)
    wrong = ratio([0.0] * 30, [1] * 30, [str(k) for k in range(30)], share=True)
    assert (wrong.low, wrong.high) == (0.0, pytest.approx(1 - exact.low))


@pytest.mark.parametrize(
    ("over", "under", "clusters"),
    [([], [], []), ([1.0], [0.0], ["a"]), ([1.0], [1.0, 1.0], ["a"]), ([1.0], [1.0], [])],
)
def test_nothing_to_divide_is_refused(
    over: list[float], under: list[float], clusters: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"nothing was counted|values of"):
        ratio(over, under, clusters)


@pytest.mark.parametrize("kind", ["items", "clusters", "losses"])
def test_intervals_cover(kind: str) -> None:
    """95 % of 2,000 made sets: accuracy of items, of clusters of four, nats over tokens."""
    rng = np.random.default_rng(1)
    covered, rounds = 0, 2000
    for _ in range(rounds):
        if kind == "items":
            truth, under, names = 0.6, np.ones(120), np.arange(120)
            over = (rng.random(120) < truth).astype(float)
        elif kind == "clusters":
            truth, under, names = 0.5, np.ones(160), np.repeat(np.arange(40), 4)
            over = (rng.random(160) < rng.beta(1, 1, 40).repeat(4)).astype(float)
        else:
            truth, names = 3.0, np.repeat(np.arange(50), 2)
            under = rng.integers(5, 200, 100).astype(float)
            over = under * rng.gamma(9, 1 / 3, 50).repeat(2)
        found = ratio(over, under, [str(n) for n in names], share=kind != "losses")
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.925 < covered / rounds < 0.97  # 0.95, give or take 0.005, less for skewed losses


def test_ignoring_clusters_would_not_cover() -> None:
    """What the clusters are for: the same sets, every item on its own."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(500):
        over = (rng.random(160) < rng.beta(0.5, 0.5, 40).repeat(4)).astype(float)
        found = ratio(over, np.ones(160), [str(n) for n in range(160)])
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert covered / 500 < 0.85


def test_the_mean_of_sets() -> None:
    rng = np.random.default_rng(3)
    sets = [
        ratio((rng.random(n) < p).astype(float), np.ones(n), [str(k) for k in range(n)])
        for n, p in ((100, 0.4), (200, 0.5), (300, 0.6))
    ]
    found = mean_of(sets)
    assert found.value == pytest.approx(np.mean([one.value for one in sets]))
    errors = [one.error or 0 for one in sets]
    assert found.error == pytest.approx(math.hypot(*errors) / 3)
    assert 99 < (found.freedom or 0) < 597
    alone = mean_of([*sets, ratio([1.0], [1], ["a"])])
    assert alone.low is None and "no interval" in alone.method


def test_a_transformed_interval_keeps_its_order() -> None:
    found = through(ratio([1.0, 2.0, 4.0], [1, 1, 1], list("abc")), math.exp)
    assert found.low is not None and found.high is not None
    assert 0 < found.low < found.value < found.high
    assert found.value == pytest.approx(math.exp(7 / 3))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=2, max_size=40),
)
def test_intervals_hold_their_value(rows: list[tuple[float, int]]) -> None:
    values, clusters = [v for v, _ in rows], [str(c) for _, c in rows]
    found = ratio(values, [1] * len(rows), clusters, share=True)
    assert found.value == pytest.approx(np.mean(values))
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.high <= 1


def test_planted_leaks_are_found() -> None:
    """Flagged items all right, others at 40 %: removing them lowers the score as no draw does."""
    rng = np.random.default_rng(4)
    flagged = np.arange(400) < 40
    values = np.where(flagged, 1.0, rng.random(400) < 0.4).astype(float)
    found = removal_test(values, flagged)
    assert found.p == pytest.approx(1 / 10_001)
    assert found.significant
    assert found.clean is not None and found.random_low is not None
    assert found.clean < found.random_low < found.all
    assert found.flagged_only == 1.0
    # items that are harder when flagged are no sign of a leak
    harder = removal_test(1 - values, flagged)
    assert harder.p is not None and harder.p > 0.99


def test_p_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(5)
    found = []
    for turn in range(400):
        values = rng.random(80)  # credits without ties
        one = removal_test(values, rng.permutation(np.arange(80) < 10), removals=400, seed=turn)
        assert one.p is not None
        found.append(one.p)
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_p_of_right_and_wrong_is_never_too_small() -> None:
    rng = np.random.default_rng(6)
    found = []
    for turn in range(400):
        values = (rng.random(200) < 0.5).astype(float)
        one = removal_test(values, rng.permutation(np.arange(200) < 30), removals=400, seed=turn)
        found.append(one.p or 0)
    for level in (0.01, 0.05, 0.1, 0.25, 0.5):
        share = np.mean(np.array(found) <= level)
        assert share <= level + 3 * math.sqrt(level * (1 - level) / 400)
    assert np.mean(np.array(found) <= 0.5) > 0.3  # and not so careful that it says nothing


def test_random_removals_are_hypergeometric() -> None:
    values = np.array([1.0] * 30 + [0.0] * 70)
    flagged = np.zeros(100, bool)
    flagged[:12] = True
    found = removal_test(values, flagged, removals=20_000)
    # p = P(at least 12 of 12 removed were right)
    exact = stats.hypergeom(100, 30, 12).sf(11)
    assert found.p == pytest.approx((1 + 20_000 * exact) / 20_001, abs=2e-4)
    assert found.random_mean == pytest.approx(0.3, abs=0.002)
    flagged = np.zeros(100, bool)
    flagged[[0, 1, 2, 3, 60, 61, 62, 63, 64, 65, 66, 67]] = True
    exact = stats.hypergeom(100, 30, 12).sf(3)
    assert removal_test(values, flagged).p == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_or_everything_flagged_has_no_test(count: int) -> None:
    found = removal_test([1.0, 0.0, 1.0, 1.0, 0.0], [k < count for k in range(5)])
    assert (found.all, found.p, found.significant, found.clean) == (0.6, None, None, None)


def test_the_same_seed_gives_the_same_p() -> None:
    rng = np.random.default_rng(7)
    values, flagged = rng.random(50), rng.random(50) < 0.2
    assert removal_test(values, flagged) == removal_test(values, flagged)
    assert removal_test(values, flagged, seed=1) != removal_test(values, flagged)
