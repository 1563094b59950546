"""What a draw shows: the policies' own pieces, in positions that the filled pack then has."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import rng
from tests.trainer.data.made_sets import ByteText, Energy, document_of
from trainer.data_settings import DataError
from trainer.drawing import Drawing, Rest, lengths
from trainer.encoding import Positions
from trainer.shard_sets import View
from transforms.compose.chunks import coarse
from transforms.compose.policies import (
    Asr,
    Deterministic,
    LstSpans,
    Policy,
    SpeechOnly,
    Stochastic,
    TextOnly,
    Tts,
    WordSpans,
    pieces,
)

POLICIES: list[Policy] = [
    Deterministic(),
    Deterministic(start="alternate"),
    Stochastic(),
    SpeechOnly(),
    TextOnly(),
    Asr(),
    Tts(),
    WordSpans(eta=0.4, mean_words=2.0),
    LstSpans(least=1, most=4),
]
SECONDS = st.lists(st.floats(0.05, 1.5), min_size=1, max_size=8)


def drawing_of(policy: Policy | None, *, merged: bool = False, seed: int = 0) -> Drawing:
    view = View(coarse=(2.0, 2.5) if merged else None, policy=policy)
    return Drawing(view, True, seed, ByteText(), Positions(Energy()), " ")


@given(SECONDS, st.sampled_from(POLICIES), st.booleans(), st.integers(0, 3))
def test_draws_are_the_pieces_of_the_policy(
    seconds: list[float], policy: Policy, merged: bool, epoch: int
) -> None:
    document = document_of("talk", 1, seconds)
    drawing = drawing_of(policy, merged=merged)
    prepared = drawing.prepare(document)
    shown = drawing.draw(prepared, epoch, 0, 0, len(prepared.view))
    view = coarse(document.chunks, 2.0, 2.5) if merged else document.chunks
    chance = rng(0, f"interleave/{epoch}/0", f"{document.id}/0")
    expected = pieces(view, policy, chance, document.rate, epoch)
    assert [(one.side, one.chunk) for one in shown] == [(p.side, p.chunk) for p in expected]
    for one, piece in zip(shown, expected, strict=True):
        if one.side == "text":
            text = view[piece.chunk].text[slice(*piece.characters)].strip()
            assert bytes(one.ids).decode() == (" " + text if text else "")
        else:
            assert one.seconds == piece.end - piece.start


@given(SECONDS, st.sampled_from(POLICIES), st.booleans())
def test_shown_and_withheld_are_both_sides_of_everything(
    seconds: list[float], policy: Policy, merged: bool
) -> None:
    document = document_of("talk", 2, seconds)
    drawing = drawing_of(policy, merged=merged)
    prepared = drawing.prepare(document)
    shown = drawing.draw(prepared, 0, 0, 0, len(prepared.view))
    sizes = [round(c.end * 8000) - round(c.start * 8000) for c in document.chunks]
    spoken = sum(Positions(Energy()).of(size, 8000) for size in sizes)
    heard = sum(o.positions if o.side == "speech" else o.withheld for o in shown)
    if not isinstance(policy, Asr | Tts):
        assert heard == spoken
    else:
        assert sum(o.positions for o in shown if o.side == "speech") == spoken
        assert all(one.withheld == 0 for one in shown)


@given(SECONDS, st.sampled_from(POLICIES[:7]), st.integers(0, 5))
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(
    seconds: list[float], policy: Policy, first: int
) -> None:
    """What lets the packer cut a draw anywhere without drawing again."""
    document = document_of("talk", 3, seconds)
    drawing = drawing_of(policy)
    prepared = drawing.prepare(document)
    first = min(first, len(seconds) - 1)
    whole = drawing.draw(prepared, 0, 0, first, len(seconds))
    for last in range(first + 1, len(seconds)):
        part = drawing.draw(prepared, 0, 0, first, last)
        assert part == whole[: len(part)]
        assert lengths(part, first, last) == lengths(whole, first, len(seconds))[: last - first]


def test_each_piece_restarts_its_policy() -> None:
    drawing = drawing_of(Deterministic())
    prepared = drawing.prepare(document_of("talk", 4, [0.5] * 6))
    sides = [o.side for o in drawing.draw(prepared, 0, 0, 3, 6)]
    assert sides == ["speech", "text", "speech"]


def test_draws_differ_by_epoch_seed_copy_and_beginning() -> None:
    document = document_of("talk", 5, [0.3] * 40)

    def sides(seed: int, epoch: int, copy: int, first: int) -> list[str]:
        drawing = drawing_of(Stochastic(), seed=seed)
        shown = drawing.draw(drawing.prepare(document), epoch, copy, first, first + 20)
        return [one.side for one in shown]

    draws = [sides(*key) for key in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)]]
    draws.append(sides(0, 0, 0, 4))
    assert all(one not in draws[:place] for place, one in enumerate(draws))
    assert sides(0, 0, 0, 0) == draws[0]


def test_markers_stand_where_the_side_changes() -> None:
    drawing = drawing_of(Stochastic(p=0.5), seed=1)
    prepared = drawing.prepare(document_of("talk", 6, [0.25] * 12))
    shown = drawing.draw(prepared, 0, 0, 0, 12)
    runs = 1 + sum(a.side != b.side for a, b in itertools.pairwise(shown))
    assert lengths(shown, 0, 12)[-1] == 2 + runs + sum(one.positions for one in shown)
    assert 1 < runs < 12


def test_speech_without_a_tokenizer_is_refused_by_name() -> None:
    document = document_of("talk", 7, [0.5, 0.5])
    drawing = Drawing(View(coarse=None, policy=Deterministic()), True, 0, ByteText(), None, " ")
    with pytest.raises(DataError, match=document.id) as caught:
        drawing.draw(drawing.prepare(document), 0, 0, 0, 2)
    assert caught.value.code == "no_tokenizer"


def test_words_that_cannot_be_cut_are_refused_by_name() -> None:
    document = document_of("talk", 8, [0.5], words=False)
    drawing = drawing_of(WordSpans())
    with pytest.raises(DataError, match=document.id) as caught:
        drawing.draw(drawing.prepare(document), 0, 0, 0, 1)
    assert caught.value.code == "times_not_measured"


def test_a_document_with_both_sides_needs_a_policy() -> None:
    drawing = drawing_of(None)
    with pytest.raises(DataError, match="name a policy"):
        drawing.draw(drawing.prepare(document_of("talk", 9, [0.5])), 0, 0, 0, 1)


def test_a_rest_looks_no_further_than_a_pack() -> None:
    document = document_of("talk", 10, [0.5] * 200)
    drawing = drawing_of(Deterministic())
    rest = Rest(drawing, drawing.prepare(document), 0, 0, length=60)
    found = rest.prefixes(3)
    assert 3 < len(found) < 30
    assert found[-1] > 60
    assert len(Rest(drawing, drawing.prepare(document), 0, 0, 10**6).prefixes(3)) == 197


def test_a_tokenizer_without_a_grid_is_asked_for_silence() -> None:
    class Plain(Energy):
        grid = None  # type: ignore[assignment]

        def __init__(self) -> None:
            self.codebooks = 1

        def encode(self, pcm, rate):  # type: ignore[no-untyped-def]
            return pcm[::100].astype("u2")[:, None]

    counts = Positions(Plain())
    chance = random.Random(0)
    for _ in range(20):
        samples = chance.randint(1, 5000)
        assert counts.of(samples, 8000) == -(-samples // 100)
        borders = [counts.border(at, samples, 8000) for at in range(0, samples + 1, 7)]
        assert borders == sorted(borders)
        assert counts.border(samples, samples, 8000) == counts.of(samples, 8000)
