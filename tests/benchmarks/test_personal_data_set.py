"""The made set of personal data holds what it says, and nearly all of it is found."""

import pytest

from benchmarks.personal_data import MADE, Item, luhn_digit, made_set
from transforms.measure.personal import KINDS, find

ITEMS = list(made_set(40, seed=1))


def test_the_set_marks_what_it_made() -> None:
    assert set(MADE) == set(KINDS)
    for item in ITEMS:
        assert (item.kind is None) == (item.end == 0)
        assert item.text[item.start : item.end].strip() == item.text[item.start : item.end]
    assert luhn_digit("7992739871") == "3"
    assert ITEMS == list(made_set(40, seed=1)) != list(made_set(40, seed=2))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_and_seldom_taken_for_another(kind: str) -> None:
    mine = [item for item in ITEMS if item.kind == kind]
    found = sum(_covered(item) for item in mine)
    assert found >= 0.95 * len(mine), [item.text for item in mine if not _covered(item)]
    spans = [(item, one) for item in ITEMS for one in find(item.text) if one.kind == kind]
    right = sum(item.kind == kind for item, _ in spans)
    assert right >= 0.95 * len(spans), [item.text for item, _ in spans if item.kind != kind]


def test_honest_sentences_are_left_alone() -> None:
    plain = [item for item in ITEMS if item.kind is None]
    assert len(plain) == 40 * len(KINDS)
    assert sum(bool(find(item.text)) for item in plain) <= 0.02 * len(plain)


def _covered(item: Item) -> bool:
    return any(
        one.kind == item.kind and one.start <= item.start and one.end >= item.end
        for one in find(item.text)
    )
