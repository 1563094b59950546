"""The objective: its value by hand, what it weighs, whole runs, resuming, and two ranks."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from schemas.settings import SettingsError
from tests.trainer.loop.made_runs import config_of, losses_of, steps_of
from tests.trainer.model.made_models import FRAMES, decoder, pack, stack
from trainer.config import Config, of_json
from trainer.contrastive.objective import ContrastiveObjective
from trainer.contrastive.pairs import pairs
from trainer.contrastive.settings import ContrastiveSettings
from trainer.contrastive.similarity import own_losses, pooled, scores, side
from trainer.data_settings import DataSettings
from trainer.distributed import Ranks
from trainer.loop import train
from trainer.objectives import KINDS, LossWeights, losses
from trainer.trained import open_trained

ONE = ["document", "speech", (1, 2, 3), (4, 5, 6), "text", 7, 8, 9, "speech", (0, 0, 7), "text", 4]
TWO = ["document", "speech", (7, 7, 0), "text", 5, 6, "end"]
TEXTS, SPEECHES = ((5, 8), (11, 12), (16, 18)), ((2, 4), (9, 10), (14, 15))
DATA = DataSettings.model_validate(
    {"sets": {"a": {"shards": "x", "policy": "asr"}, "b": {"shards": "x"}}}
)


def made(**changes: Any) -> ContrastiveObjective:
    settings = ContrastiveSettings.model_validate({"sets": ["a"], **changes})
    return ContrastiveObjective(decoder(FRAMES), LossWeights(), settings, DATA, Ranks())


def test_the_loss_by_hand() -> None:
    """Cosine, two layers: means over positions, softmax over the batch's speeches."""
    objective = made()
    assert objective.layers == (0, 2)
    held = pack(FRAMES, 24, ONE, TWO)
    total, number, sums, numbers = objective(held, torch.tensor([0]))
    model = objective.decoder
    cut = pairs(held, torch.tensor([True])).given
    wanted = torch.zeros(3)
    for layer, states in enumerate(model.states(cut)):
        if layer not in (0, 2):
            continue
        texts = torch.stack([states[0, a:b].mean(0) for a, b in TEXTS])
        heard = torch.stack([states[0, a:b].mean(0) for a, b in SPEECHES])
        alike = F.normalize(texts, dim=1) @ F.normalize(heard, dim=1).T / 0.1
        wanted = wanted - F.log_softmax(alike, dim=1).diagonal()
    assert float(total.detach()) == pytest.approx(float(wanted.sum().detach()), rel=1e-5)
    assert (int(number), int(numbers[0, KINDS.index("contrast")])) == (3, 3)
    assert float(sums[0, KINDS.index("contrast")]) == pytest.approx(float(total.detach()))


def test_wasserstein_is_the_divergence_over_the_temperature() -> None:
    settings = ContrastiveSettings.model_validate({"sets": ["a"], "similarity": "wasserstein"})
    held = pack(FRAMES, 24, ONE, TWO)
    found = pairs(held, torch.tensor([True]))
    states = torch.randn(1, 24, 8, generator=torch.Generator().manual_seed(0))
    text = side(states, found.text)
    same = scores(text, text, settings)
    assert torch.allclose(same.diagonal(), torch.zeros(3), atol=1e-4)
    assert float(same[0, 1]) < -1
    each = own_losses(text, text, text, text, 0, settings)
    assert torch.allclose(each, -F.log_softmax(same, 1).diagonal(), atol=1e-5)


def test_symmetric_is_the_mean_of_both_ways() -> None:
    held = pack(FRAMES, 24, ONE, TWO)
    found = pairs(held, torch.tensor([True]))
    states = torch.randn(1, 24, 8, generator=torch.Generator().manual_seed(1))
    text, speech = side(states, found.text), side(states, found.speech)
    alike = pooled(text) @ pooled(speech).T / 0.1
    settings = ContrastiveSettings.model_validate({"sets": ["a"], "symmetric": True})
    each = own_losses(text, speech, text, speech, 0, settings)
    both = -F.log_softmax(alike, 1).diagonal() - F.log_softmax(alike, 0).diagonal()
    assert torch.allclose(each, both / 2, atol=1e-5)


@pytest.mark.parametrize("next_token", [False, True])
def test_mixed_with_other_sets_both_means_count_as_declared(next_token: bool) -> None:
    """Mean over targets + weight x mean over pairs, with one division at the end."""
    objective = made(weight=0.5, next_token=next_token)
    one, two = pack(FRAMES, 24, ONE, TWO), pack(FRAMES, 24, TWO, TWO, TWO)
    held, sets = stack([one, two]), torch.tensor([0, 1])
    objective._alone = False
    kept = held if next_token else two
    owner = sets if next_token else sets[1:]
    plain = losses(objective.decoder, objective.decoder(kept), kept, owner, set_count=2)
    number = 3
    objective._scale = 0.5 * int(plain.number) / number
    total, counted, sums, numbers = objective(held, sets)
    mean = float(sums[0, KINDS.index("contrast")]) / number
    wanted = float(plain.total.detach()) / int(plain.number) + 0.5 * mean
    assert float(total.detach()) / int(counted) == pytest.approx(wanted, rel=1e-5)
    assert torch.equal(numbers[:, :-1], plain.numbers[:, :-1])


