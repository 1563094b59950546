"""Packing: every chunk in exactly one piece, no pack too long, and hardly a position empty."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.drawing import EDGES
from trainer.packing import fill


@dataclasses.dataclass
class Made:
    """A document of chunks of given lengths, the markers of a piece besides."""

    chunks: list[int]
    name: str = "made"
    shrinks: bool = False  # a shorter piece is drawn anew and comes out longer than its beginning

    @property
    def count(self) -> int:
        return len(self.chunks)

    @property
    def steady(self) -> bool:
        return not self.shrinks

    def prefixes(self, first: int) -> list[int]:
        return [EDGES + sum(self.chunks[first:last]) for last in range(first + 1, self.count + 1)]

    def exact(self, first: int, last: int) -> int:
        longer = (7 * first + last) % 5 if self.shrinks and last < self.count else 0
        return EDGES + sum(self.chunks[first:last]) + longer


@given(
    st.lists(st.lists(st.integers(0, 140), min_size=1, max_size=30), max_size=25),
    st.integers(20, 120),
    st.sampled_from([0.0, 0.01, 0.3]),
    st.booleans(),
)
def test_every_chunk_is_in_one_piece_or_too_long(
    documents: list[list[int]], length: int, slack: float, shrinks: bool
) -> None:
    items = [Made(chunks, shrinks=shrinks) for chunks in documents]
    found = fill(items, length, slack)
    seen = list(found.long)
    for pack in found.packs:
        assert pack
        assert sum(cut.positions for cut in pack) <= length
        for cut in pack:
            assert cut.first < cut.last
            assert cut.positions == items[cut.item].exact(cut.first, cut.last)
            seen += [(cut.item, chunk) for chunk in range(cut.first, cut.last)]
    assert sorted(seen) == [(i, c) for i, item in enumerate(items) for c in range(item.count)]
    for item, chunk in found.long:
        assert items[item].exact(chunk, chunk + 1) > length


@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=9), max_size=12))
def test_packing_is_a_function_of_its_items(documents: list[list[int]]) -> None:
    items = [Made(chunks) for chunks in documents]
    assert fill(items, 64) == fill([Made(list(chunks)) for chunks in documents], 64)


def long_talks(chance: random.Random) -> list[int]:
    """Ten minutes in fine chunks of 5 s, every second one speech at 40 Hz."""
    return [
        round(chance.lognormvariate(5.1, 0.5)) if place % 2 else round(chance.uniform(10, 40))
        for place in range(chance.randint(40, 120))
    ]


def clips(chance: random.Random) -> list[int]:
    """Single clips of 3 to 15 s as speech and text."""
    return [round(chance.uniform(120, 600)), round(chance.uniform(10, 60))]


def coarse_talks(chance: random.Random, rate: float = 40 / 3) -> list[int]:
    """Chunks of about 19 s, every second one speech at 13.3 Hz."""
    return [
        round(rate * chance.lognormvariate(2.7, 0.4))
        if place % 2
        else round(chance.uniform(40, 90))
        for place in range(chance.randint(2, 30))
    ]


def pages(chance: random.Random) -> list[int]:
    """Web pages: log-normal lengths around 600 tokens, in paragraphs."""
    left = round(chance.lognormvariate(6.4, 1.0))
    found = []
    while left > 0:
        found.append(min(left, round(chance.uniform(30, 150))))
        left -= found[-1]
    return found or [1]


def middling(chance: random.Random) -> list[int]:
    """The hard case: documents of half to all of a pack, which never go together whole."""
    return [round(chance.uniform(60, 110)) for _ in range(chance.randint(12, 18))]


@pytest.mark.parametrize("law", [long_talks, clips, coarse_talks, pages, middling])
def test_packs_are_full_to_98_percent(law) -> None:  # type: ignore[no-untyped-def]
    assert fullness(law) >= 0.98


def test_chunks_of_a_third_of_a_pack_fill_less() -> None:
    """Coarse chunks at 40 Hz in a short context: what no cut at chunk borders can mend."""
    assert 0.93 < fullness(lambda chance: coarse_talks(chance, 40)) < 0.98


def fullness(law, length: int = 2048, packs: int = 256) -> float:  # type: ignore[no-untyped-def]
    """Which part of the positions of one block of packs is not padding."""
    chance = random.Random(5)
    items, total = [], 0
    while total < packs * length:
        items.append(Made(law(chance)))
        total += EDGES + sum(items[-1].chunks)
    found = fill(items, length)
    assert not found.long
    used = sum(cut.positions for pack in found.packs for cut in pack)
    return used / (len(found.packs) * length)


def test_documents_that_fit_stay_whole_where_that_fills_packs() -> None:
    chance = random.Random(2)
    items = [Made(clips(chance)) for _ in range(800)]
    found = fill(items, 2048)
    cuts = [cut for pack in found.packs for cut in pack]
    whole = [cut for cut in cuts if cut.last - cut.first == items[cut.item].count]
    assert len(whole) > 0.98 * len(items)
