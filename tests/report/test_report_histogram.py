import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import charts, histogram
from pipeline.report.content import Histogram, Threshold
from tests.report.reading import Page


def test_counts_of_known_values() -> None:
    data = histogram.of_values("n", "", np.arange(100))
    assert sum(data.counts) + data.low + data.high == 100
    assert set(data.counts) == {1} or max(data.counts) <= 3
    assert data.median == 49.5 and data.missing == 0


def test_whole_numbers_get_bins_of_at_least_one() -> None:
    data = histogram.of_values("n", "", np.array([1, 2, 2, 3, 3, 3]))
    assert data.edges == (1.0, 2.0, 3.0, 4.0)
    assert data.counts == (1, 2, 3)


def test_the_threshold_is_on_the_axis_and_outliers_do_not_squeeze_it() -> None:
    values = np.concatenate([np.linspace(10, 20, 1000), [1e9]])
    limit = Threshold(value=5.0, direction="min", field="filter.min")
    data = histogram.of_values("x", "dB", values, [limit])
    assert data.edges[0] <= 5.0 and data.edges[-1] < 25
    assert data.high >= 1 and data.low == 0


def test_what_is_not_finite_is_missing() -> None:
    data = histogram.of_values("x", "", [1.0, np.nan, np.inf, 2.0], missing=3)
    assert data.missing == 5 and sum(data.counts) + data.low + data.high == 2


def test_no_values_at_all() -> None:
    limit = Threshold(value=5.0, direction="max", field="f.max")
    data = histogram.of_values("x", "", [], [limit])
    assert data.counts == (0,) and data.median is None
    assert len(Page(charts.histogram(data)).all("line", "threshold")) == 1


def test_one_value_only() -> None:
    data = histogram.of_values("x", "", [3.0] * 7)
    assert sum(data.counts) == 7 and data.edges[0] < 3.0 < data.edges[-1]


def test_edges_must_fit_counts() -> None:
    with pytest.raises(ValueError, match="one edge more than counts"):
        Histogram(name="x", unit="", edges=(0.0, 1.0), counts=(1, 2))


@given(
    st.lists(
        st.floats(allow_nan=True, allow_infinity=True, min_value=None, max_value=None), max_size=60
    ),
    st.floats(min_value=-1e6, max_value=1e6),
)
def test_no_value_is_lost_and_edges_ascend(values: list[float], at: float) -> None:
    bounded = [v for v in values if not np.isfinite(v) or abs(v) < 1e12]
    data = histogram.of_values(
        "x", "", bounded, [Threshold(value=at, direction="min", field="f.min")]
    )
    assert sum(data.counts) + data.low + data.high + data.missing == len(bounded)
    assert all(a < b for a, b in zip(data.edges, data.edges[1:], strict=False))
    assert len(data.counts) <= 3 * histogram.MOST_BINS
    Page(charts.histogram(data))


def test_a_bin_that_the_threshold_cuts_is_half_lost() -> None:
    data = Histogram(
        name="x",
        unit="",
        edges=(0.0, 10.0, 20.0),
        counts=(4, 2),
        thresholds=(Threshold(value=5.0, direction="min", field="f.min"),),
    )
    page = Page(charts.histogram(data))
    columns = page.all("rect", "column")
    lost = page.all("rect", "lost")
    assert len(columns) == 3 and len(lost) == 1
    span = charts.WIDE - charts.LEFT - charts.RIGHT
    assert float(lost[0]["width"] or 0) == pytest.approx(span / 4 - 0.5, abs=0.01)
    heights = [float(c["height"] or 0) for c in columns]
    assert heights[0] == heights[1] == pytest.approx(2 * heights[2], rel=0.01)


def test_values_outside_the_axis_have_a_column_of_their_own() -> None:
    data = Histogram(
        name="x",
        unit="",
        edges=(0.0, 10.0),
        counts=(5,),
        low=2,
        high=3,
        thresholds=(Threshold(value=10.0, direction="max", field="f.max"),),
    )
    page = Page(charts.histogram(data))
    assert len(page.all("rect", "column")) == 3
    assert len(page.all("rect", "lost")) == 1  # the upper one
    labels = page.texts("text", "label")
    assert "< 0" in labels and "> 10" in labels


def test_ticks_are_round_and_inside() -> None:
    assert histogram.ticks(0, 100) == (0.0, 20.0, 40.0, 60.0, 80.0, 100.0)
    assert histogram.ticks(0.03, 0.11) == (0.04, 0.06, 0.08, 0.1)