def test_every_weight_has_a_gradient_whatever_a_batch_holds() -> None:
    for sets in ([0], [1]):
        objective = made()
        objective(pack(FRAMES, 24, ONE, TWO), torch.tensor(sets))[0].backward()
        assert all(weight.grad is not None for weight in objective.parameters()), sets


@pytest.mark.parametrize(
    ("layers", "depth", "wanted"),
    [
        ("authors", 32, (0, 5, 10, 15, 20, 25, 32)),
        ("authors", 12, (0, 5, 10, 12)),
        ("authors", 4, (0, 4)),
        ("every", 2, (0, 1, 2)),
        ("embedding", 9, (0,)),
        ("last", 9, (9,)),
        ((1, 3), 3, (1, 3)),
    ],
)
def test_layers(layers: Any, depth: int, wanted: tuple[int, ...]) -> None:
    assert ContrastiveSettings(sets=("a",), layers=layers).chosen(depth) == wanted


def test_the_defaults_are_the_authors() -> None:
    found = ContrastiveSettings(sets=("a",))
    assert (found.temperature, found.p, found.blur) == (0.1, 2, 0.05)
    assert (found.symmetric, found.gather, found.layers) == (False, False, "authors")


@pytest.fixture
def base(talk: Path, page: Path) -> Config:
    return config_of(talk, page)


def wrong(config: Config, **contrastive: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        of_json({**config.canonical(), "contrastive": contrastive}, "made")
    return str(caught.value)


def test_sets_without_pairs_are_refused(base: Config) -> None:
    assert "there is no set 'talks'" in wrong(base, sets=["talks"])
    assert "write policy: asr" in wrong(base, sets=["talk"])
    assert "each once" in wrong(base, sets=["talk"], layers=[1, 1])


CASES: dict[str, dict[str, Any]] = {
    "cosine": {},
    "wasserstein": {"similarity": "wasserstein", "layers": "last"},
    "symmetric": {"symmetric": True, "gather": True, "position_shift": 20},
}


def run(base: Config, talk: Path, page: Path, sets: tuple[str, ...], **contrastive: Any) -> Config:
    plain = base.canonical()
    plain["contrastive"] = {"sets": ["talk"], **contrastive}
    data = {"talk": {"shards": str(talk), "policy": "asr"}, "page": {"shards": str(page)}}
    plain["data"]["sets"] = {name: data[name] for name in sets}
    return of_json(plain, "made")


@pytest.mark.parametrize("case", CASES)
def test_a_run_is_resumed_exactly(
    case: str, base: Config, talk: Path, page: Path, tmp_path: Path
) -> None:
    config = run(base, talk, page, ("talk", "page"), **CASES[case])
    whole = train(config, tmp_path / "whole")
    for until in (3, None):
        train(config, tmp_path / "parts", until=until)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    one, two = (open_trained(tmp_path / name).decoder for name in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    lines = steps_of(tmp_path / "whole")
    assert all("loss_contrast" in line["sets"]["talk"] for line in lines)
    assert all("loss_text" not in line["sets"]["talk"] for line in lines)
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert whole.step == 8


def test_alone_it_learns_its_pairs(base: Config, talk: Path, page: Path, tmp_path: Path) -> None:
    """Noise has nothing to say of words, yet few pairs can be learnt by heart."""
    config = run(base, talk, page, ("talk",), layers="last")
    config = of_json({**config.canonical(), "stop": {"steps": 30}}, "made")
    train(config, tmp_path / "out")
    found = losses_of(tmp_path / "out")
    assert sum(found[-5:]) / 5 < 0.8 * sum(found[:5]) / 5


def test_a_second_pass_is_counted(base: Config, talk: Path, page: Path, tmp_path: Path) -> None:
    """FLOPs of a run whose pairs are also read as they are: the blocks once more."""
    one = run(base, talk, page, ("talk",))
    two = run(base, talk, page, ("talk",), next_token=True)
    cost = [train(c, tmp_path / str(n)).flops for n, c in enumerate((one, two))]
    model = open_trained(tmp_path / "1").decoder
    positions = 8 * 4 * 128
    blocks = positions * model.flops_per_position(128, 0.0, 0.0)
    assert cost[0] == pytest.approx(blocks)
    assert cost[1] > 2 * blocks
    plain = of_json({**two.canonical(), "contrastive": None}, "made")
    assert cost[1] - blocks == pytest.approx(train(plain, tmp_path / "plain").flops)


def test_a_budget_of_flops_pays_both_passes(base: Config, talk: Path, page: Path) -> None:
    from trainer.contrastive.settings import passes

    config = run(base, talk, page, ("talk", "page"), next_token=True)
    assert config.contrastive is not None
    assert passes(config.contrastive, config.data) == 1.5
    assert passes(None, config.data) == 1.0
