"""The learning rate by value, and what holds for every schedule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.schedule import Schedule, begin_of_decay, factor

SCHEDULES = st.builds(
    Schedule,
    kind=st.sampled_from(["wsd", "cosine", "linear", "constant"]),
    warmup=st.integers(0, 50),
    decay=st.floats(0, 1),
    shape=st.sampled_from(["linear", "sqrt", "cosine"]),
    end=st.floats(0, 1),
)


def all_of(settings: Schedule, steps: int) -> list[float]:
    return [factor(settings, step, steps) for step in range(steps)]


def test_wsd_warms_up_stays_and_decays() -> None:
    settings = Schedule(kind="wsd", warmup=4, decay=0.4, end=0.0)
    assert all_of(settings, 10) == pytest.approx(
        [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    )


def test_wsd_decays_by_its_shape() -> None:
    root = Schedule(kind="wsd", decay=0.5, shape="sqrt", end=0.1)
    assert factor(root, 6, 8) == pytest.approx(0.1 + 0.9 * (1 - math.sqrt(0.5)))
    bent = Schedule(kind="wsd", decay=0.5, shape="cosine")
    assert factor(bent, 5, 8) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_cosine_by_value() -> None:
    settings = Schedule(kind="cosine", warmup=2, end=0.01)
    found = all_of(settings, 10)
    assert found[:3] == [0.5, 1.0, 1.0]
    assert found[6] == pytest.approx(0.01 + 0.99 * 0.5)
    assert found[9] == pytest.approx(0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 7 / 8)))


def test_linear_by_value() -> None:
    assert all_of(Schedule(kind="linear", end=0.1), 3) == pytest.approx([1.0, 0.7, 0.4])


def test_a_decay_never_begins_inside_the_warm_up() -> None:
    assert begin_of_decay(Schedule(kind="wsd", warmup=6, decay=1.0), 10) == 6


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="is not one of 10"):
        factor(Schedule(), step, 10)


@given(SCHEDULES, st.integers(1, 200))
def test_every_rate_is_above_zero_and_at_most_the_peak(settings: Schedule, steps: int) -> None:
    assert all(0 < one <= 1 for one in all_of(settings, steps))


@given(SCHEDULES, st.integers(1, 200))
def test_it_rises_to_the_peak_and_then_only_falls(settings: Schedule, steps: int) -> None:
    found = all_of(settings, steps)
    warm, rest = found[: settings.warmup], found[settings.warmup :]
    assert warm == sorted(warm)
    assert rest == sorted(rest, reverse=True)
    assert not rest or rest[0] == 1.0
    assert all(one >= settings.end for one in rest)


@given(SCHEDULES, st.integers(2, 200))
def test_no_step_of_a_decay_is_a_jump_to_the_end(settings: Schedule, steps: int) -> None:
    """The end would be reached right after the last update."""
    if settings.kind == "constant" or begin_of_decay(settings, steps) >= steps - 1:
        return
    assert factor(settings, steps - 1, steps) > settings.end or settings.end == 1
