"""The parts of a latent model against plain formulas: windows in blocks, pooling by segments."""

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.latent.made_patches import FRAMES, UNITS, pack_of
from trainer.latent.encoder import Pooling, segment_mean, segment_softmax
from trainer.latent.layout import layout, rounded
from trainer.latent.local import WindowAttention, window_mask, window_of
from trainer.latent.model import LatentDecoder, decoder_of
from trainer.latent.settings import LatentSettings
from trainer.model_settings import ModelSettings
from trainer.pack import Batch, Vocabulary
from trainer.rotary import angles, frequencies, rotate
from trainer.tensors import inputs

SETTINGS = ModelSettings(depth=1, width=32, heads=4)


def filled(module: torch.nn.Module) -> None:
    chance = torch.Generator().manual_seed(0)
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.2, generator=chance)


@pytest.mark.parametrize(("slots", "window"), [(12, 4), (13, 4), (5, 8), (9, 1), (8, 8), (7, 3)])
def test_a_window_in_blocks_is_a_band_of_the_whole(slots: int, window: int) -> None:
    attention = WindowAttention(SETTINGS)
    filled(attention)
    x = torch.randn(2, slots, 32, generator=torch.Generator().manual_seed(1))
    piece = torch.tensor([[0] * (slots // 2) + [1] * (slots - slots // 2), [0] * slots])
    place = torch.arange(slots).expand(2, -1).contiguous()
    turn = angles(place, frequencies(SETTINGS))
    found = attention(x, turn, window_mask(piece, window))
    behind = torch.arange(slots)[:, None] - torch.arange(slots)
    band = (behind >= 0) & (behind < window) & (piece[:, :, None] == piece[:, None])
    query, key = (
        rotate(attention._split(layer(x), 4), *turn) for layer in (attention.query, attention.key)
    )
    value = attention._split(attention.value(x), 4)
    heard = F.scaled_dot_product_attention(query, key, value, attn_mask=band[:, None])
    expected = attention.out(heard.transpose(1, 2).flatten(2))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("window", [3, 64])
def test_piece_by_piece_is_what_masks_give(window: int) -> None:
    """What a CPU does and what a GPU does."""
    latent = LatentSettings(size=3, width=24, heads=2, window=window, decoder_depth=2)
    settings = ModelSettings(depth=2, width=32, heads=2, initial_std=0.3, latent=latent)
    model = decoder_of(settings, UNITS, seed=1)
    assert isinstance(model, LatentDecoder)
    rows = ["dSsssssTttedSsssse", "dTttttte", "dSssdSscssTtSsssssssse..", "dTtte"]
    given = inputs(Batch(step=0, packs=tuple(pack_of(r, number=n) for n, r in enumerate(rows))))
    laid = layout(given, 3)
    assert laid.heard.tolist() == [0, 2]
    chance = torch.Generator().manual_seed(0)
    states = torch.randn(2, laid.slots, 24, generator=chance)
    answers = torch.randn(2, laid.globals, 32, generator=chance)
    turn = angles(laid.slot_place, frequencies(model.local))
    found = []
    for dense in (True, False):
        seen = window_of(laid.slot_piece, window, dense)
        assert isinstance(seen, list) == (not dense and window == 64)
        found.append(model.decoder(states, answers, turn, seen, laid, dense)[laid.line, laid.slot])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def test_segments_are_softmaxed_and_averaged_apart() -> None:
    scores = torch.tensor([[1.0], [2.0], [300.0], [301.0], [-5.0]])
    segment = torch.tensor([0, 0, 1, 1, 2])
    found = segment_softmax(scores, segment, 3)[:, 0]
    expected = torch.cat([scores[:2, 0].softmax(0), scores[2:4, 0].softmax(0), torch.ones(1)])
    torch.testing.assert_close(found, expected)
    assert segment_mean(scores, segment, 4)[:, 0].tolist() == [1.5, 300.5, -5.0, 0.0]


def test_a_patch_is_attention_over_its_own_positions() -> None:
    pooling = Pooling(SETTINGS)
    filled(pooling)
    chance = torch.Generator().manual_seed(2)
    states, patches = (torch.randn(n, 32, generator=chance) for n in (7, 2))
    patch = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    found = pooling(patches, states, patch)
    for number, part in ((0, slice(0, 3)), (1, slice(3, 7))):
        query = pooling.query(pooling.query_norm(patches[number])).view(1, 4, 1, 8)
        normed = pooling.key_norm(states[part])
        key, value = (
            layer(normed).view(1, -1, 4, 8).transpose(1, 2)
            for layer in (pooling.key, pooling.value)
        )
        heard = F.scaled_dot_product_attention(query, key, value)
        expected = pooling.attention["out"](heard.reshape(32))
        torch.testing.assert_close(found[number], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("words", [UNITS, FRAMES], ids=["units", "frames"])
@pytest.mark.parametrize("row", ["dTttttte", "dSsssssTtte", "dSssscsse"])
def test_every_weight_has_a_gradient_whatever_a_batch_holds(words: Vocabulary, row: str) -> None:
    latent = LatentSettings(width=24, heads=2, encoder_depth=2)
    model = decoder_of(ModelSettings(depth=2, width=32, heads=2, latent=latent), words)
    hidden = model(inputs(Batch(step=0, packs=(pack_of(row, words),))))
    total = model.text_logits(hidden).sum()
    if words.codebooks > 1:
        total = total + model.code_logits(hidden).sum()
    total.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_weights_are_those_of_the_plain_model_and_more() -> None:
    plain = decoder_of(ModelSettings(depth=2, width=32, heads=2), UNITS, seed=5)
    latent = decoder_of(
        ModelSettings(depth=2, width=32, heads=2, latent=LatentSettings()), UNITS, seed=5
    )
    own = dict(latent.named_parameters())
    for name, weight in plain.named_parameters():
        assert torch.equal(own[name], weight)
    parts = latent.parameters_by_part()
    assert sum(parts.values()) == sum(weight.numel() for weight in own.values())
    assert parts["encoder"] > 0 and parts["decoder"] > 0
    again = decoder_of(latent.settings, UNITS, seed=5)
    assert all(torch.equal(own[name], weight) for name, weight in again.named_parameters())
    assert own["encoder.layers.0.pooling.key.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert own["decoder.layers.0.looking.attention.out.weight"].std().item() == pytest.approx(
        0.01, rel=0.1
    )


def test_lengths_are_few_where_kernels_are_compiled() -> None:
    assert [rounded(count, 1) for count in (1, 77, 5000)] == [1, 77, 5000]
    found = {rounded(count, 256) for count in range(2049, 8193)}
    assert len(found) <= 16 and max(found) == 8192
    assert all(rounded(count, 256) < 1.13 * count + 256 for count in range(1, 9000, 7))


def test_more_global_positions_than_there_are_change_nothing() -> None:
    """What a GPU pads is nobody's piece."""
    latent = LatentSettings(size=3, width=24, heads=2)
    model = decoder_of(ModelSettings(depth=2, width=32, heads=2, latent=latent), UNITS)
    assert isinstance(model, LatentDecoder)
    given = inputs(Batch(step=0, packs=(pack_of("dSsssssTttedSsssse", UNITS),)))
    answers = []
    for multiple in (1, 16):
        laid = layout(given, 3, multiple)
        assert laid.globals == (13 if multiple == 1 else 16)
        x, patches = model.embedded(given), torch.ones(laid.patches, 32)
        answers.append(model._answers(x, patches, laid)[:, :13])
    torch.testing.assert_close(answers[0], answers[1], atol=1e-6, rtol=0)


def test_hidden_states_of_blocks_are_not_there_to_be_asked() -> None:
    model = decoder_of(ModelSettings(depth=1, width=32, heads=2, latent=LatentSettings()), UNITS)
    with pytest.raises(ValueError, match="no hidden state per position"):
        model.states(inputs(Batch(step=0, packs=(pack_of("dSsse", UNITS),))))
    with pytest.raises(ValueError, match=r"latent\.accounting"):
        model.flops_per_position(10)
