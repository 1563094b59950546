"""A curve through measured points is found again where the points lie on one."""

import pytest

from benchmarks.curves import fit, slope

HOURS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


@pytest.mark.parametrize("a", [0.0, 2.0])
@pytest.mark.parametrize("e", [0.8, 1.0, 1.3])
def test_points_on_a_curve_give_the_curve(a: float, e: float) -> None:
    found = fit(HOURS, [a + 5 * x**e for x in HOURS])
    assert found.a == pytest.approx(a, abs=0.02)
    assert (found.b, found.e) == (pytest.approx(5, rel=0.01), pytest.approx(e, abs=0.011))
    assert found.error < 0.005
    assert found(50.0) == pytest.approx(a + 5 * 50**e, rel=0.01)


def test_what_costs_the_same_whatever_it_holds_is_a_constant() -> None:
    found = fit(HOURS, [3.0] * len(HOURS))
    assert found.b * 100**found.e < 0.05 and found.a == pytest.approx(3.0, rel=0.01)


def test_neither_part_is_negative_where_points_would_ask_for_it() -> None:
    falling = fit(HOURS, [5.0, 4.0, 3.0, 2.0, 1.5, 1.2, 1.0])
    assert falling.a >= 0 and falling.b >= 0 and falling.error > 0.1
    assert fit(HOURS, [x**2.5 for x in HOURS]).a == 0.0


def test_two_points_are_too_few() -> None:
    with pytest.raises(ValueError, match="three points"):
        fit([1.0, 2.0], [1.0, 2.0])


def test_the_slope_is_that_of_the_last_two() -> None:
    assert slope([1.0, 10.0, 100.0], [7.0, 2.0, 200.0]) == pytest.approx(2.0)
