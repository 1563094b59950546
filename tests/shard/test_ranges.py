"""Ranges: every member once, within the bounds, free of order, and local under change."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ids import digest_of
from schemas.ranges import HIGHEST, LONE, LOWEST, Range, cut

TARGET = 100.0

sizes = st.one_of(
    st.floats(0, 10), st.floats(0, 400), st.sampled_from([0.0, 25.0, 100.0, 175.0, 200.0])
)
members = st.dictionaries(st.integers(0, 10**6).map(lambda n: digest_of("m", n)), sizes).map(
    lambda found: list(found.items())
)


def made(count: int, size: float = 5.0, seed: int = 0) -> list[tuple[str, float]]:
    return [(digest_of(seed, n), size) for n in range(count)]


@given(members)
def test_every_member_is_in_exactly_one_range_in_order(pairs: list[tuple[str, float]]) -> None:
    ranges = cut(pairs, TARGET)
    assert sorted(m for r in ranges for m in r.members) == sorted(m for m, _ in pairs)
    assert all(list(r.members) == sorted(r.members) for r in ranges)
    assert [r.members[0] for r in ranges] == sorted(r.members[0] for r in ranges)
    assert sum(r.size for r in ranges) == pytest.approx(sum(s for _, s in pairs))


@given(members)
def test_sizes_keep_the_bounds_except_for_lone_members_and_the_last(
    pairs: list[tuple[str, float]],
) -> None:
    size_of = dict(pairs)
    shared = [r for r in cut(pairs, TARGET) if size_of[r.members[0]] <= LONE * TARGET]
    for found in cut(pairs, TARGET):
        if any(size_of[m] > LONE * TARGET for m in found.members):
            assert len(found.members) == 1
    assert all(r.size <= HIGHEST * TARGET * (1 + 1e-9) for r in shared)
    assert all(r.size >= LOWEST * TARGET * (1 - 1e-9) for r in shared[:-1])


@given(members, st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_matter(
    pairs: list[tuple[str, float]], order: random.Random
) -> None:
    shuffled = list(pairs)
    order.shuffle(shuffled)
    assert cut(shuffled, TARGET) == cut(pairs, TARGET)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 170))
def test_one_more_member_changes_only_ranges_near_it(number: int, size: float) -> None:
    pairs = made(2000)
    new = (digest_of("new", number), size)
    before = set(cut(pairs, TARGET))
    after = set(cut([*pairs, new], TARGET))
    changed = sorted(after - before, key=lambda r: r.members[0])
    assert any(new[0] in r.members for r in changed)
    # 2000 members of 5 make about 100 ranges; a change travels a few of them at most
    assert len(changed) <= 12
    assert len(before - after) <= 12


def test_changes_travel_less_than_two_ranges_on_average() -> None:
    pairs = made(2000)
    before = set(cut(pairs, TARGET))
    moved = [len(set(cut([*pairs, (digest_of("n", n), 5.0)], TARGET)) - before) for n in range(60)]
    assert sum(moved) / len(moved) < 2.5


def test_a_large_member_moves_no_border() -> None:
    pairs = made(500)
    large = (digest_of("large"), 1000.0)
    assert set(cut([*pairs, large], TARGET)) - set(cut(pairs, TARGET)) == {
        Range(members=(large[0],), size=1000.0)
    }


@pytest.mark.parametrize("size", [0.5, 5.0, 20.0])
def test_ranges_average_the_target(size: float) -> None:
    ranges = cut(made(int(20000 / size), size), TARGET)
    assert 0.75 * TARGET < sum(r.size for r in ranges) / len(ranges) < 1.15 * TARGET


def test_no_members_make_no_range_and_zero_sizes_one() -> None:
    assert cut([], TARGET) == []
    assert len(cut(made(10, 0.0), TARGET)) == 1


def test_the_digest_is_of_the_members() -> None:
    one, two = Range(members=("a", "b"), size=1.0), Range(members=("a", "b"), size=2.0)
    assert one.digest == two.digest != Range(members=("a",), size=1.0).digest


def test_the_borders_are_pinned() -> None:
    # a changed border invalidates every part and shard that anyone has: it needs a new format
    assert [len(r.members) for r in cut(made(100), TARGET)] == [26, 25, 36, 13]


@pytest.mark.parametrize("size", [-1.0, float("nan"), float("inf")])
def test_bad_sizes_are_refused(size: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        cut([("a", size)], TARGET)


def test_a_member_twice_and_a_bad_target_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        cut([("a", 1.0), ("a", 2.0)], TARGET)
    with pytest.raises(ValueError, match="above 0"):
        cut([("a", 1.0)], 0)
