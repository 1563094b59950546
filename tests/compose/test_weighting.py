"""Epochs of groups: the formulas by value, and what holds for all sizes and budgets."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.compose.weighting import divergences, epochs, unimax

SIZES = {"big": 80.0, "small": 2.0, "middle": 18.0}


def test_proportional_shows_everything_once() -> None:
    assert epochs(SIZES, "proportional") == {"big": 1.0, "middle": 1.0, "small": 1.0}
    assert epochs(SIZES, "proportional", budget=50)["small"] == 0.5


def test_alpha_by_value() -> None:
    found = epochs({"a": 81.0, "b": 1.0, "c": 16.0}, "alpha", alpha=0.5)
    # Powers 9, 1, 4 of a budget of 98: shares 9/14, 1/14, 4/14.
    assert found == pytest.approx({"a": 63 / 81, "b": 7.0, "c": 28 / 16})


def test_alpha_of_one_is_proportional_and_of_nothing_even() -> None:
    assert epochs(SIZES, "alpha", alpha=1.0) == pytest.approx(dict.fromkeys(SIZES, 1.0))
    even = epochs(SIZES, "alpha", alpha=0.0)
    assert [even[name] * size for name, size in SIZES.items()] == pytest.approx([100 / 3] * 3)


def test_unimax_by_value() -> None:
    # 100 over three: the smallest may take 33.3 but only 4 x 2; the rest is halved, 46 each.
    found = unimax(SIZES, 100.0, 4.0)
    assert found == pytest.approx({"small": 8.0, "middle": 46.0, "big": 46.0})
    assert epochs(SIZES, "unimax", max_epochs=4.0)["middle"] == pytest.approx(46 / 18)


def test_unimax_with_a_low_cap_cannot_use_its_budget() -> None:
    found = epochs(SIZES, "unimax", budget=1000.0, max_epochs=1.5)
    assert found == dict.fromkeys(sorted(SIZES), 1.5)


def test_a_target_with_a_cap_gives_the_rest_to_the_others() -> None:
    target = {"small": 0.5, "middle": 0.25, "big": 0.25}
    found = epochs(SIZES, "target", target=target, max_epochs=5.0)
    # small would need 50 of 2: capped at 10; of 90 left, half each.
    assert found == pytest.approx({"small": 5.0, "middle": 45 / 18, "big": 45 / 80})


def test_what_a_target_does_not_name_is_not_shown() -> None:
    assert epochs(SIZES, "target", target={"big": 2.0}) == {"big": 1.25, "middle": 0, "small": 0}
    with pytest.raises(ValueError, match="names none of the groups"):
        epochs(SIZES, "target", target={"other": 1.0})


@pytest.mark.parametrize(
    "wrong",
    [{"budget": -1.0}, {"budget": math.nan}, {"max_epochs": 0.0}, {"target": {"big": -1.0}}],
)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"cannot be shown|shows nothing|0 or more"):
        epochs(SIZES, "target", **({"target": {"big": 1.0}} | wrong))  # type: ignore[arg-type]


sizes = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.floats(0.1, 1e6), min_size=1, max_size=8
)


@given(sizes, st.floats(0.0, 1e7), st.floats(0.1, 20.0))
def test_unimax_keeps_its_cap_and_uses_its_budget(
    groups: dict[str, float], budget: float, cap: float
) -> None:
    found = epochs(groups, "unimax", budget=budget, max_epochs=cap)
    assert all(value <= cap * (1 + 1e-9) for value in found.values())
    shown = math.fsum(found[name] * size for name, size in groups.items())
    room = cap * math.fsum(groups.values())
    assert shown == pytest.approx(min(budget, room), rel=1e-9, abs=1e-9)
    # Of two groups the larger is shown at least as long, and equal ones equally.
    ordered = sorted(groups, key=lambda name: groups[name])
    amounts = [found[name] * groups[name] for name in ordered]
    assert all(a <= b * (1 + 1e-9) + 1e-9 for a, b in itertools.pairwise(amounts))


@given(sizes, st.floats(0.0, 1e7), st.floats(0.1, 20.0), st.floats(0, 1))
def test_capped_alpha_keeps_its_cap_and_uses_its_budget(
    groups: dict[str, float], budget: float, cap: float, alpha: float
) -> None:
    found = epochs(groups, "alpha", budget=budget, max_epochs=cap, alpha=alpha)
    assert all(value <= cap * (1 + 1e-9) for value in found.values())
    shown = math.fsum(found[name] * size for name, size in groups.items())
    assert shown == pytest.approx(min(budget, cap * math.fsum(groups.values())), rel=1e-6, abs=1e-6)


def test_divergences_by_value() -> None:
    kl, js = divergences({"a": 3, "b": 1}, {"a": 1, "b": 1}, 0.0)
    assert kl == pytest.approx(0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25))
    assert 0 < js < kl
    assert divergences({"a": 1}, {"b": 1}, 0.0) == (math.inf, 1.0)
    smoothed, _ = divergences({"a": 1}, {"b": 1}, 0.001)
    assert 9 < smoothed < 11


@given(sizes, sizes)
def test_divergences_are_in_their_bounds(ours: dict[str, float], theirs: dict[str, float]) -> None:
    kl, js = divergences(ours, theirs, 0.001)
    assert kl >= 0 and -1e-12 <= js <= 1 + 1e-12
    assert divergences(theirs, ours, 0.001)[1] == pytest.approx(js, abs=1e-12)
    assert divergences(ours, ours, 0.001) == pytest.approx((0.0, 0.0), abs=1e-12)
