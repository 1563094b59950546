"""Sizes follow from the dial, weights from the seed, costs from the formula."""

import dataclasses
import math

import pydantic
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer.model.made_models import (
    ALL,
    DELAYED,
    FRAMES,
    UNITS,
    WORDS,
    Item,
    decoder,
    pack,
    some_packs,
    stack,
)
from trainer.model import Decoder, ModelSettings
from trainer.pack import Vocabulary


def test_everything_follows_from_the_dial() -> None:
    sizes = {depth: ModelSettings(depth=depth).sizes for depth in (1, 4, 8, 12, 16)}
    assert sizes == {
        1: (64, 1, 1, 64, 192),
        4: (256, 4, 4, 64, 704),
        8: (512, 8, 2, 64, 1408),
        12: (768, 12, 3, 64, 2048),
        16: (1024, 16, 4, 64, 2752),
    }


def test_what_is_set_stays_and_the_rest_follows_it() -> None:
    found = ModelSettings(depth=24, width=1024, kv_heads=8)
    assert found.sizes == (1024, 16, 8, 64, 2752)
    assert ModelSettings(depth=16, width=2048, heads=16, hidden=8192).sizes == (
        2048,
        16,
        4,
        128,
        8192,
    )
    again = ModelSettings.model_validate_json(found.model_dump_json())
    assert again == found


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"depth": 0}, "greater than or equal to 1"),
        ({"depth": "4"}, "valid integer"),
        ({"heads": 4, "kv_heads": 3}, "kv_heads 3 must divide heads 4"),
        ({"width": 60, "heads": 4}, "head_width 15 must be even"),
        ({"widht": 64}, "Extra inputs"),
        ({"attention": "flash"}, "'sdpa' or 'flex'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        ModelSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("vocabulary", ALL)
def test_weights_are_a_function_of_the_seed_alone(vocabulary: Vocabulary) -> None:
    torch.manual_seed(1)
    one = decoder(vocabulary, seed=7).state_dict()
    state = torch.get_rng_state()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other = decoder(vocabulary, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(state, before)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    third = decoder(vocabulary, seed=8).state_dict()
    same = [name for name in one if torch.equal(one[name], third[name])]
    assert same == [name for name in one if "norm" in name]


def test_arms_that_differ_in_speech_share_all_other_weights() -> None:
    words, units, frames = (decoder(v, tie_embeddings=False) for v in (WORDS, UNITS, FRAMES))
    rows = WORDS.speech_first
    for name, weight in words.state_dict().items():
        for other in (units, frames):
            held = other.state_dict()[name]
            assert torch.equal(held[:rows] if weight.shape != held.shape else held, weight), name


def test_initial_widths() -> None:
    model = Decoder(ModelSettings(depth=8, width=256, heads=4), Vocabulary(text=2000), 0)
    state = model.state_dict()
    std = {name: float(weight.std()) for name, weight in state.items() if weight.ndim == 2}
    narrow = 0.02 / math.sqrt(16)
    for name, found in std.items():
        last = name.endswith(("out.weight", "down.weight"))
        assert found == pytest.approx(narrow if last else 0.02, rel=0.02), name
    assert all(torch.equal(w, torch.ones_like(w)) for n, w in state.items() if "norm" in n)


def test_a_frame_enters_as_wide_as_a_text_token() -> None:
    model = Decoder(
        ModelSettings(depth=2, width=256, heads=4),
        Vocabulary(text=500, codebooks=80, levels=16),
        0,
    )
    assert model.code_tables is not None
    codes = torch.randint(0, 16, (1, 400, 80), generator=torch.Generator().manual_seed(0))
    found = model.code_tables(codes)
    assert float(found.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_a_frame_is_the_sum_of_its_codes_rows() -> None:
    model = decoder(FRAMES)
    assert model.code_tables is not None
    table = model.code_tables.weight.view(3, 8, 32)
    found = model.code_tables(torch.tensor([[[1, 0, 7], [2, 2, 2]]]))
    torch.testing.assert_close(found[0, 0], table[0, 1] + table[1, 0] + table[2, 7])
    torch.testing.assert_close(found[0, 1], table[0, 2] + table[1, 2] + table[2, 2])


@pytest.mark.parametrize("vocabulary", ALL)
@pytest.mark.parametrize("tied", (True, False))
def test_parts_hold_every_parameter_once(vocabulary: Vocabulary, tied: bool) -> None:
    model = decoder(vocabulary, tie_embeddings=tied)
    parts = model.parameters_by_part()
    assert sum(parts.values()) == sum(weight.numel() for weight in model.parameters())
    assert parts["text_head"] == (0 if tied else vocabulary.size * 32)
    assert parts["embedding"] == vocabulary.size * 32
    codes = vocabulary.codebooks * vocabulary.levels * 32 if vocabulary.codebooks > 1 else 0
    assert (parts["code_tables"], parts["code_heads"]) == (codes, codes)


@pytest.mark.parametrize("vocabulary", (WORDS, UNITS, FRAMES))
def test_the_flops_formula_counts_what_torch_counts(vocabulary: Vocabulary) -> None:
    """Torch counts the forward pass and both halves of the scores; we three passes and one half."""
    model = decoder(vocabulary, width=64, heads=8, kv_heads=2, depth=3, head_width=8)
    length = 48
    whole: list[Item] = ["document", "text", *[7] * (length - 3), "end"]
    held = stack([pack(vocabulary, length, whole) for _ in range(2)])  # nothing is masked but later
    plain = sdpa_kernel(SDPBackend.MATH)  # torch does not count its fused kernel on CPUs
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counted:
        hidden = model(held)
        model.text_logits(hidden)
        if vocabulary.codebooks > 1:
            model.code_logits(hidden)
    masked = 2 * 3 * 8 * 8 * length  # half of the scores and of the values, per position
    adding = 2 * vocabulary.codebooks * 64 if vocabulary.codebooks > 1 else 0
    ours = (model.flops_per_position(length) - adding) / 3 + masked
    assert counted.get_total_flops() == ours * 2 * length


def test_heads_that_are_not_asked_cost_nothing() -> None:
    model = decoder(FRAMES)
    whole = model.flops_per_position(100)
    assert whole - model.flops_per_position(100, text_share=0.5) == 3 * FRAMES.size * 32
    assert whole - model.flops_per_position(100, speech_share=0) == (6 * 8 + 2) * 3 * 32


def test_one_codebook_has_no_code_logits() -> None:
    model = decoder(UNITS)
    hidden = model(pack(UNITS, 4, ["document", "end"]))
    assert model.text_logits(hidden).shape == (1, 4, UNITS.size)
    with pytest.raises(ValueError, match="speech units are in the vocabulary"):
        model.code_logits(hidden)
    assert decoder(DELAYED).code_logits(hidden).shape == (1, 4, 3, 9)


def test_half_precision_turns_no_position() -> None:
    """Weights may be cast; rotary angles stay exact, or far positions would fall together."""
    model = decoder(WORDS)
    near = pack(WORDS, 12, ["document", "text", *range(3, 12), "end"])
    far = dataclasses.replace(near, place=near.place + 4096)
    together = dataclasses.replace(near, place=near.place * 0)
    wanted, lost = model(near), model(together)
    assert float((lost - wanted).abs().max()) > 1
    assert float((model.bfloat16()(far).float() - wanted).abs().max()) < 0.2


def test_bf16_autocast_keeps_the_answer() -> None:
    model = decoder(FRAMES, initial_std=0.05)
    held = some_packs(FRAMES, 2)
    exact = model(held)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(held)
    assert found.dtype in (torch.float32, torch.bfloat16)
    assert float((found.float() - exact).abs().max()) < 0.2
    assert float((found.float() - exact).abs().mean()) < 0.02
