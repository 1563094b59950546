"""What a position may see: its own piece up to itself, whatever lies beside it."""

import dataclasses
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.model.made_models import (
    ALL,
    FRAMES,
    UNITS,
    WORDS,
    decoder,
    pack,
    some_packs,
    some_piece,
)
from trainer.attention import document_mask, runs
from trainer.pack import PADDING, SPEECH, TEXT, Vocabulary
from trainer.rotary import angles, frequencies

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def answers(model: torch.nn.Module, held: object) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(held)
    return found


@given(number=st.integers(0, 10_000), which=st.sampled_from(range(len(ALL))))
@settings(max_examples=20)
def test_a_document_is_read_as_if_it_were_alone(number: int, which: int) -> None:
    vocabulary = ALL[which]
    chance = random.Random(number)
    model = decoder(vocabulary)
    pieces = [some_piece(chance, vocabulary, chance.randint(3, 14)) for _ in range(3)]
    together = answers(model, pack(vocabulary, 48, *pieces))[0]
    others = [some_piece(chance, vocabulary, len(piece)) for piece in pieces]
    at = 0
    for place, piece in enumerate(pieces):
        own = slice(at, at + len(piece))
        alone = answers(model, pack(vocabulary, 20, piece))[0, : len(piece)]
        torch.testing.assert_close(together[own], alone, **CLOSE)
        beside = [*others[:place], piece, *others[place + 1 :]]
        found = answers(model, pack(vocabulary, 48, *beside))[0, own]
        torch.testing.assert_close(found, together[own], **CLOSE)
        at += len(piece)


def test_logits_too_are_those_of_the_document_alone() -> None:
    chance = random.Random(5)
    model = decoder(FRAMES)
    first, second = (some_piece(chance, FRAMES, 10) for _ in range(2))
    together = answers(model, pack(FRAMES, 24, first, second))[0, 10:20]
    alone = answers(model, pack(FRAMES, 10, second))[0]
    for logits in (model.text_logits, model.code_logits):
        torch.testing.assert_close(logits(together), logits(alone), **CLOSE)


@pytest.mark.parametrize("vocabulary", ALL)
def test_a_later_position_never_changes_an_earlier_one(vocabulary: Vocabulary) -> None:
    model = decoder(vocabulary)
    held = some_packs(vocabulary, 1, length=32, seed=3)
    before = answers(model, held)[0]
    spoken, changed_one = 0, 0
    for at in range(32):
        if held.modality[0, at] == PADDING:
            continue
        ids, codes = held.ids.clone(), held.codes.clone()
        if held.modality[0, at] == SPEECH and vocabulary.codebooks > 1:
            codes[0, at, -1] = (codes[0, at, -1] + 1) % vocabulary.levels
            spoken += 1
        else:
            ids[0, at] = (ids[0, at] + 1) % vocabulary.text
        after = answers(model, dataclasses.replace(held, ids=ids, codes=codes))[0]
        torch.testing.assert_close(after[:at], before[:at], rtol=0, atol=1e-6)
        assert not torch.allclose(after[at], before[at], atol=1e-4)
        later = slice(at + 1, at + 2)
        if held.piece[0, later].tolist() == held.piece[0, at : at + 1].tolist():
            changed_one += not torch.allclose(after[later], before[later], atol=1e-5)
    assert changed_one > 10  # what is seen, is seen
    assert bool(spoken) == (vocabulary.codebooks > 1)


@pytest.mark.parametrize("vocabulary", ALL)
def test_padding_gives_no_nan_forward_or_backward(vocabulary: Vocabulary) -> None:
    model = decoder(vocabulary)
    for held in (pack(vocabulary, 8), pack(vocabulary, 8, ["document", "text", 3, "end"])):
        hidden = model(held)
        assert hidden.isfinite().all()
        hidden.sum().backward()
    assert all(
        weight.grad is not None for name, weight in model.named_parameters() if "head" not in name
    )
    for weight in model.parameters():
        assert weight.grad is None or weight.grad.isfinite().all()


def test_the_mask_of_two_documents_and_padding() -> None:
    piece = torch.tensor([[0, 0, 1, 1, -1]])
    found = document_mask(piece, "sdpa")[0, 0].int().tolist()
    assert found == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_pieces_by_themselves_are_what_the_dense_mask_gives() -> None:
    held = some_packs(FRAMES, 3)
    assert sum(runs(held.piece)) == 3 * 40
    assert runs(torch.tensor([[0, 0, 1, -1], [0, 0, 0, 0]])) == [2, 1, 1, 4]
    gradients = []
    for mask in (runs(held.piece), document_mask(held.piece, "sdpa")):
        model = decoder(FRAMES)
        x = torch.randn(3, 40, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
        turn = angles(held.place, frequencies(model.settings))
        found = model.blocks[0](x, turn, mask)
        (found * torch.arange(32.0)).sum().backward()
        gradients.append((found, x.grad, model.blocks[0].attention.key.weight.grad))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("vocabulary", (UNITS, FRAMES))
@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("kv_heads", (1, 2, 4))
def test_flex_attention_agrees_with_sdpa(vocabulary: Vocabulary, kv_heads: int) -> None:
    """On a CPU it works forward only, and says so."""
    one = decoder(vocabulary, kv_heads=kv_heads, width=64)
    other = decoder(vocabulary, kv_heads=kv_heads, width=64, attention="flex")
    held = some_packs(vocabulary, 2, length=48)
    torch.testing.assert_close(answers(other, held), answers(one, held), **CLOSE)
    with pytest.raises(ValueError, match="flex cannot train on a CPU"):
        other(held)


def test_places_count_from_the_beginning_of_a_piece() -> None:
    """Two places apart look the same anywhere, and other distances do not."""
    model = decoder(WORDS)
    held = pack(WORDS, 6, ["document", "text", 3, 4, "end"])
    moved = dataclasses.replace(held, place=held.place + 7)
    wider = dataclasses.replace(held, place=held.place * 3)
    torch.testing.assert_close(answers(model, moved), answers(model, held), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(answers(model, wider), answers(model, held), atol=1e-2)


def test_codes_of_text_positions_are_not_read() -> None:
    model = decoder(FRAMES)
    held = some_packs(FRAMES, 1)
    codes = torch.where((held.modality == TEXT)[..., None], 5, held.codes)
    assert torch.equal(answers(model, dataclasses.replace(held, codes=codes)), answers(model, held))


@pytest.mark.parametrize("vocabulary", (UNITS, FRAMES))
@pytest.mark.parametrize("attention", ("sdpa", "flex"))
def test_blocks_can_be_compiled_without_a_break(vocabulary: Vocabulary, attention: str) -> None:
    """Traced whole; the kernels themselves are those of eager mode, for compiling takes minutes."""
    torch.compiler.reset()
    model = decoder(vocabulary, attention=attention, width=64)
    held = some_packs(vocabulary, 1)
    wanted = answers(model, held)
    for block in model.blocks:
        block.compile(backend="eager", fullgraph=True)
    torch.testing.assert_close(answers(model, held), wanted, **CLOSE)
