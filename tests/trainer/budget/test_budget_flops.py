"""FLOPs by part against those that torch counts while it computes them."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainer.flops import PARTS, by_part, parameters_of
from trainer.model import Decoder
from trainer.model_settings import ModelSettings
from trainer.pack import SPEECH, Vocabulary
from trainer.tensors import Inputs

LENGTH, PACKS = 48, 2
SIZES: list[dict[str, Any]] = [
    {"depth": 2, "width": 32, "heads": 2},
    {"depth": 3, "width": 64, "heads": 8, "hidden": 96},  # kv_heads 2
    {"depth": 1, "width": 32, "heads": 2, "tie_embeddings": False, "head_width": 24},
]
WORDS = [
    Vocabulary(text=90),
    Vocabulary(text=50, levels=40),
    Vocabulary(text=90, codebooks=6, levels=16),
]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("words", WORDS)
def test_parts_are_what_torch_counts(sizes: dict[str, Any], words: Vocabulary) -> None:
    settings = ModelSettings(**sizes)
    decoder = Decoder(settings, words)
    counted = _counted(decoder, words)
    parts = {k: v * LENGTH * PACKS for k, v in by_part(settings, words, LENGTH).items()}
    # adding rows of tables is no product of matrices, and torch does not count it
    assert counted["mm"] == parts["matrices"] + parts["text_head"] + parts["code_heads"]
    # it counts the half of the scores that causality masks, too
    assert counted["bmm"] == 2 * parts["attention"]


def _counted(decoder: Decoder, words: Vocabulary) -> dict[str, float]:
    ids = torch.zeros(PACKS, LENGTH, dtype=torch.long)
    speech = SPEECH if words.codebooks > 1 else 0
    given = Inputs(
        ids=ids,
        codes=torch.zeros(PACKS, LENGTH, words.codebooks, dtype=torch.long),
        modality=torch.full_like(ids, speech),
        piece=torch.zeros_like(ids),
        place=torch.arange(LENGTH).expand_as(ids).contiguous(),
    )
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        hidden = decoder(given)
        total = decoder.text_logits(hidden).sum()
        if decoder.code_heads is not None:
            total = total + decoder.code_logits(hidden).sum()
        total.backward()
    found = {str(name): float(n) for name, n in counter.get_flop_counts()["Global"].items()}
    assert set(found) <= {"aten.mm", "aten.bmm"}
    return {name.removeprefix("aten."): n for name, n in found.items()}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("words", WORDS)
def test_weights_are_those_of_the_model(sizes: dict[str, Any], words: Vocabulary) -> None:
    settings = ModelSettings(**sizes, qkv_bias=True)
    decoder = Decoder(settings, words)
    own, parts = parameters_of(settings, words), decoder.parameters_by_part()
    assert own["blocks"] == parts["blocks"] + parts["norm"]
    assert sum(own.values()) == sum(parts.values())


def test_the_model_prices_itself_by_the_same_parts() -> None:
    settings, words = ModelSettings(**SIZES[0]), WORDS[2]
    parts = by_part(settings, words, 100, 0.3, 0.6)
    assert tuple(parts) == PARTS
    assert Decoder(settings, words).flops_per_position(100, 0.3, 0.6) == sum(parts.values())
    whole = by_part(settings, words, 100)
    assert parts["text_head"] == pytest.approx(0.3 * whole["text_head"])
    assert parts["code_heads"] == pytest.approx(0.6 * whole["code_heads"])
