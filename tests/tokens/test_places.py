"""Where tokens lie in time: every position belongs to exactly one chunk, word and piece."""

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Document, frames
from schemas.token_frames import FrameGrid, Timeline
from schemas.words import word_borders
from tests.shard.test_format import documents
from tests.trainer.data.made_sets import document_of
from transforms.compose.chunks import coarse
from transforms.compose.policies import Deterministic, LstSpans, WordSpans, pieces

GRIDS = st.builds(
    FrameGrid,
    rate=st.sampled_from([8000, 16_000, 24_000]),
    hop=st.sampled_from([1, 160, 320, 400, 1920]),
    stack=st.integers(1, 5),
    centred=st.booleans(),
)
RATES = st.sampled_from([8000, 16_000, 22_050, 44_100])


def centres(grid: FrameGrid, samples: int, rate: int) -> list[Fraction]:
    """The centre of each position in samples of the document, worked out frame by frame."""
    heard = math.ceil(Fraction(samples * grid.rate, rate))
    if heard == 0:
        count = 0
    else:
        count = 1 + heard // grid.hop if grid.centred else math.ceil(Fraction(heard, grid.hop))
    found = []
    for first in range(0, count, grid.stack):
        places = [
            Fraction(k * grid.hop) if grid.centred else (Fraction(k) + Fraction(1, 2)) * grid.hop
            for k in range(first, first + grid.stack)
        ]
        found.append(sum(places, Fraction(0)) / grid.stack * rate / grid.rate)
    return found


@settings(max_examples=150, deadline=None)
@given(GRIDS, RATES, st.integers(0, 4000), st.data())
def test_a_position_belongs_where_its_centre_is(
    grid: FrameGrid, rate: int, samples: int, data: st.DataObject
) -> None:
    expected = centres(grid, samples, rate)
    assert grid.positions(samples, rate) == len(expected)
    assert grid.border(0, samples, rate) == 0
    assert grid.border(samples, samples, rate) == len(expected)
    border = data.draw(st.integers(0, samples))
    if 0 < border < samples:
        assert grid.border(border, samples, rate) == sum(c < border for c in expected)


@settings(max_examples=60, deadline=None)
@given(documents(), GRIDS)
def test_chunks_and_words_tile_the_positions(document: Document, grid: FrameGrid) -> None:
    found = Timeline(document, grid)
    assert found.chunks[0][0] == 0 and found.chunks[-1][1] == found.total
    for before, after in itertools.pairwise(found.chunks):
        assert before[1] == after[0]
    for place, chunk in enumerate(document.chunks):
        first, last = found.chunks[place]
        samples = frames(chunk.end, document.rate) - frames(chunk.start, document.rate)
        assert last - first == grid.positions(samples, document.rate)
        words = found.words(place)
        assert len(words) == len(chunk.words)
        if words:
            assert (words[0][0], words[-1][1]) == (first, last)
        for before, after in itertools.pairwise(words):
            assert before[0] <= before[1] == after[0]


@pytest.mark.parametrize("policy", [Deterministic(), WordSpans(), LstSpans()])
@pytest.mark.parametrize("grid", [FrameGrid(rate=16_000, hop=320, stack=4, centred=True),
                                  FrameGrid(rate=24_000, hop=1920)])  # fmt: skip
def test_the_pieces_of_a_policy_share_out_every_position(
    policy: Deterministic | WordSpans | LstSpans, grid: FrameGrid
) -> None:
    document = document_of("talk", 3, [0.7, 2.3, 1.1, 0.05, 3.9])
    timeline = Timeline(document, grid)
    for view in (document.chunks, coarse(document.chunks, 2.0, 3.0)):
        spans = [
            timeline.span(piece.start, piece.end)
            for piece in pieces(view, policy, random.Random(5), document.rate)
        ]
        assert spans[0][0] == 0 and spans[-1][1] == timeline.total
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


def test_a_word_has_the_positions_of_its_half_of_the_pauses() -> None:
    document = document_of("talk", 1, [2.0])
    grid = FrameGrid(rate=8000, hop=80)  # one per 10 ms
    borders = word_borders(document.chunks[0], document.rate)
    spans = Timeline(document, grid).words(0)
    for (first, last), (low, high) in zip(spans, itertools.pairwise(borders), strict=True):
        assert abs(first - low / 80) <= 1 and abs(last - high / 80) <= 1


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"hop": 0}, {"stack": 0}])
def test_a_grid_that_stands_still_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FrameGrid(**{"rate": 16_000, "hop": 400, **wrong})
