"""Codecs from local folders: their codes, their place in time, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.tokens.conftest import sound
from transforms.engines import local_model
from transforms.engines.hub_codec import HubCodec
from transforms.engines.models import ModelError

RATE = 16_000


@pytest.mark.parametrize(
    ("name", "codebooks", "levels", "rate", "dtype"),
    [
        ("mimi", 4, 512, 12.5, np.uint16),
        ("encodec", 6, 64, 75.0, np.uint8),
        ("dac", 3, 32, 31.25, np.uint8),
    ],
)
def test_codes_have_their_shape_type_and_rate(
    models: dict[str, Path], name: str, codebooks: int, levels: int, rate: float, dtype: type
) -> None:
    codec = HubCodec(str(models[name]))
    pcm = sound(20_011)
    codes = codec.encode(pcm, RATE)
    assert (codec.codebooks, codec.levels, codec.rate_hz) == (codebooks, levels, rate)
    assert codes.shape == (codec.grid.positions(20_011, RATE), codebooks)
    assert codes.dtype == dtype
    assert len(np.unique(codes)) > 3
    assert np.array_equal(codec.encode(pcm, RATE), codes)


@pytest.mark.parametrize("name", ["mimi", "dac"])
def test_the_number_of_frames_follows_from_the_length(models: dict[str, Path], name: str) -> None:
    codec = HubCodec(str(models[name]))
    hop, rate = codec.grid.hop, codec.grid.rate
    for length in (0, 1, hop - 1, hop, hop + 1, 3 * hop + 7):
        codes = codec.encode(sound(length), rate)
        assert codes.shape == (-(-length // hop), codec.codebooks)


def test_mimi_gives_what_the_library_gives(models: dict[str, Path]) -> None:
    import torch
    import transformers

    codec = HubCodec(str(models["mimi"]))
    pcm = sound(5 * 1920, rate=24_000)
    model = transformers.MimiModel.from_pretrained(models["mimi"]).eval()
    with torch.inference_mode():
        expected = model.encode(torch.from_numpy(pcm / np.float32(32768))[None, None]).audio_codes
    assert np.array_equal(codec.encode(pcm, 24_000), expected[0].numpy().T)


def test_fewer_codebooks_are_the_first_ones(models: dict[str, Path]) -> None:
    every, two = HubCodec(str(models["mimi"])), HubCodec(f"{models['mimi']}@2")
    pcm = sound(12_000)
    assert np.array_equal(two.encode(pcm, RATE), every.encode(pcm, RATE)[:, :2])
    assert two.digest() != every.digest()
    assert two.name != every.name
    with pytest.raises(ModelError, match="has 4 codebooks, 9 are asked for"):
        HubCodec(f"{models['mimi']}@9").encode(pcm, RATE)


def test_long_chunks_are_heard_in_windows(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = HubCodec(str(models["mimi"]))
    pcm = sound(3 * 24_000, rate=24_000)
    monkeypatch.setattr(local_model, "WINDOW_SECONDS", 1)  # 12 whole hops of 80 ms
    size = 12 * 1920
    alone = [codec.encode(pcm[start : start + size], 24_000) for start in range(0, len(pcm), size)]
    assert np.array_equal(codec.encode(pcm, 24_000), np.concatenate(alone))


def test_what_is_no_codec_is_told(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is it a codec"):
        HubCodec(str(models["hubert"]))
    with pytest.raises(ModelError, match=r"holds no config\.json.*hf download"):
        HubCodec(str(tmp_path))
    with pytest.raises(ValueError, match="codec/FOLDER"):
        HubCodec("")


def test_pickled_weights_are_not_read(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["dac"], tmp_path / "dac")
    (tmp_path / "dac" / "model.safetensors").rename(tmp_path / "dac" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="another format"):
        HubCodec(str(tmp_path / "dac"))


def test_code_of_the_folder_is_not_run(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["dac"], tmp_path / "dac")
    config = json.loads((tmp_path / "dac" / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "dac" / "config.json").write_text(json.dumps(config))
    (tmp_path / "dac" / "evil.py").write_text("raise SystemExit('ran')\nclass Config: pass\n")
    with pytest.raises(ModelError, match="cannot be loaded"):
        HubCodec(str(tmp_path / "dac"))


def test_a_codec_out_of_step_with_its_configuration_is_refused(
    models: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(models["dac"], tmp_path / "dac")
    config = json.loads((tmp_path / "dac" / "config.json").read_text())
    (tmp_path / "dac" / "config.json").write_text(json.dumps(config | {"hop_length": 320}))
    codec = HubCodec(str(tmp_path / "dac"))
    with pytest.raises(ModelError, match="cannot be placed in time"):
        codec.encode(sound(9000), RATE)
