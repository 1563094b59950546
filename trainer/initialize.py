"""A decoder that begins as a text model: the weights of a local Hugging Face folder, extended.

Rows of text are taken over; rows of markers and speech are new. They are Xavier-normal, as one
matrix of new rows (SpeLangy), or the mean of the text rows. Only safetensors are read: a pickle can
run code. A configuration that asks for something the decoder does not do is refused, never ignored.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from trainer.model import Decoder, drawn, drawn_rows
from trainer.model_settings import ModelSettings, RopeScaling
from trainer.pack import Vocabulary
from trainer.text import FILES, FileTokenizer, load_text_tokenizer
from trainer.weight_names import hugging_face_name

NewEmbeddings = Literal["xavier", "mean"]

KINDS = ("llama", "mistral", "qwen2")  # model types whose mathematics is the decoder's


class InitializationError(ValueError):
    """A folder that cannot be the beginning of this model; the message says why."""


def settings_from(folder: Path | str, attention: Literal["sdpa", "flex"] = "sdpa") -> ModelSettings:
    """The settings that a folder's `config.json` asks for. Raises `InitializationError`."""
    path = Path(folder) / "config.json"
    config = _json(path)
    kind = config.get("model_type")
    if kind not in KINDS:
        raise InitializationError(
            f"{path}: model type {kind!r}; weights of {', '.join(KINDS)} can be taken over"
        )
    _refused(path, config, kind)
    width, heads = (
        _number(path, config, "hidden_size"),
        _number(path, config, "num_attention_heads"),
    )
    theta, scaling = _rope(path, config)
    return ModelSettings(
        depth=_number(path, config, "num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=config.get("head_dim") or width // heads,
        hidden=_number(path, config, "intermediate_size"),
        rope_theta=theta,
        rope_scaling=scaling,
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        tie_embeddings=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=kind == "qwen2",
        attention=attention,
    )


def initialized(
    folder: Path | str,
    vocabulary: Vocabulary,
    seed: int,
    *,
    new_embeddings: NewEmbeddings = "xavier",
    text: FileTokenizer | None = None,
    attention: Literal["sdpa", "flex"] = "sdpa",
) -> Decoder:
    """The decoder of a folder's weights, for a vocabulary whose text ids are the folder's.

    Rows of the folder beyond `vocabulary.text` (many models round their number up) are left out.
    `text`: the run's tokenizer, to be compared with the folder's own, where it has one. Weights are
    float32. Raises `InitializationError`.
    """
    folder = Path(folder)
    if text is not None:
        _same_tokenizer(folder, text)
    model = Decoder(settings_from(folder, attention), vocabulary, seed)
    read, names = _weights(folder)
    wanted = {hugging_face_name(name): name for name, _ in model.named_parameters()}
    expected = {theirs for theirs in wanted if theirs is not None}
    missing = sorted(expected - set(names))
    others = [name for name in sorted(set(names) - expected) if not _needless(name, model)]
    if missing or others:
        raise InitializationError(
            f"{folder}: its weights are not those its config.json describes: missing "
            f"{missing[:4] or 'none'}, unknown {others[:4] or 'none'}"
        )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            theirs = hugging_face_name(name)
            if theirs is None:
                _new_codes(name, weight, vocabulary, seed)
                continue
            given = read(theirs).to(torch.float32)
            if name in ("embedding.weight", "text_head.weight"):
                _taken_rows(f"{folder}: {theirs}", weight, given, vocabulary)
                weight[vocabulary.text :] = _new_rows(
                    name, weight, vocabulary, seed, new_embeddings
                )
            elif given.shape != weight.shape:
                raise InitializationError(
                    f"{folder}: {theirs} is {tuple(given.shape)}, config.json makes it "
                    f"{tuple(weight.shape)}"
                )
            else:
                weight.copy_(given)
    return model


def _taken_rows(
    where: str, weight: torch.Tensor, given: torch.Tensor, vocabulary: Vocabulary
) -> None:
    if given.ndim != 2 or given.shape[1] != weight.shape[1] or len(given) < vocabulary.text:
        raise InitializationError(
            f"{where} is {tuple(given.shape)}; the text tokenizer has {vocabulary.text} ids, so at "
            f"least ({vocabulary.text}, {weight.shape[1]}) is needed. Is it this model's tokenizer?"
        )
    weight[: vocabulary.text] = given[: vocabulary.text]


def _new_rows(
    name: str, weight: torch.Tensor, vocabulary: Vocabulary, seed: int, kind: NewEmbeddings
) -> torch.Tensor:
    """Rows of markers and speech, [new, width]."""
    rows, width = weight.shape
    new = rows - vocabulary.text
    if kind == "mean":
        return weight[: vocabulary.text].mean(dim=0).expand(new, width)
    only_new = drawn_rows(seed, name, vocabulary, width)[vocabulary.text :]
    return only_new * math.sqrt(2 / (new + width))


def _new_codes(name: str, weight: torch.Tensor, vocabulary: Vocabulary, seed: int) -> None:
    """Tables and heads of codes: each channel Xavier-normal by itself; tables are narrower by
    sqrt(codebooks), because a frame is the sum of all of them."""
    std = math.sqrt(2 / (vocabulary.levels + weight.shape[1]))
    if name == "code_tables.weight":
        std /= math.sqrt(vocabulary.codebooks)
    weight.copy_(drawn(seed, name, tuple(weight.shape)) * std)


def _weights(folder: Path) -> tuple[Callable[[str], torch.Tensor], list[str]]:
    """A reader of the folder's weights by name, and their names."""
    from safetensors import SafetensorError, safe_open

    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    try:
        if index.is_file():
            where: Mapping[str, str] = _json(index)["weight_map"]
            outside = {name for name in where.values() if Path(name).name != name}
            if outside:
                raise InitializationError(f"{index}: names files outside it: {sorted(outside)[:2]}")
        elif single.is_file():
            with safe_open(single, framework="pt") as file:
                where = dict.fromkeys(file.keys(), single.name)
        else:
            raise InitializationError(
                f"{folder} holds no model.safetensors. Pickled weights (.bin, .pt) are not read: "
                "save the model with safe_serialization"
            )

        def read(name: str) -> torch.Tensor:
            try:
                with safe_open(folder / where[name], framework="pt") as file:
                    found: torch.Tensor = file.get_tensor(name)
                    return found
            except (SafetensorError, OSError) as error:
                raise InitializationError(f"{folder / where[name]}: {error}") from error

        return read, list(where)
    except SafetensorError as error:
        raise InitializationError(f"{single}: {error}") from error


def _needless(name: str, model: Decoder) -> bool:
    """Weights that a folder may hold and nobody needs."""
    return name.endswith("rotary_emb.inv_freq") or (
        name == "lm_head.weight" and model.text_head is None
    )


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
    try:
        return theta, RopeScaling(
            factor=float(given["factor"]),
            low_freq_factor=float(given["low_freq_factor"]),
            high_freq_factor=float(given["high_freq_factor"]),
            original_length=int(given["original_max_position_embeddings"]),
        )
    except KeyError as error:
        raise InitializationError(f"{path}: rotary scaling llama3 without {error}") from error


def _same_tokenizer(folder: Path, text: FileTokenizer) -> None:
    if not any((folder / name).is_file() for name in FILES):
        return
    own = load_text_tokenizer(folder)
    if own.sentencepiece == text.sentencepiece and own.digest != text.digest:
        raise InitializationError(
            f"{folder} was trained with {own.path.name} ({own.digest[:12]}); the run's text "
            f"tokenizer is {text.path} ({text.digest[:12]}). Its ids would mean other words"
        )


def _number(path: Path, config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or value < 1:
        raise InitializationError(f"{path}: {name} is {value!r}, not a whole number above 0")
    return value


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InitializationError(f"{path} does not exist: is this a model's folder?") from error
    except ValueError as error:
        raise InitializationError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InitializationError(f"{path} is no JSON object")
    return found
