"""Losses: whose they are, what they are, and that they add up."""

import dataclasses
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
    some_piece,
    stack,
)
from trainer import objectives
from trainer.objectives import KINDS, LossWeights, Sums, kinds, losses, score
from trainer.pack import Vocabulary
from trainer.tensors import Inputs

DOCUMENT: list[Item] = [
    "document", "speech", (1, 2, 3), (4, 5, 6), "text", 7, 8, 9,
    "speech", (0, 0, 7), (7, 7, 0), "end",
]  # fmt: skip
SAID = "- marker speech speech marker switch_text text text marker switch_speech speech marker"


def names(held: Inputs) -> list[str]:
    return ["-" if kind < 0 else KINDS[kind] for kind in kinds(held)[0].tolist()]


@pytest.mark.parametrize("vocabulary", (UNITS, FRAMES, DELAYED))
def test_a_target_is_of_its_own_modality(vocabulary: Vocabulary) -> None:
    held = pack(vocabulary, 14, DOCUMENT)
    assert names(held) == [*SAID.split(), "-", "-"]


def test_a_switch_is_of_one_piece() -> None:
    """The first side of a piece is no switch, whatever the piece before ended with."""
    spoken: list[Item] = ["document", "speech", (1,), (2,), "end"]
    written: list[Item] = ["document", "text", 3, 4, "end"]
    found = names(pack(UNITS, 12, spoken, written))
    assert found == [
        "-", "marker", "speech", "speech", "marker",
        "-", "marker", "text", "text", "marker",
        "-", "-",
    ]  # fmt: skip


@given(number=st.integers(0, 10_000), which=st.sampled_from(range(len(ALL))))
@settings(max_examples=30)
def test_kinds_are_those_read_off_one_item_at_a_time(number: int, which: int) -> None:
    vocabulary, chance = ALL[which], random.Random(number)
    pieces = [some_piece(chance, vocabulary, chance.randint(3, 14)) for _ in range(3)]
    wanted = []
    for piece in pieces:
        side, last = "", ""  # of the run, of the last content
        for place, item in enumerate(piece):
            if isinstance(item, str):
                side = item
                wanted.append("marker" if place else "-")
                continue
            wanted.append(f"switch_{side}" if last not in ("", side) else side)
            last = side
    found = names(pack(vocabulary, 44, *pieces))
    assert found == [*wanted, *["-"] * (44 - len(wanted))]


def by_hand(model: Any, held: Inputs) -> list[tuple[int, int, str, float]]:
    """Pack, position, kind and loss of every target, one by one in float64, from whole logits."""
    hidden = model(held)
    words = model.text_logits(hidden).detach().double().numpy()
    codes = (
        None if model.code_heads is None else model.code_logits(hidden).detach().double().numpy()
    )
    found = []
    for row in range(held.packs):
        own = names(
            dataclasses.replace(held, **{n: getattr(held, n)[row : row + 1] for n in FIELDS})
        )
        for at, kind in enumerate(own):
            if kind == "-":
                continue
            if "speech" in kind and codes is not None:
                parts = [
                    nats(codes[row, at - 1, book], int(held.codes[row, at, book]))
                    for book in range(codes.shape[2])
                    if int(held.codes[row, at, book]) != model.vocabulary.pad
                ]
                found.append((row, at, kind, float(np.mean(parts))))
            else:
                found.append((row, at, kind, nats(words[row, at - 1], int(held.ids[row, at]))))
    return found


FIELDS = ("ids", "codes", "modality", "piece", "place")


def nats(logits: Any, wanted: int) -> float:
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[wanted])


@pytest.mark.parametrize("vocabulary", ALL)
def test_losses_are_those_worked_out_by_hand(vocabulary: Vocabulary) -> None:
    model, held = decoder(vocabulary), some_packs(vocabulary, 3)
    found = score(model, model(held), held)
    wanted = by_hand(model, held)
    assert [(p, t) for p, t, _, _ in wanted] == list(
        zip(found.pack.tolist(), found.position.tolist(), strict=True)
    )
    assert [KINDS[k] for k in found.kind.tolist()] == [kind for _, _, kind, _ in wanted]
    loss = np.array([one for *_, one in wanted])
    assert np.allclose(found.loss.detach().numpy(), loss, rtol=1e-4, atol=1e-5)
    sums = losses(model, model(held), held)
    for place, kind in enumerate(KINDS):
        own = [one for *_, name, one in wanted if name == kind]
        assert int(sums.numbers[0, place]) == len(own)
        assert float(sums.sums[0, place]) == pytest.approx(sum(own), rel=1e-5)
    assert float(sums.total.detach()) == pytest.approx(loss.sum(), rel=1e-5)
    assert int(sums.number) == len(loss)


