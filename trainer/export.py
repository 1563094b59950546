"""A trained decoder as a folder that `transformers.AutoModelForCausalLM` loads.

Text, markers and units of one codebook are a plain Llama (or Qwen2, with biases): the same logits.
Several codebooks have no place in those classes: their tables and heads go into a file of their
own, the rest is loaded for text, and the folder's README says so. Only safetensors are written; the
folder appears whole or not at all.
"""

import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch

from trainer.export_text import TokenizerFiles, tokenizer_files
from trainer.model import Decoder
from trainer.pack import MARKERS, Vocabulary
from trainer.text import FileTokenizer
from trainer.weight_names import CODES, LAYOUT, hugging_face_name

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class ExportError(ValueError):
    """A model that cannot be written so; the message says why."""


def export(
    model: Decoder,
    text: FileTokenizer,
    out: Path | str,
    *,
    length: int,
    dtype: Literal["float32", "bfloat16"] = "float32",
    about: dict[str, Any] | None = None,
) -> None:
    """Write `out`, which must not exist or be empty.

    `length`: positions of a pack, the context it was trained at. `about`: what to record beside the
    vocabulary (run, order; `speech_tokenizer_digest` lets a later run go on with its speech).
    Raises `ExportError`.
    """
    out = Path(out)
    if model.settings.latent is not None:
        raise ExportError(
            "a latent model cannot be exported: transformers has no class with a patch encoder and "
            "decoder. Evaluate its checkpoint (speechloom-train evaluate), or train without "
            "model.latent and data.patches"
        )
    if model.code_heads is None and model.vocabulary.codebooks > 1:
        raise ExportError(
            "a model with an adapter is not exported: its language model and its encoder are "
            "folders of their own. Go on from it with adapter.begin, or evaluate its checkpoint"
        )
    if text.size != model.vocabulary.text:
        raise ExportError(
            f"{text.path} has {text.size} ids, the model's vocabulary {model.vocabulary.text}: "
            "give the tokenizer it was trained with"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} exists and is not empty; models are never written over")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write(model, text, folder, length, dtype, about or {})
        folder.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(
    model: Decoder,
    text: FileTokenizer,
    folder: Path,
    length: int,
    dtype: str,
    about: dict[str, Any],
) -> None:
    from safetensors.torch import save_file

    plain, codes = {}, {}
    for name, weight in model.state_dict().items():
        theirs = hugging_face_name(name)
        kept = weight.detach().to("cpu", DTYPES[dtype]).contiguous()
        if theirs is None:
            codes[name] = kept
        else:
            plain[theirs] = kept
    save_file(plain, folder / "model.safetensors", {"format": "pt"})
    if codes:
        save_file(codes, folder / CODES, {"format": "pt"})
    files = tokenizer_files(text, model.vocabulary)
    for name, data in files.files.items():
        (folder / name).write_bytes(data)
    shutil.copyfile(text.path, folder / own_text(text))
    _json(folder / "config.json", hugging_face_config(model, length, dtype))
    _json(
        folder / "generation_config.json",
        {
            "bos_token_id": model.vocabulary.marker("document"),
            "eos_token_id": model.vocabulary.marker("end"),
        },
    )
    layout = {
        "vocabulary": dataclasses.asdict(model.vocabulary),
        "markers": {name: model.vocabulary.marker(name) for name in MARKERS},
        "speech_first": model.vocabulary.speech_first if model.vocabulary.levels else None,
        "text_tokenizer": text.digest,
        "settings": model.settings.model_dump(),
        **about,
    }
    _json(folder / LAYOUT, layout)
    (folder / "README.md").write_text(_readme(model, text, files, length), encoding="utf-8")


