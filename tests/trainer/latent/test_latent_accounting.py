"""What a latent model is said to cost against what torch counts while it computes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer.latent.made_patches import FRAMES, UNITS, pack_of
from trainer.flops import by_part as plain_parts
from trainer.latent.accounting import PARTS, Counts, by_part, keys
from trainer.latent.model import decoder_of
from trainer.latent.settings import LatentSettings
from trainer.model_settings import ModelSettings
from trainer.pack import Batch, Vocabulary
from trainer.tensors import inputs

ROW = "dS" + "s" * 22 + "Tttttttte"
PLAIN, SPEECH, PATCHES = 11, 22, 6
LATENTS = [
    LatentSettings(size=4, window=64),
    LatentSettings(size=4, window=64, width=24, heads=3, hidden=40, decoder_depth=3),
    LatentSettings(size=4, window=64, encoder_depth=2, width=16),
]


def counts(text: float = 0.0, speech: float = 0.0, packs: int = 1) -> Counts:
    return Counts(
        packs=packs,
        plain=PLAIN * packs,
        speech=SPEECH * packs,
        patches=PATCHES * packs,
        text_targets=text,
        speech_targets=speech,
    )


@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("words", [UNITS, FRAMES], ids=["units", "frames"])
def test_all_three_modules_are_counted_as_torch_counts(
    latent: LatentSettings, words: Vocabulary
) -> None:
    settings = ModelSettings(depth=2, width=32, heads=2, latent=latent)
    model = decoder_of(settings, words)
    given = inputs(Batch(step=0, packs=(pack_of(ROW, words),) * 2))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        hidden = model(given)
        total = model.text_logits(hidden).sum()
        if words.codebooks > 1:
            total = total + model.code_logits(hidden).sum()
        total.backward()
    found = {str(name): n for name, n in counter.get_flop_counts()["Global"].items()}
    asked = 2 * (PLAIN + SPEECH)
    parts = by_part(settings, words, counts(asked, asked, packs=2))
    inner = model.local.sizes[1] * model.local.sizes[3]
    # torch counts products alone, and all keys: half of them are masked here
    context, near = PLAIN + PATCHES, (PLAIN + SPEECH) / 2
    layers = latent.encoder_depth, len(model.decoder.layers)
    heard = 12 * inner * 2 * SPEECH
    attention = heard * (layers[0] * (near + 1) + layers[1] * (near + context / 2))
    products = sum(parts.values()) - parts["front_end"] - parts["attention"] - attention
    assert found["aten.mm"] == pytest.approx(products)
    slots = SPEECH  # of 33 positions only these lie in the window's blocks
    exact = 12 * inner * 2 * SPEECH * (sum(layers) * slots + layers[1] * context)
    assert found["aten.bmm"] == pytest.approx(2 * parts["attention"] + exact)


def test_without_speech_the_blocks_cost_what_they_cost_plainly() -> None:
    settings = ModelSettings(depth=2, width=32, heads=2, latent=LatentSettings())
    given = Counts(
        packs=3, plain=96, speech=0, patches=0, text_targets=90, speech_targets=0
    )  # fmt: skip
    found = by_part(settings, UNITS, given)
    expected = plain_parts(settings, UNITS, 32, 90 / 96)
    for part in ("matrices", "attention", "text_head"):
        assert found[part] == pytest.approx(96 * expected[part])
    assert found["encoder"] == 0
    assert tuple(found) == PARTS


def test_patches_of_one_position_are_never_cheaper_than_of_four() -> None:
    settings = ModelSettings(depth=4, width=64, heads=2, latent=LatentSettings())
    four = sum(by_part(settings, UNITS, counts()).values())
    one = counts()
    one = Counts(
        packs=1, plain=PLAIN, speech=SPEECH, patches=SPEECH, text_targets=0, speech_targets=0
    )  # fmt: skip
    assert four < 0.8 * sum(by_part(settings, UNITS, one).values())


@pytest.mark.parametrize(("length", "window"), [(10, 20), (20, 20), (300, 20), (50, 1)])
def test_keys_of_a_window(length: int, window: int) -> None:
    """The mean of min(i, window) over the middles of positions."""
    exact = sum(min(i + 0.5, window) for i in range(length)) / length
    assert keys(length, window) == pytest.approx(exact, abs=0.02)


def test_counts_speak_of_what_is_everywhere() -> None:
    given = counts(1, 2)
    assert (given.positions, given.global_positions) == (33, 17)
    every = given.everywhere()
    assert (every.text_targets, every.speech_targets) == (33, 33)


def test_torch_has_not_changed_what_it_counts() -> None:
    with FlopCounterMode(display=False) as counter:
        torch.ones(2, 3) @ torch.ones(3, 4)
    assert counter.get_total_flops() == 2 * 2 * 3 * 4
