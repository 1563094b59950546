"""Fits of scaling: truth is recovered from made runs, and what is not there is not found."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.budget.made_points import BUDGETS, SPEECH, made_points, optimum
from trainer.budget.intervals import percentiles
from trainer.budget.isoflop import power_law, valleys
from trainer.budget.parametric import Law, effective_positions, fit
from trainer.budget.points import read_points, write_points
from trainer.budget.recommend import cost_of, least_unique, recommend
from trainer.failures import SetupError

NOISE = 5e-4  # of ln L: seeds of one run differ by about as much


def test_the_made_optimum_is_that_of_the_published_law() -> None:
    """(N*, D*) of the table in the specification of arXiv 2404.00685: 35M, 107M, 0.33B."""
    assert optimum(SPEECH, 1e18) == pytest.approx(35e6, rel=0.02)
    assert optimum(SPEECH, 1e19) == pytest.approx(107e6, rel=0.02)
    assert optimum(SPEECH, 1e20) == pytest.approx(0.33e9, rel=0.02)
    assert SPEECH.loss(35e6, 4.8e9) == pytest.approx(2.10, abs=0.005)


def test_parabolas_find_the_optima_within_five_percent() -> None:
    found = valleys(made_points(noise=NOISE, seeds=2), resamples=200)
    assert [one.budget for one in found] == list(BUDGETS)
    for one in found:
        assert one.size == pytest.approx(optimum(SPEECH, one.budget), rel=0.05)
        assert one.interval.low is not None and one.interval.high is not None
        assert one.interval.low < one.size < one.interval.high
        n = optimum(SPEECH, one.budget)
        assert one.loss == pytest.approx(SPEECH.loss(n, one.budget / 6 / n), rel=0.002)


def test_the_power_law_has_the_exponent_of_the_truth() -> None:
    law = power_law(valleys(made_points(noise=NOISE, seeds=2), resamples=50), resamples=200)
    truth = SPEECH.beta / (SPEECH.alpha + SPEECH.beta)
    assert law is not None
    assert law.exponent == pytest.approx(truth, rel=0.05)
    assert law.interval.low is not None and law.interval.high is not None
    assert law.interval.low <= truth <= law.interval.high
    assert (law.first, law.last) == (BUDGETS[0], BUDGETS[-1])
    assert law.at(1e19) == pytest.approx(optimum(SPEECH, 1e19), rel=0.05)


def test_without_noise_the_five_numbers_are_recovered() -> None:
    found = fit(made_points(), resamples=0)
    for name in ("e", "a", "b", "alpha", "beta"):
        assert getattr(found.law, name) == pytest.approx(getattr(SPEECH, name), rel=1e-3)
    assert found.law.repeats is None and found.at_bounds == ()
    assert found.worst < 1e-6


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_noise_the_law_is_recovered_within_five_percent(seed: int) -> None:
    law = fit(made_points(noise=NOISE, seeds=3, seed=seed), resamples=0).law
    for name in ("e", "alpha", "beta"):
        assert getattr(law, name) == pytest.approx(getattr(SPEECH, name), rel=0.05)
    for budget in BUDGETS:
        assert optimum(law, budget) == pytest.approx(optimum(SPEECH, budget), rel=0.05)


def test_a_run_gone_wrong_does_not_move_the_law() -> None:
    points = made_points()
    points[10] = dataclasses.replace(points[10], loss=points[10].loss * 1.1)
    law = fit(points, resamples=0).law
    assert law.alpha == pytest.approx(SPEECH.alpha, rel=0.05)
    assert optimum(law, 1e19) == pytest.approx(optimum(SPEECH, 1e19), rel=0.05)


def test_what_repeats_are_worth_is_recovered() -> None:
    truth = dataclasses.replace(SPEECH, repeats=15.4)  # of arXiv 2305.16264
    points = made_points(truth, passes=(1, 4, 16, 64), noise=1e-4)
    law = fit(points, resamples=0).law
    assert law.repeats == pytest.approx(15.4, rel=0.05)
    assert law.alpha == pytest.approx(SPEECH.alpha, rel=0.05)
    assert law.loss(1e8, 1e9, 1e7) == pytest.approx(truth.loss(1e8, 1e9, 1e7), rel=0.005)


def test_repeats_that_no_run_had_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="no run repeated"):
        SPEECH.loss(1e8, 1e9, 1e8)


@given(
    unique=st.floats(1e3, 1e12), often=st.floats(1, 1000), repeats=st.floats(0.1, 100),
    more=st.floats(1.01, 4),
)  # fmt: skip
def test_effective_positions_never_exceed_what_was_read_and_always_grow(
    unique: float, often: float, repeats: float, more: float
) -> None:
    read = unique * often
    worth = effective_positions(read, unique, repeats)
    assert unique * (1 - 1e-9) <= worth <= read * (1 + 1e-9)
    assert effective_positions(read * more, unique, repeats) >= worth
    assert worth <= unique * (1 + repeats) * (1 + 1e-9)


@pytest.mark.parametrize(
    "parts,side", [((1, 2, 3, 4, 6), "below"), ((1 / 6, 0.3, 0.5, 1), "above")]
)
def test_an_optimum_at_the_edge_is_not_found(parts: tuple[float, ...], side: str) -> None:
    found = valleys(made_points(sizes=parts, noise=NOISE), resamples=100)
    for one in found:
        assert one.size is None and one.loss is None
        assert one.why.startswith("not found: at the edge") and side in one.why
        end = one.interval.low if side == "below" else one.interval.high
        assert end is None
    assert power_law(found) is None


def test_runs_far_from_the_best_are_left_out_of_its_parabola() -> None:
    points = made_points(budgets=(1e19,), noise=NOISE)
    n = points[3].parameters
    wild = dataclasses.replace(points[0], parameters=n * 20, loss=points[0].loss + 3)
    (plain,), (found,) = valleys(points, resamples=20), valleys([*points, wild], resamples=20)
    assert found.size == plain.size and found.beyond == (wild,)
    few = made_points(budgets=(1e19,), sizes=(0.02, 0.2, 1, 6, 40))
    assert len(valleys(few, resamples=20)[0].points) >= 4


def test_few_sizes_and_curves_that_do_not_bend_up_are_not_found() -> None:
    few = valleys(made_points(sizes=(0.5, 1, 2)), resamples=10)
    assert all(one.size is None and "3 sizes" in one.why for one in few)
    points = made_points(budgets=(1e19,), sizes=(0.25, 0.5, 1, 2, 4))
    humps = (2.0, 2.3, 1.99, 2.3, 2.0)
    bent = [dataclasses.replace(p, loss=y) for p, y in zip(points, humps, strict=True)]
    assert "bend up" in valleys(bent, resamples=10)[0].why


def test_too_few_runs_do_not_determine_the_law() -> None:
    with pytest.raises(SetupError, match="at least 8 runs"):
        fit(made_points(budgets=(1e18,), sizes=(0.5, 1, 2)))


def test_recommended_is_the_optimum_with_an_interval_that_holds_it() -> None:
    truth = dataclasses.replace(SPEECH, repeats=15.4)
    fitted = fit(made_points(truth, passes=(1, 8), noise=NOISE), resamples=60)
    found = recommend(fitted, 1e19, hours_per_position=1 / 90_000)
    n = optimum(truth, 1e19)
    assert found.found and not found.extrapolated
    assert found.size == pytest.approx(n, rel=0.05)
    assert found.positions == pytest.approx(1e19 / 6 / n, rel=0.05)
    low, high = found.size_interval.low, found.size_interval.high
    assert low is not None and high is not None and low < n < high
    assert found.unique is not None and found.passes is not None
    expected = least_unique(truth, n, 1e19 / 6 / n, found.rise)
    assert found.unique == pytest.approx(expected, rel=0.1)
    assert found.unique * found.passes == pytest.approx(found.positions)
    assert found.passes > 2  # the first repeats are worth nearly as much as new data
    assert found.hours == pytest.approx(found.unique / 90_000)
    assert found.hours_interval is not None and found.hours_interval.low is not None
    assert found.hours_interval.low < found.hours


def test_without_repeats_in_the_runs_everything_is_read_once() -> None:
    found = recommend(fit(made_points(), resamples=5), 1e19)
    assert not found.repeats_known
    assert found.passes == 1.0 and found.unique == found.positions and found.hours is None


def test_a_recommendation_at_the_edge_is_not_found() -> None:
    fitted = fit(made_points(sizes=(2, 2.5, 3, 4, 6)), resamples=20)
    found = recommend(fitted, BUDGETS[0])
    assert not found.found and found.why.startswith("not found: at the edge")
    assert found.size is None and found.positions is None and found.passes is None


def test_a_budget_that_was_not_run_is_refused_or_marked() -> None:
    fitted = fit(made_points(), resamples=5)
    with pytest.raises(SetupError, match="outside those that were run"):
        recommend(fitted, 1e22)
    found = recommend(fitted, 1e21, extrapolate=True)
    assert found.extrapolated
    assert found.size == pytest.approx(optimum(SPEECH, 1e21), rel=0.05)


def test_the_cost_of_sizes_goes_through_the_runs() -> None:
    points = made_points(budgets=(1e18,))
    cost = cost_of(points)
    for one in points:
        assert cost(one.parameters) == pytest.approx(one.cost)
    largest = max(points, key=lambda one: one.parameters)
    assert cost(largest.parameters + 10) == pytest.approx(largest.cost + 60)


@settings(max_examples=60)
@given(st.lists(st.floats(1, 10) | st.sampled_from([-math.inf, math.inf, math.nan]), min_size=1))
def test_intervals_are_open_where_optima_may_lie_beyond(values: list[float]) -> None:
    found = percentiles(values, 0.9)
    finite = [one for one in values if math.isfinite(one)]
    assert found.found == pytest.approx(len(finite) / len(values))
    for end in (found.low, found.high):
        assert end is None or end in finite
    if found.low is not None and found.high is not None:
        assert found.low <= found.high
    if len(finite) == len(values):
        assert found.low is not None and found.high is not None
    lost = len(values) - len(finite)
    if lost > 0.2 * len(values) + 2:
        assert found.low is None or found.high is None


def test_points_are_kept_as_a_table(tmp_path: Path) -> None:
    points = tuple(made_points(seeds=2, noise=NOISE, budgets=(1e18,)))
    write_points(points, tmp_path / "points.csv")
    assert read_points(tmp_path / "points.csv") == points
    (tmp_path / "bad.csv").write_text("budget,flops,parameters,positions,loss\n1,1,1,1,\n")
    with pytest.raises(SetupError, match=r"bad.csv:2: no loss"):
        read_points(tmp_path / "bad.csv")
    (tmp_path / "worse.csv").write_text("budget,flops,parameters,positions,loss\n1,1,1,1,-1\n")
    with pytest.raises(SetupError, match="loss is -1"):
        read_points(tmp_path / "worse.csv")


def test_laws_say_what_they_are() -> None:
    assert Law(e=1, a=1, b=1, alpha=1, beta=1).loss(2.0, 4.0) == 1 + 0.5 + 0.25
    assert np.isfinite(SPEECH.loss(1e6, 1e6))