def hugging_face_config(model: Decoder, length: int, dtype: str) -> dict[str, Any]:
    """The `config.json` of a decoder."""
    settings, vocabulary = model.settings, model.vocabulary
    width, heads, kv_heads, head, hidden = settings.sizes
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": settings.rope_theta}
    if settings.rope_scaling is not None:
        rope |= settings.rope_scaling.model_dump(exclude={"original_length"})
        rope["rope_type"] = "llama3"
        rope["original_max_position_embeddings"] = settings.rope_scaling.original_length
    found = {
        "architectures": ["Qwen2ForCausalLM" if settings.qkv_bias else "LlamaForCausalLM"],
        "model_type": "qwen2" if settings.qkv_bias else "llama",
        "vocab_size": vocabulary.size,
        "hidden_size": width,
        "num_hidden_layers": settings.depth,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "intermediate_size": hidden,
        "hidden_act": "silu",
        "max_position_embeddings": length,
        "rms_norm_eps": settings.norm_eps,
        "initializer_range": settings.initial_std,
        # both ways to write it: readers before and after transformers 5
        "rope_parameters": rope,
        "rope_theta": settings.rope_theta,
        "rope_scaling": None if settings.rope_scaling is None else rope,
        "tie_word_embeddings": settings.tie_embeddings,
        "bos_token_id": vocabulary.marker("document"),
        "eos_token_id": vocabulary.marker("end"),
        "dtype": dtype,
        "torch_dtype": dtype,
        "use_cache": True,
    }
    if not settings.qkv_bias:
        found |= {"attention_bias": False, "mlp_bias": False}
    else:
        found |= {"use_sliding_window": False}
    return found


def own_text(text: FileTokenizer) -> str:
    """The name of the text tokenizer as the run had it."""
    return "text_tokenizer.model" if text.sentencepiece else "text_tokenizer.json"


def _readme(model: Decoder, text: FileTokenizer, files: TokenizerFiles, length: int) -> str:
    vocabulary = model.vocabulary
    kind = "Qwen2" if model.settings.qkv_bias else "Llama"
    lines = [
        f"# A speech-text decoder, written as a {kind} model",
        "",
        f"`AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` load this "
        f"folder. Trained at {length} positions.",
        "",
        "A document is `document`, then runs of text and of speech, each begun by its marker, then "
        "`end`:",
        "",
        "| id | token |",
        "|---|---|",
        f"| 0 to {vocabulary.text - 1} | text |",
        *(f"| {vocabulary.marker(name)} | `{files.markers[name]}` |" for name in MARKERS),
        *_speech_rows(vocabulary, files),
        "",
    ]
    if files.note:
        lines += [files.note, ""]
    if vocabulary.codebooks > 1:
        lines += [
            f"**Speech is not in what `AutoModelForCausalLM` loads.** A position of speech bears "
            f"{vocabulary.codebooks} codes of {vocabulary.levels} levels. `{CODES}` holds their "
            "tables (`code_tables.weight`) and heads (`code_heads.weight`), each "
            f"[{vocabulary.codebooks} x {vocabulary.levels}, width]. A frame enters as the row of "
            f"id {vocabulary.speech_first} plus the sum of its codes' rows (row "
            f"c x {vocabulary.levels} + code), and the next frame's codes follow from the last "
            "hidden states times the heads' rows. Without this file the model reads and writes "
            "text alone.",
            "",
        ]
    lines += [
        f"`{LAYOUT}` holds the same for programs. `{own_text(text)}` is the text tokenizer without "
        "markers: name it and this folder to begin another run here.",
        "",
    ]
    return "\n".join(lines)


def _speech_rows(vocabulary: Vocabulary, files: TokenizerFiles) -> list[str]:
    if not vocabulary.levels:
        return []
    first, last = vocabulary.speech_first, vocabulary.size - 1
    if vocabulary.codebooks > 1:
        return [f"| {first} | `{files.speech[0]}`: any frame of speech |"]
    return [f"| {first} to {last} | `{files.speech[0]}` to `{files.speech[-1]}`: units of speech |"]


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