def test_the_loss_of_a_dmel_frame_is_the_mean_over_its_channels() -> None:
    """Two channels of two levels, and logits that can be worked out on paper."""
    vocabulary = Vocabulary(text=4, codebooks=2, levels=2)
    model = decoder(vocabulary)
    assert model.code_heads is not None
    with torch.no_grad():
        model.code_heads.weight.zero_()
        model.code_heads.weight[0, 0] = math.log(3)  # channel 0: level 0 is 3 times level 1
    hidden = torch.zeros(1, 4, 32)
    hidden[..., 0] = 1
    held = pack(vocabulary, 4, ["document", "speech", (0, 1), (1, 1)])
    found = score(model, hidden, held)
    frames = found.loss[found.kind == KINDS.index("speech")]
    half = math.log(2)
    wanted = [(math.log(4 / 3) + half) / 2, (math.log(4) + half) / 2]
    torch.testing.assert_close(frames, torch.tensor(wanted))


def test_codes_that_fill_delayed_frames_up_are_no_targets() -> None:
    model = decoder(DELAYED)
    held = pack(DELAYED, 6, ["document", "speech", (1, 8, 8), (2, 3, 8), "end"])
    whole = model.code_logits(model(held)[0]).detach().double().numpy()
    found = score(model, model(held), held)
    frames = found.loss[found.kind == KINDS.index("speech")].tolist()
    assert frames[0] == pytest.approx(nats(whole[1, 0], 1), rel=1e-5)
    assert frames[1] == pytest.approx((nats(whole[2, 0], 2) + nats(whole[2, 1], 3)) / 2, rel=1e-5)


@pytest.mark.parametrize("vocabulary", (UNITS, FRAMES))
def test_text_only_loss_learns_nothing_from_speech_targets(vocabulary: Vocabulary) -> None:
    """SpeLangy's understanding mode: changing what speech says later changes no gradient."""
    weights = LossWeights(speech=0, marker=0, switch=0)
    held = pack(vocabulary, 12, DOCUMENT)
    model = decoder(vocabulary)
    gradients = []
    for last in ((0, 0, 7), (5, 5, 5)):
        changed = pack(vocabulary, 12, [*DOCUMENT[:9], last, *DOCUMENT[10:]])
        model.zero_grad()
        found = losses(model, model(changed), changed, None, weights)
        found.total.backward()
        assert int(found.number) == 2  # 8 and 9; 7 is the first after a switch
        gradients.append([w.grad.clone() for w in model.parameters() if w.grad is not None])
    # speech after the last text target is not even heard by it
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    shown = losses(model, model(held), held, None, weights)
    assert shown.numbers[0].tolist() == [2, 3, 4, 1, 1, 0, 0]  # still logged
    assert float(shown.sums[0, KINDS.index("speech")]) > 0


def test_a_switch_weighs_its_modality_too() -> None:
    assert LossWeights(text=2, speech=0, marker=3, switch=5).by_kind == (2, 0, 3, 10, 0, 0, 0)
    held = pack(UNITS, 12, DOCUMENT)
    model = decoder(UNITS)
    whole = losses(model, model(held), held)
    each = whole.sums[0]
    found = losses(
        model, model(held), held, None, LossWeights(text=2, speech=0, marker=3, switch=5)
    )
    assert float(found.total.detach()) == pytest.approx(
        float(2 * each[0] + 3 * each[2] + 10 * each[3])
    )
    assert int(found.number) == 2 + 4 + 1
    assert torch.equal(found.sums, whole.sums)  # logged as they are


@given(number=st.integers(0, 10_000), which=st.sampled_from(range(len(ALL))))
@settings(max_examples=15)
def test_sums_of_parts_are_the_sum_of_the_whole(number: int, which: int) -> None:
    vocabulary = ALL[which]
    chance = random.Random(number)
    count = chance.randint(2, 4)
    model, held = decoder(vocabulary), some_packs(vocabulary, count, seed=number)
    sets = torch.tensor([chance.randrange(2) for _ in range(count)])
    whole = losses(model, model(held), held, sets, set_count=2)
    parts: list[Sums] = []
    for row in range(count):
        one = stack([Inputs(**{name: getattr(held, name)[row : row + 1] for name in FIELDS})])
        parts.append(losses(model, model(one), one, sets[row : row + 1], set_count=2))
    assert sum(int(part.number) for part in parts) == int(whole.number)
    assert sum(part.total.item() for part in parts) == pytest.approx(whole.total.item(), rel=1e-4)
    assert torch.equal(sum(part.numbers for part in parts), whole.numbers)  # type: ignore[arg-type]
    torch.testing.assert_close(sum(part.sums for part in parts), whole.sums, rtol=1e-4, atol=1e-4)
    targets = (kinds(held) >= 0).sum(dim=1)
    for one_set in (0, 1):
        assert int(whole.numbers[one_set].sum()) == int(targets[sets == one_set].sum())


