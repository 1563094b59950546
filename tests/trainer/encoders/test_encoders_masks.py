"""What is hidden: never filling, always something, and nothing of it reaches the states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.encoders.masking import spans
from trainer.encoders.model import SpeechEncoder, initial_weights
from trainer.encoders.objectives import Batch, Hubert, Tera, Wav2vec
from trainer.encoders.settings import (
    EncoderSettings,
    HubertSettings,
    TeraSettings,
    Wav2vecSettings,
)

SMALL = EncoderSettings(depth=2, width=32, heads=2, stack=1)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(*sizes: int, length: int = 20) -> torch.Tensor:
    return torch.arange(length)[None] < torch.tensor(sizes)[:, None]


def batch(*sizes: int, seed: int = 0, units: int = 5) -> Batch:
    there = filled(*sizes)
    features = torch.rand(*there.shape, 80, generator=chance(seed)) * 9
    own = torch.randint(0, units, there.shape, generator=chance(seed + 1))
    return Batch(features=features * there[..., None], there=there, units=own)


def encoder() -> SpeechEncoder:
    found = SpeechEncoder(SMALL)
    initial_weights(found, 0)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(2, 20), min_size=1, max_size=4),
    st.floats(0.001, 0.9),
    st.integers(1, 12),
    st.integers(0, 10_000),
)
def test_spans_hide_something_and_never_everything(
    sizes: list[int], share: float, span: int, seed: int
) -> None:
    there = filled(*sizes)
    found = spans(there, share, span, chance(seed))
    assert not (found & ~there).any()
    number = found.sum(1)
    assert (number >= 1).all()
    assert (number < torch.tensor(sizes)).all()
    assert torch.equal(found, spans(there, share, span, chance(seed)))


def test_spans_have_their_length_and_share() -> None:
    there = torch.ones(200, 500, dtype=torch.bool)
    found = spans(there, 0.02, 5, chance())
    # a position is free where none of 5 began: 1 - 0.98^5
    assert float(found.double().mean()) == pytest.approx(1 - 0.98**5, abs=0.01)
    runs = found[:, 1:].int() - found[:, :-1].int()
    begins, ends = (runs == 1).nonzero(), (runs == -1).nonzero()
    for row in range(200):
        own = begins[begins[:, 0] == row, 1]
        over = ends[ends[:, 0] == row, 1]
        for first in own.tolist():
            later = over[over > first]
            assert not len(later) or int(later[0]) - first >= 5


def test_what_is_masked_does_not_reach_any_state() -> None:
    model, held = encoder(), batch(20, 12)
    masked = spans(held.there, 0.1, 3, chance())
    other = torch.where(masked[..., None], held.features + 3.0, held.features)
    one, two = (model(x, held.there, masked) for x in (held.features, other))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    unmasked = model(other, held.there)
    assert not torch.allclose(unmasked[-1], one[-1])


def test_filling_does_not_reach_any_state() -> None:
    model, held = encoder(), batch(20, 12)
    alone = model(held.features[1:, :12], held.there[1:, :12])
    within = model(held.features + 5.0 * ~held.there[..., None], held.there)
    for a, b in zip(alone, within, strict=True):
        assert torch.allclose(a[0], b[1, :12], atol=1e-5)


def test_every_position_is_seen_both_ways() -> None:
    model, held = encoder(), batch(10)
    features = held.features.clone().requires_grad_()
    model(features, held.there)[-1][0, 4].sum().backward()
    assert features.grad is not None
    assert (features.grad[0, :10].abs().sum(-1) > 0).all()
    assert not features.grad[0, 10:].any()


def test_hubert_is_told_only_masked_units() -> None:
    """Units of other positions change no loss; masked ones do."""
    model = Hubert(encoder(), HubertSettings(units="u.safetensors", width=16), 5)
    initial_weights(model, 1)
    held = batch(20, 15)
    masked = spans(held.there, 0.08, 5, chance(3))
    loss = model(held, chance(3), 0)
    assert held.units is not None
    for where, same in ((~masked, True), (masked, False)):
        changed = torch.where(where, (held.units + 1) % 5, held.units)
        other = Batch(features=held.features, there=held.there, units=changed)
        assert (model(other, chance(3), 0).figures["masked"] == loss.figures["masked"]) == same


def test_wav2vec_asks_among_masked_positions_of_the_same_clip() -> None:
    model = Wav2vec(encoder(), Wav2vecSettings(entries=8, width=16, distractors=30))
    clip = torch.tensor([0, 0, 0, 1, 2, 2])
    others, real = model._distractors(clip, chance())
    assert real.tolist() == [[True] * 30] * 3 + [[False] * 30] + [[True] * 30] * 2
    for row in (0, 1, 2, 4, 5):
        own = set(others[row].tolist())
        assert own == {k for k in range(6) if clip[k] == clip[row]} - {row}


def test_wav2vec_by_hand_where_one_codebook_entry_is_always_right() -> None:
    """All targets equal: no distractor counts, and the loss is that of no choice, 0."""
    model = Wav2vec(encoder(), Wav2vecSettings(entries=2, width=16, diversity=0.0))
    initial_weights(model, 0)
    with torch.no_grad():
        model.choice.weight.zero_()
        model.choice.bias.copy_(torch.tensor([100.0, -100.0] * 2))
    found = model(batch(20, 20), chance(), 0)
    assert float(found.total.detach()) == 0.0
    # and all entries but one of each codebook idle: perplexity 2 of 4 entries
    assert found.figures["diversity"] == pytest.approx(0.5, abs=1e-3)


def test_tera_changes_what_it_says_and_asks_for_what_was_there() -> None:
    only_time = Tera(encoder(), TeraSettings(channels=0, magnitude=0.0))
    held = batch(20, 20, 20, 20)
    given, masked = only_time.altered(held, chance())
    assert torch.equal(given[~masked], held.features[~masked])
    assert not torch.equal(given[masked], held.features[masked])
    only_channels = Tera(encoder(), TeraSettings(time=0.0, magnitude=0.0, channels=16))
    given, masked = only_channels.altered(held, chance())
    silent = (given == 0).all(1)
    assert not masked.any()
    assert (silent.sum(1) <= 16).all() and silent.any()
    assert torch.equal(given[:, :, ~silent.any(0)], held.features[:, :, ~silent.any(0)])
    clean = Tera(encoder(), TeraSettings(time=0.0, magnitude=0.0, channels=0))
    initial_weights(clean, 0)
    found = clean(held, chance(), 0)
    states = clean.encoder(held.features, held.there)[-1]
    wanted = (clean.head(states) - held.features).abs()[held.there].mean()
    assert float(found.total.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)


@pytest.mark.parametrize("kind", [Hubert, Wav2vec, Tera])
def test_every_weight_has_a_gradient(kind: type) -> None:
    settings = {
        Hubert: HubertSettings(units="u.safetensors", width=16, unmasked=0.5),
        Wav2vec: Wav2vecSettings(entries=8, width=16),
        Tera: TeraSettings(),
    }[kind]
    given = (encoder(), settings, 5) if kind is Hubert else (encoder(), settings)
    model = kind(*given)
    initial_weights(model, 0)
    model(batch(20, 15), chance(), 0).total.backward()
    lacking = {name for name, one in model.named_parameters() if one.grad is None}
    assert lacking == ({"encoder.mask"} if kind is Tera else set())


@pytest.mark.parametrize("kind", [Hubert, Wav2vec, Tera])
def test_what_follows_from_neighbours_is_learnt(kind: type) -> None:
    """Four sounds that follow each other, begun anywhere: a masked one can be worked out."""
    settings = {
        Hubert: HubertSettings(units="u.safetensors", width=16, span=1, mask=0.15),
        Wav2vec: Wav2vecSettings(entries=8, width=16, distractors=10, span=1, mask=0.25),
        Tera: TeraSettings(span=1, channels=0, magnitude=0.0),
    }[kind]
    model = kind(encoder(), settings, 4) if kind is Hubert else kind(encoder(), settings)
    initial_weights(model, 0)
    sounds = torch.rand(4, 80, generator=chance(9)) * 9
    there = torch.ones(8, 24, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    found = []
    for step in range(120):
        first = torch.randint(0, 4, (8, 1), generator=chance(step))
        units = (first + torch.arange(24)) % 4
        loss = model(Batch(features=sounds[units], there=there, units=units), chance(step), step)
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.figures["masked"])
    assert sum(found[-10:]) < 0.5 * sum(found[:10])
