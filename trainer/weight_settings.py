"""Settings of a decoder from the `config.json` of a Hugging Face folder.

A configuration that asks for something the decoder does not do is refused, never ignored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from trainer.model_settings import ModelSettings, RopeScaling
from trainer.weight_files import InitializationError, read_json

KINDS = ("llama", "mistral", "qwen2")  # model types whose mathematics is the decoder's


def settings_from(folder: Path | str, attention: Literal["sdpa", "flex"] = "sdpa") -> ModelSettings:
    """The settings that a folder's `config.json` asks for. Raises `InitializationError`."""
    path = Path(folder) / "config.json"
    config = read_json(path)
    kind = config.get("model_type")
    if kind not in KINDS:
        raise InitializationError(
            f"{path}: model type {kind!r}; weights of {', '.join(KINDS)} can be taken over"
        )
    _refused(path, config, kind)
    try:
        theta, scaling = _rope(path, config)
        width, heads = config["hidden_size"], config["num_attention_heads"]
        return ModelSettings(
            depth=config["num_hidden_layers"],
            width=width,
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_width=config.get("head_dim") or width // heads,
            hidden=config["intermediate_size"],
            rope_theta=theta,
            rope_scaling=scaling,
            norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            tie_embeddings=bool(config.get("tie_word_embeddings", False)),
            qkv_bias=kind == "qwen2",
            attention=attention,
        )
    except KeyError as error:
        raise InitializationError(f"{path}: {error} is missing") from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InitializationError(f"{path}: sizes that cannot be: {error}") from error


def _refused(path: Path, config: Mapping[str, Any], kind: str) -> None:
    plain = {
        "hidden_act": ("silu", "silu"),
        "mlp_bias": (False, False),
        "pretraining_tp": (1, 1),
        "partial_rotary_factor": (1.0, 1.0),
    }
    if kind != "qwen2":
        plain["attention_bias"] = (False, False)
    for key, (wanted, otherwise) in plain.items():
        if config.get(key, otherwise) not in (wanted, None):
            raise InitializationError(
                f"{path}: {key} is {config[key]!r}; the decoder does {wanted!r} only"
            )
    windowed = config.get("sliding_window") is not None and config.get(
        "use_sliding_window", kind == "mistral"
    )
    if windowed:
        raise InitializationError(
            f"{path}: a sliding window of {config['sliding_window']} positions; the decoder sees "
            "whole pieces. Set sliding_window to null if packs are no longer than it"
        )


def _rope(path: Path, config: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """Base and scaling of the rotary angles, from either of the two ways they are written."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(given.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    kind = given.get("rope_type", given.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise InitializationError(
            f"{path}: rotary scaling {kind!r}; the decoder does default and llama3"
        )
    return theta, RopeScaling(
        factor=float(given["factor"]),
        low_freq_factor=float(given["low_freq_factor"]),
        high_freq_factor=float(given["high_freq_factor"]),
        original_length=int(given["original_max_position_embeddings"]),
    )
