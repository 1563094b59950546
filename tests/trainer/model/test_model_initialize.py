"""A decoder that begins as a text model says what the text model says."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.model.hugging_face import logits_of, save
from tests.trainer.model.made_text import bpe_file, sentencepiece_file
from trainer.initialize import InitializationError, initialized, settings_from
from trainer.model import Decoder
from trainer.pack import TEXT, Vocabulary
from trainer.tensors import Inputs

TEXT_IDS = 320
UNITS = Vocabulary(text=TEXT_IDS, codebooks=1, levels=50)
FRAMES = Vocabulary(text=TEXT_IDS, codebooks=4, levels=16)

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def read(model: Decoder, ids: torch.Tensor) -> torch.Tensor:
    """Logits of text ids [packs, length], each pack one piece."""
    place = torch.arange(ids.shape[1]).expand_as(ids)
    held = Inputs(
        ids=ids,
        codes=torch.zeros(*ids.shape, model.vocabulary.codebooks, dtype=torch.int64),
        modality=torch.full_like(ids, TEXT),
        piece=torch.zeros_like(ids),
        place=place,
    )
    with torch.no_grad():
        return model.text_logits(model(held))


def some_ids(length: int = 60) -> torch.Tensor:
    return torch.randint(0, TEXT_IDS, (2, length), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"tie_word_embeddings": False, "num_key_value_heads": 4, "head_dim": 16}),
        ("llama", {"rope_parameters": LLAMA3}),
        ("qwen2", {"tie_word_embeddings": True, "rope_parameters": {"rope_theta": 1e6}}),
        ("qwen2", {"tie_word_embeddings": False, "rms_norm_eps": 1e-3}),
        ("mistral", {"sliding_window": None}),
    ],
)
@pytest.mark.parametrize("vocabulary", (UNITS, FRAMES), ids=("units", "frames"))
def test_logits_are_those_of_the_text_model(
    tmp_path: Path, kind: str, values: dict[str, Any], vocabulary: Vocabulary
) -> None:
    theirs = save(tmp_path, kind, **values)
    model = initialized(tmp_path, vocabulary, 0)
    assert model.settings.qkv_bias == (kind == "qwen2")
    ids = some_ids()
    wanted = logits_of(theirs, ids)[..., :TEXT_IDS]
    found = read(model, ids)
    assert found.shape[-1] == vocabulary.size
    torch.testing.assert_close(found[..., :TEXT_IDS], wanted, rtol=1e-5, atol=1e-5)
    assert float(wanted.abs().max()) > 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    save(path, tie_word_embeddings=False)
    return path


def test_weights_in_several_files_and_in_half_precision_are_read(tmp_path: Path) -> None:
    import transformers

    theirs = save(tmp_path / "one", tie_word_embeddings=True)
    theirs.save_pretrained(tmp_path / "many", max_shard_size="40KB")
    assert (tmp_path / "many" / "model.safetensors.index.json").is_file()
    one, many = (initialized(tmp_path / name, UNITS, 0).state_dict() for name in ("one", "many"))
    assert all(torch.equal(one[name], many[name]) for name in one)
    transformers.LlamaForCausalLM.from_pretrained(
        tmp_path / "one", dtype=torch.bfloat16
    ).save_pretrained(tmp_path / "half")
    half = initialized(tmp_path / "half", UNITS, 0)
    assert half.embedding.weight.dtype == torch.float32
    torch.testing.assert_close(half.state_dict(), one, rtol=0.01, atol=0.01)


def test_a_folder_of_before_transformers_5_is_read(tmp_path: Path) -> None:
    """Theta and scaling stood apart in config.json."""
    theirs = save(tmp_path, rope_parameters=LLAMA3)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    path.write_text(json.dumps(config))
    found = read(initialized(tmp_path, UNITS, 0), some_ids())[..., :TEXT_IDS]
    wanted = logits_of(theirs, some_ids())[..., :TEXT_IDS]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_new_rows_are_xavier_normal_as_one_matrix(folder: Path) -> None:
    vocabulary = Vocabulary(text=TEXT_IDS, codebooks=1, levels=2000)
    model = initialized(folder, vocabulary, 0)
    std = math.sqrt(2 / (2004 + 48))
    assert model.text_head is not None
    for weight in (model.embedding.weight, model.text_head.weight):
        assert float(weight[TEXT_IDS:].detach().std()) == pytest.approx(std, rel=0.02)
    assert not torch.equal(model.embedding.weight[TEXT_IDS:], model.text_head.weight[TEXT_IDS:])
    again, other = (initialized(folder, vocabulary, seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(again[name], weight) for name, weight in model.state_dict().items())
    new = slice(TEXT_IDS, None)
    assert not torch.equal(other["embedding.weight"][new], again["embedding.weight"][new])


def test_new_rows_may_be_the_mean_of_the_old(folder: Path) -> None:
    model = initialized(folder, UNITS, 0, new_embeddings="mean")
    assert model.text_head is not None
    for weight in (model.embedding.weight, model.text_head.weight):
        wanted = weight[:TEXT_IDS].mean(dim=0).expand(54, 48)
        torch.testing.assert_close(weight[TEXT_IDS:], wanted)


def test_channels_of_frames_are_xavier_normal_each(folder: Path) -> None:
    model = initialized(folder, Vocabulary(text=TEXT_IDS, codebooks=80, levels=16), 0)
    assert model.code_tables is not None and model.code_heads is not None
    std = math.sqrt(2 / (16 + 48))
    assert float(model.code_heads.weight.detach().std()) == pytest.approx(std, rel=0.02)
    codes = torch.randint(0, 16, (1, 500, 80), generator=torch.Generator().manual_seed(0))
    assert float(model.code_tables(codes).detach().std()) == pytest.approx(std, rel=0.05)


def test_the_tokenizer_must_be_the_folders_own(tmp_path: Path, folder: Path) -> None:
    held = tmp_path / "model"
    shutil.copytree(folder, held)
    own = bpe_file(held)
    initialized(held, UNITS, 0, text=own)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InitializationError, match="Its ids would mean other words"):
        initialized(held, UNITS, 0, text=bpe_file(other, 300))
    initialized(folder, UNITS, 0, text=own)  # a folder without one cannot say
    initialized(held, UNITS, 0, text=sentencepiece_file(other))  # the same in another format, maybe


def altered(folder: Path, tmp_path: Path, **values: Any) -> Path:
    held = tmp_path / "altered"
    shutil.copytree(folder, held)
    path = held / "config.json"
    config = json.loads(path.read_text())
    config.update(values)
    path.write_text(json.dumps(config))
    return held


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "gemma2"}, "model type 'gemma2'; weights of llama, mistral, qwen2"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; the decoder does 'silu' only"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"model_type": "mistral", "sliding_window": 64}, "a sliding window of 64 positions"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rotary scaling 'yarn'"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "'factor' is missing"),
        ({"hidden_size": "48"}, "sizes that cannot be"),
        ({"num_hidden_layers": 3}, r"missing \['model.layers.2"),
        ({"num_hidden_layers": 1}, r"unknown \['model.layers.1"),
        ({"intermediate_size": 96}, r"is \(80, 48\), its configuration makes it \(96, 48\)"),
    ],
)
def test_a_configuration_that_cannot_be_followed_is_refused(
    folder: Path, tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(InitializationError, match=said):
        initialized(altered(folder, tmp_path, **values), UNITS, 0)


def test_more_text_ids_than_rows_are_refused(folder: Path) -> None:
    with pytest.raises(InitializationError, match="have 331 ids that it should know"):
        initialized(folder, Vocabulary(text=331), 0)


def test_pickles_and_broken_files_are_refused(folder: Path, tmp_path: Path) -> None:
    held = altered(folder, tmp_path)
    weights = held / "model.safetensors"
    weights.rename(held / "pytorch_model.bin")
    with pytest.raises(InitializationError, match=r"Pickled weights .* are not read"):
        initialized(held, UNITS, 0)
    weights.write_bytes((held / "pytorch_model.bin").read_bytes()[:2000])
    with pytest.raises(InitializationError, match=r"model\.safetensors"):
        initialized(held, UNITS, 0)
    index = held / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../secret"}}))
    with pytest.raises(InitializationError, match="names files outside it"):
        initialized(held, UNITS, 0)
    with pytest.raises(InitializationError, match="is this a model's folder"):
        settings_from(tmp_path / "nowhere")