@pytest.mark.parametrize("vocabulary", (UNITS, FRAMES))
def test_logits_are_made_for_targets_alone(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, held = decoder(vocabulary), some_packs(vocabulary, 2)
    asked: dict[str, int] = {}
    for name in ("text_logits", "code_logits"):
        own = getattr(model, name)

        def counted(state: torch.Tensor, own: Any = own, name: str = name) -> torch.Tensor:
            asked[name] = asked.get(name, 0) + state.numel() // state.shape[-1]
            return own(state)

        monkeypatch.setattr(model, name, counted)
    found = losses(model, model(held), held)
    numbers = dict(zip(KINDS, found.numbers[0].tolist(), strict=True))
    spoken = numbers["speech"] + numbers["switch_speech"]
    if vocabulary.codebooks == 1:
        assert asked == {"text_logits": sum(numbers.values())}
    else:
        assert asked == {"text_logits": sum(numbers.values()) - spoken, "code_logits": spoken}


@pytest.mark.parametrize("vocabulary", (UNITS, FRAMES))
def test_logits_some_at_a_time_change_nothing(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, held = decoder(vocabulary), some_packs(vocabulary, 2)
    found = []
    for logits in (1 << 20, 200):
        monkeypatch.setattr(objectives, "LOGITS", logits)
        model.zero_grad()
        sums = losses(model, model(held), held)
        sums.total.backward()
        found.append((sums, [w.grad for w in model.parameters()]))
    (one, gradients), (other, others) = found
    torch.testing.assert_close(other.sums, one.sums)
    for a, b in zip(gradients, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_every_weight_has_a_gradient_where_there_is_no_speech() -> None:
    """Ranks wait for each other's gradients: a batch of text must not leave any out."""
    model, held = decoder(FRAMES), some_packs(FRAMES, 1)
    text = pack(FRAMES, 8, ["document", "text", 3, 4, "end"])
    losses(model, model(text), text).total.backward()
    assert all(w.grad is not None for w in model.parameters())
    assert model.code_heads is not None
    assert not model.code_heads.weight.grad.any()  # type: ignore[union-attr]
    losses(model, model(held), held).total.backward()
    assert model.code_heads.weight.grad.any()  # type: ignore[union-attr]


def test_that_a_frame_follows_is_asked_when_told_to() -> None:
    model, held = decoder(FRAMES), pack(FRAMES, 12, DOCUMENT)
    frame = KINDS.index("frame")
    without, asked = (
        losses(model, model(held), held, None, LossWeights(frame=value)) for value in (None, 2.0)
    )
    assert int(without.numbers[0, frame]) == 0
    assert int(asked.numbers[0, frame]) == 4
    words = model.text_logits(model(held)[0]).detach().double().numpy()
    wanted = sum(nats(words[at - 1], FRAMES.speech_first) for at in (2, 3, 9, 10))
    assert float(asked.sums[0, frame]) == pytest.approx(wanted, rel=1e-5)
    assert (asked.total - without.total).item() == pytest.approx(2 * wanted, rel=1e-4)
    assert int(asked.number - without.number) == 4


def test_a_pack_of_padding_has_no_loss() -> None:
    model, held = decoder(FRAMES), pack(FRAMES, 8)
    found = losses(model, model(held), held, None, LossWeights(frame=1.0))
    assert (found.total.item(), int(found.number)) == (0, 0)
    found.total.backward()


def test_training_learns_both_modalities() -> None:
    """A few steps on two documents take most of every loss away."""
    chance = random.Random(0)
    model = decoder(FRAMES, initial_std=0.02, width=64)
    held = pack(FRAMES, 32, some_piece(chance, FRAMES, 16), some_piece(chance, FRAMES, 16))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    means = []
    for _ in range(60):
        found = losses(model, model(held), held)
        optimizer.zero_grad()
        (found.total / found.number).backward()
        optimizer.step()
        means.append(found.sums[0, :3] / found.numbers[0, :3])
    assert (means[-1] < 0.2 * means[0]).all()


def test_words_alone_have_one_head() -> None:
    model, held = decoder(WORDS), some_packs(WORDS, 2)
    found = losses(model, model(held), held)
    assert found.numbers[0, [1, 3, 4, 5]].tolist() == [0, 0, 0, 0]
