"""Tiny models of transformers, made on the spot: no weights are downloaded."""

from pathlib import Path
from typing import Any

import torch

COMMON: dict[str, Any] = {
    "vocab_size": 330,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}


def save(folder: Path, kind: str = "llama", shards: bool = False, **values: Any) -> Any:
    """A model of random weights in a folder; the model itself."""
    import transformers

    config, model_of = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    }[kind]
    torch.manual_seed(0)
    model = model_of(config(**{**COMMON, **values}))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("norm.weight", "bias")):  # all alike, they would hide a mistake
                weight.copy_(1 + 0.3 * torch.randn_like(weight))
    model.save_pretrained(folder, max_shard_size="40KB" if shards else "5GB")
    return model.eval()


def logits_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(ids).logits
    return found
