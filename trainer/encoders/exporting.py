"""A pretrained encoder as a folder that the k-means tokenizer takes as its local encoder.

`config.json`, `model.safetensors` and `README.md`: the encoder's weights without the objective's
heads and without the vector of masks. The folder appears whole or not at all; the same checkpoint
gives the same bytes.
"""

import json
from pathlib import Path

import torch

from trainer import checkpoint
from trainer.distributed import Ranks
from trainer.encoders.model import SpeechEncoder
from trainer.encoders.objectives import objective_of
from trainer.encoders.settings import EncoderConfig, config_of_json
from trainer.failures import CheckpointError, SetupError
from trainer.trained import CHECKPOINTS
from transforms.engines.mel_encoder import FILES, FORMAT, KIND

README = """A speech encoder pretrained by speechloom ({objective}; {name}, step {step}).

It reads log-mel, {rate:g} positions a second, and has {depth} layers of width {width}. To make
units of one of its layers:

    python -m trainer.units --shards SHARDS --units 100 --encoder FOLDER --layer N --out FILE
"""


def open_encoder(path: Path | str) -> tuple[SpeechEncoder, EncoderConfig, int]:
    """The encoder of a run's OUT, its config, and at which step. Raises `CheckpointError`."""
    found = checkpoint.newest(Path(path) / CHECKPOINTS)
    if found is None:
        raise CheckpointError(f"{path}: no OUT of `speechloom-train encoders` with a checkpoint")
    state = checkpoint.read_state(found.path)
    try:
        config = config_of_json(state["config"], str(found.path))
        units = int(state["units"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{found.path}: its state is not ours: {error}") from error
    encoder = SpeechEncoder(config.encoder)
    model = objective_of(encoder, config.objective, units)
    weights = {f"model.{name}": weight.detach() for name, weight in model.named_parameters()}
    checkpoint.load(found.path, weights, Ranks())
    return encoder.eval(), config, found.step


def export(path: Path | str, out: Path) -> Path:
    """Write the folder. Raises `SetupError` where it is there already, `CheckpointError`."""
    from safetensors.torch import save_file

    if out.exists():
        raise SetupError(f"{out} exists; a model is never written over, choose another folder")
    encoder, config, step = open_encoder(path)
    own = config.encoder
    heads, hidden = own.sizes
    about = {
        "model_type": KIND, "format": FORMAT, "depth": own.depth, "width": own.width,
        "heads": heads, "hidden": hidden, "stride_ms": own.stride_ms, "stack": own.stack,
        "norm_eps": own.norm_eps, "rope_theta": own.rope_theta,
        "objective": config.objective.kind, "name": config.name, "step": step,
    }  # fmt: skip
    partial = out.with_name(out.name + ".partial")
    partial.mkdir(parents=True)
    weights: dict[str, torch.Tensor] = {
        name: weight.detach().contiguous()
        for name, weight in encoder.named_parameters()
        if name != "mask"
    }
    save_file(weights, partial / FILES[1])
    (partial / FILES[0]).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    rate = 1000 / own.stride_ms / own.stack
    readme = README.format(
        objective=config.objective.kind,
        name=config.name,
        step=step,
        rate=rate,
        depth=own.depth,
        width=own.width,
    )
    (partial / "README.md").write_text(readme, encoding="utf-8")
    partial.rename(out)
    return out
