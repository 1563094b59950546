"""The adapter: a frozen encoder and a frozen language model, tiny ones of random weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.settings import SettingsError
from tests.trainer.loop.made_runs import config_of, losses_of, steps_of
from tests.trainer.model.hugging_face import save
from tests.trainer.model.made_text import bpe_file
from trainer import checkpoint
from trainer.config import Config, of_json
from trainer.contrastive.adapter import AdaptedDecoder, Listener
from trainer.contrastive.waveform import HOP, Waveform
from trainer.encoding import Positions
from trainer.export import ExportError, export
from trainer.failures import ChangedError, SetupError
from trainer.loop import train
from trainer.trained import open_trained

pytest.importorskip("transformers", reason="local models are read by transformers")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Llama with its tokenizer, and a HuBERT."""
    import transformers as hub

    folder = tmp_path_factory.mktemp("models")
    hub.utils.logging.disable_progress_bar()
    text = folder / "text"
    text.mkdir()
    with torch.random.fork_rng():
        save(text, "llama", vocab_size=320, hidden_size=32, intermediate_size=48)
        bpe_file(text)
        torch.manual_seed(5)
        hubert = hub.HubertModel(
            hub.HubertConfig(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                conv_dim=(8,) * 7,
                num_conv_pos_embeddings=16,
                num_conv_pos_embedding_groups=2,
            )
        )
    hubert.save_pretrained(folder / "hubert")
    yield {"text": str(text), "hubert": str(folder / "hubert")}


@pytest.fixture
def adapted(talk: Path, page: Path, models: dict[str, str]) -> Any:
    def made(policy: str = "asr", **changes: Any) -> Config:
        plain = config_of(talk, page).canonical()
        plain["model"] = None
        plain["initial"] = {"folder": models["text"]}
        plain["data"]["sets"] = {"talk": {"shards": str(talk), "policy": policy}}
        plain["data"]["packs"] = 2
        plain["text"] = {"tokenizer": models["text"]}
        plain["speech"] = {"tokenizer": "waveform"}
        plain["loss"] = {"speech": 0.0}
        sizes = {"width": 16, "layers": 2, "heads": 2}
        plain["adapter"] = {"encoder": models["hubert"], **sizes, **changes.pop("adapter", {})}
        plain["stop"] = {"steps": 4}
        return of_json({**plain, **changes}, "made")

    return made


CONTRAST = {"contrastive": {"sets": ["talk"]}}


def test_samples_come_back_and_have_their_place() -> None:
    speech = Waveform()
    pcm = np.random.default_rng(0).integers(-32768, 32767, 20_001).astype(np.int16)
    codes = speech.encode(pcm, 16_000)
    assert codes.shape == (speech.grid.positions(20_001, 16_000), HOP) == (16, HOP)
    back = codes.astype(np.int32).reshape(-1) - 32768
    assert np.array_equal(back[:20_001], pcm) and not back[20_001:].any()
    assert Positions(speech).of(20_001, 16_000) == 16
    assert len(speech.encode(pcm, 8_000)) == speech.grid.positions(20_001, 8_000)
    assert 4 / speech.frames_per_second == pytest.approx(0.333, abs=1e-3)


def test_every_frame_is_in_one_window(models: dict[str, str]) -> None:
    listener = Listener(models["hubert"], 1)
    samples = torch.randint(-3000, 3000, (9 * HOP,), generator=torch.Generator().manual_seed(1))
    held, there = listener(samples)
    assert held.shape[0] == 3 and held.shape[2] == 32
    whole = listener._features(samples.to(torch.int16).numpy(), 16_000)
    assert torch.equal(held[there], torch.from_numpy(whole))
    # frames of 20 ms: 16 or 17 in a window of 333 ms, a quarter of them in the last position
    assert there.sum(1).tolist()[:2] == [17, 16] and int(there[2].sum()) < 6


@pytest.mark.parametrize("change", [{}, CONTRAST])
def test_only_the_adapter_is_trained_and_saved(
    change: dict[str, Any], adapted: Any, tmp_path: Path
) -> None:
    config = adapted(**change)
    before = dict(_weights(config, tmp_path / "zero", 0))
    train(config, tmp_path / "out")
    after = dict(open_trained(tmp_path / "out").decoder.named_parameters())
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {name for name in after if name.startswith("adapter.")}
    saved = checkpoint.newest(tmp_path / "out" / "checkpoints")
    assert saved is not None
    updates = checkpoint.read_state(saved.path)["updates"]
    assert all(name.startswith("adapter.") for name in updates) and updates
    lines = steps_of(tmp_path / "out")
    assert all("loss_speech" not in line for line in lines)
    wanted = "loss_contrast" if change else "loss_text"
    assert all(wanted in line for line in lines)


