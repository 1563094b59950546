"""Shares of packs: exact to one pack at every moment, and a function of shares and seed."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.mixture import Mixture, sequence

SHARES = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.integers(1, 1000).map(lambda whole: whole / 1000),
    min_size=1,
    max_size=6,
)


@given(SHARES, st.integers(0, 9), st.integers(1, 300))
def test_every_count_is_within_one_pack_of_its_share(
    shares: dict[str, float], seed: int, length: int
) -> None:
    found = sequence(Mixture(shares, seed), length)
    total = sum(Fraction(str(share)) for share in shares.values())
    counts: Counter[str] = Counter()
    for turn, name in enumerate(found, start=1):
        counts[name] += 1
        for other, share in shares.items():
            assert abs(counts[other] - turn * Fraction(str(share)) / total) < 1


def test_sixty_to_forty_over_ten_thousand_packs() -> None:
    found = sequence(Mixture({"text": 0.6, "speech": 0.4}, seed=3), 10_000)
    assert Counter(found) == {"text": 6000, "speech": 4000}
    assert found[:5] == ["text", "speech", "text", "speech", "text"]


def test_only_proportions_count() -> None:
    one = sequence(Mixture({"a": 0.6, "b": 0.4}, 0), 50)
    assert one == sequence(Mixture({"a": 3, "b": 2}, 0), 50)


def test_the_seed_decides_between_equal_sets() -> None:
    firsts = {sequence(Mixture({"a": 1, "b": 1, "c": 1}, seed), 1)[0] for seed in range(20)}
    assert firsts == {"a", "b", "c"}


def test_a_beginning_does_not_depend_on_the_length() -> None:
    mixture = Mixture({"a": 0.5, "b": 0.3, "c": 0.2}, 1)
    assert sequence(mixture, 200)[:70] == sequence(mixture, 70)


@pytest.mark.parametrize("shares", [{}, {"a": 0.0}, {"a": 1.0, "b": -1.0}])
def test_shares_that_make_no_sense_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shares are above 0"):
        Mixture(shares, 0)
