"""The held-out loss of an encoder: its own objective, on the same masked clips for every model.

Clips are the first of a split in the order of seed 0; masks and draws come from a generator that
does not know the run. Losses of different objectives, or of other units, are on no common scale.
"""

import math
from pathlib import Path

import torch

from trainer import checkpoint
from trainer.distributed import Ranks
from trainer.encoders import flops
from trainer.encoders.clips import Clips, ClipState, batches
from trainer.encoders.features import Features
from trainer.encoders.model import SpeechEncoder
from trainer.encoders.objectives import objective_of
from trainer.encoders.settings import config_of_json
from trainer.failures import CheckpointError
from trainer.shard_sets import open_sets
from trainer.trained import CHECKPOINTS

COLD = 1 << 20  # a step at which every temperature has come to its end


def held_out_loss(path: Path, split: str = "valid", steps: int = 8) -> float:
    """Mean loss of masked positions over so many batches of a split. Raises `ShardError` where
    there is no such split."""
    found = checkpoint.newest(path / CHECKPOINTS)
    if found is None:
        raise CheckpointError(f"{path}: no checkpoint of an encoder")
    state = checkpoint.read_state(found.path)
    config = config_of_json(state["config"], str(found.path))
    data = config.data.model_copy(
        update={"split": split, "max_seconds": None, "max_documents": None}
    )
    config = config.model_copy(update={"data": data, "data_seed": 0})
    [shards] = open_sets(config.reading())
    clips = Clips(shards, config.reading(), config.seconds, config.least_seconds)
    features = Features(config, flops.positions_per_clip(config))
    model = objective_of(SpeechEncoder(config.encoder), config.objective, int(state["units"]))
    weights = {f"model.{name}": weight.detach() for name, weight in model.named_parameters()}
    checkpoint.load(found.path, weights, Ranks())
    model.eval()
    losses = []
    source = batches(clips, ClipState(), config.clips)
    with torch.no_grad():
        for number in range(steps):
            held, _ = next(source)
            generator = torch.Generator().manual_seed(number)
            losses.append(model(features.batch(held), generator, COLD).figures["masked"])
    return math.fsum(losses) / len(losses)