def _weights(config: Config, out: Path, steps: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Of the model before its first step."""
    found: dict[str, torch.Tensor] = {}

    def keep(model: Any, state: Any) -> None:
        found.update({name: one.clone() for name, one in model.named_parameters()})

    train(config, out, at={steps: keep}, until=1)
    yield from found.items()


@pytest.mark.parametrize("change", [{}, CONTRAST])
def test_a_run_is_resumed_exactly(change: dict[str, Any], adapted: Any, tmp_path: Path) -> None:
    config = adapted(**change)
    train(config, tmp_path / "whole")
    for until in (2, None):
        train(config, tmp_path / "parts", until=until)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    one, two = (open_trained(tmp_path / name).decoder for name in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_the_second_stage_begins_with_what_the_first_one_learnt(
    adapted: Any, tmp_path: Path
) -> None:
    """Contrastive pretraining, then recognition on a tenth of the documents."""
    train(adapted(**CONTRAST), tmp_path / "one")
    first = dict(open_trained(tmp_path / "one").decoder.named_parameters())
    second = adapted(adapter={"begin": str(tmp_path / "one")})
    plain = second.canonical()
    plain["data"]["sets"]["talk"]["max_documents"] = 2
    second = of_json(plain, "made")
    begun = dict(_weights(second, tmp_path / "two", 0))
    assert all(torch.equal(first[name], begun[name]) for name in first)
    train(second, tmp_path / "two")
    (tmp_path / "one").rename(tmp_path / "moved")
    trained = open_trained(tmp_path / "two")
    assert isinstance(trained.decoder, AdaptedDecoder)
    with pytest.raises(ExportError, match=r"adapter\.begin"):
        export(trained.decoder, trained.text, tmp_path / "model", length=128)
    with pytest.raises(SetupError, match="holds no checkpoint"):
        train(second, tmp_path / "three")


def test_the_language_model_may_learn_too(adapted: Any, tmp_path: Path) -> None:
    config = adapted(adapter={"train": "adapter_and_language_model"})
    before = dict(_weights(config, tmp_path / "zero", 0))
    train(config, tmp_path / "out")
    after = dict(open_trained(tmp_path / "out").decoder.named_parameters())
    assert any(not torch.equal(after[n], before[n]) for n in after if n.startswith("blocks."))


def test_speech_is_heard_by_the_text_after_it(adapted: Any, tmp_path: Path) -> None:
    """Other samples change the states of text after them, and none of another document."""
    config = adapted()
    seen: dict[str, torch.Tensor] = {}

    def look(model: Any, state: Any) -> None:
        from trainer.pack import SPEECH, TEXT
        from trainer.tensors import inputs

        given = inputs(next(state.opened.data.batches(steps=1)).batch)
        one = model(given)
        codes = given.codes.clone()
        piece = int(given.piece[0, 0])
        own = (given.piece == piece) & (given.modality == SPEECH)
        own[1:] = False
        codes[own] = torch.randint(30000, 36000, codes[own].shape)
        other = model(type(given)(**{**vars(given), "codes": codes}))
        text = (given.modality == TEXT) & (given.piece == piece)
        text[1:] = False
        seen["text"] = (one - other)[text].abs().amax()
        elsewhere = given.piece != piece
        elsewhere[1:] = True
        seen["elsewhere"] = (one - other)[elsewhere].abs().amax()

    train(config, tmp_path, at={0: look}, until=1)
    assert float(seen["text"]) > 1e-4
    assert float(seen["elsewhere"]) == 0.0


def test_another_encoder_is_refused(adapted: Any, models: dict[str, str], tmp_path: Path) -> None:
    import shutil

    encoder = tmp_path / "hubert"
    shutil.copytree(models["hubert"], encoder)
    config = adapted(adapter={"encoder": str(encoder)})
    train(config, tmp_path / "out", until=1)
    about = (encoder / "config.json").read_text().replace("0.1", "0.2", 1)
    (encoder / "config.json").write_text(about)
    with pytest.raises(ChangedError, match="speech encoder"):
        train(config, tmp_path / "out")


def test_what_does_not_go_together_is_refused(adapted: Any) -> None:
    plain = adapted().canonical()

    def said(**changes: Any) -> str:
        with pytest.raises(SettingsError) as caught:
            of_json({**plain, **changes}, "made")
        return str(caught.value)

    assert "belong together" in said(adapter=None)
    assert "not predicted" in said(loss={"speech": 1.0})
    assert "give initial.folder" in said(initial={}, model={"depth": 1})
    assert "multiple of heads" in said(adapter={"encoder": "x", "width": 9, "heads": 2})


def test_what_is_frozen_costs_less(adapted: Any, tmp_path: Path) -> None:
    flops = {}
    for train_what in ("adapter", "adapter_and_language_model"):
        config = adapted(adapter={"train": train_what})
        flops[train_what] = train(config, tmp_path / train_what, until=1).flops
    model = open_trained(tmp_path / "adapter").decoder
    assert isinstance(model, AdaptedDecoder)
    assert model.heard_flops > 0
    assert flops["adapter"] < flops["adapter_and_language_model"] < 1.5 * flops["adapter"]
