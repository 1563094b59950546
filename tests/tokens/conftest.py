"""Speech-like noise and tiny random models for the tests of tokenizers."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Pcm16 = npt.NDArray[np.int16]


def sound(length: int, seed: int = 0, rate: int = 16_000) -> Pcm16:
    """Tones that come and go over noise, some of it silent: levels from lowest to high."""
    rng = np.random.default_rng(seed)
    times = np.arange(length) / rate
    tones = sum(
        np.sin(2 * np.pi * (110 * k * times + rng.random())) / k for k in range(1, 1 + rate // 300)
    )
    envelope = np.maximum(0.0, np.sin(2 * np.pi * 1.7 * times + seed)) ** 2
    made = 6000 * envelope * tones + np.geomspace(0.1, 30, length) * rng.standard_normal(length)
    made[length // 2 : length // 2 + rate // 10] = 0.0
    return np.clip(made, -32768, 32767).astype(np.int16)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A HuBERT, a Mimi, an EnCodec and a DAC of a few thousand random weights each."""
    pytest.importorskip("transformers", reason="local models are read by transformers")
    import torch
    import transformers as hub

    hub.utils.logging.disable_progress_bar()
    made: dict[str, Any] = {}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made["hubert"] = hub.HubertModel(
            hub.HubertConfig(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                conv_dim=(16,) * 7,
                num_conv_pos_embeddings=16,
                num_conv_pos_embedding_groups=2,
            )
        )
        made["mimi"] = hub.MimiModel(
            hub.MimiConfig(
                hidden_size=32,
                num_filters=4,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                head_dim=16,
                intermediate_size=32,
                codebook_size=512,
                codebook_dim=16,
                vector_quantization_hidden_dimension=16,
                num_quantizers=4,
                num_semantic_quantizers=1,
                upsample_groups=32,
            )
        )
        made["encodec"] = hub.EncodecModel(
            hub.EncodecConfig(
                num_filters=4,
                hidden_size=16,
                codebook_dim=16,
                codebook_size=64,
                num_lstm_layers=1,
                target_bandwidths=[1.5, 3.0],
            )
        )
        made["dac"] = hub.DacModel(
            hub.DacConfig(
                encoder_hidden_size=8,
                decoder_hidden_size=32,
                downsampling_ratios=[2, 4, 8, 8],
                n_codebooks=3,
                codebook_size=32,
                codebook_dim=4,
            )
        )
        for name in ("mimi", "encodec"):  # their codebooks begin as zeros: every code would be 0
            for place, buffer in made[name].named_buffers():
                if place.endswith(("embed", "embed_sum")):
                    buffer.normal_(0, 0.01)
    folder = tmp_path_factory.mktemp("models")
    for name, model in made.items():
        model.eval().save_pretrained(folder / name)
    return {name: folder / name for name in made}
