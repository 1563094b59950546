import math

import pytest

from pipeline.report import clean, figures
from pipeline.report.content import Value


@pytest.mark.parametrize(
    ("seconds", "places", "shown"),
    [
        (3600.0, 3, "1.000"),
        (4_320_000.0, 1, "1,200.0"),
        (0.0, 2, "0.00"),
        (0.2, 2, "<0.01"),
        (None, 2, "\u2013"),
    ],
)
def test_hours(seconds: float | None, places: int, shown: str) -> None:
    assert figures.hours(seconds, places) == shown


def test_places_follow_the_size() -> None:
    hour = 3600.0
    assert [figures.hour_places(h * hour) for h in (0, 0.99, 1, 9.9, 10, 999, 1000)] == [
        4, 4, 3, 3, 2, 2, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5.0, "5"),
        (-21.4, "\u221221.4"),
        (0.012345, "0.01235"),
        (1234.56, "1,235"),
        (0.0, "0"),
        (100.0, "100"),
        (1e-7, "1.000e\u221207"),
        (math.nan, "not a number"),
        (7, "7"),
        (True, "yes"),
        (None, "none"),
        ("en\n", "en "),
    ],
)
def test_scores(value: Value, shown: str) -> None:
    assert figures.score(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(4.2, "4.20 s"), (185.0, "3 min 05 s"), (59.999, "60.00 s"), (7620.0, "2 h 07 min")],
)
def test_lengths(seconds: float, shown: str) -> None:
    assert figures.seconds(seconds).replace(figures.NARROW, " ") == shown


def test_clock_carries_over() -> None:
    assert figures.clock(59.96) == "1:00.0"
    assert figures.clock(3723.4) == "1:02:03.4"


def test_shares_and_sizes() -> None:
    assert figures.share(1, 3) == "33.3\u202f%"
    assert figures.share(1, 1e9) == "<0.1\u202f%"
    assert figures.share(1, 0) == "\u2013"
    assert figures.size(999) == "999\u202fB" and figures.size(1_250_000) == "1.2\u202fMB"


def test_terminal_widths() -> None:
    assert clean.width("渡轮") == 4 and clean.width("e\u0301") == 1
    assert clean.cut("渡轮六点", 6) == "渡轮…"
    assert clean.pad("渡", 4) == "渡  " and clean.pad("7", 3, right=True) == "  7"
