"""The loss of a model on documents that training does not read: of each set, by kind of target.

The same packs for every arm, seed and step: they depend on the shards, the tokenizers and the
length of packs alone. Losses of arms with other tokenizers, other views or other policies are of
other targets and are not to be compared; give such arms sets of their own to be asked on.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pydantic
import torch
from pydantic import Field

from trainer.config import Config
from trainer.data import Data, open_data
from trainer.data_settings import DataSettings, SetSettings
from trainer.encoding import SpeechTokenizer, TextTokenizer
from trainer.latent.patching import cut_batch
from trainer.model import Decoder
from trainer.objectives import KINDS, LossWeights, losses
from trainer.tensors import inputs

SHOWN = {
    "text": ("text", "switch_text"),
    "speech": ("speech", "switch_speech"),
    "marker": ("marker",),
    "all": ("text", "speech", "marker", "switch_text", "switch_speech"),
}


class HeldOut(pydantic.BaseModel):
    """What losses are taken of."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    sets: dict[str, SetSettings] | None = Field(
        None, description="As data.sets of a config; null: those of each arm, from `split`."
    )
    split: str = Field("valid", description="Of an arm's own sets; train is refused.")
    packs: int = Field(32, ge=1, description="Of each set, at most.")

    @pydantic.field_validator("split")
    @classmethod
    def _not_train(cls, value: str) -> str:
        if value == "train":
            raise ValueError("train is what the model learns from: name a split that is held out")
        return value


class HeldOutData:
    """The packs of a run's held-out losses, opened once."""

    def __init__(
        self, asked: HeldOut, config: Config, text: TextTokenizer, speech: SpeechTokenizer | None
    ) -> None:
        self._asked, self._config = asked, config
        self._data = {
            name: open_data(one, text, speech) for name, one in settings_of(asked, config).items()
        }

    def losses(self, model: Decoder) -> dict[str, Any]:
        """Nats per target: `all`, `text`, `speech` and `marker` over every set, and of each set."""
        device = next(model.parameters()).device
        whole = torch.zeros(2, len(KINDS), dtype=torch.float64)
        found: dict[str, Any] = {}
        for name, data in sorted(self._data.items()):
            own = self._of(model, data, device)
            found[name] = means(own)
            whole += own
        return {**means(whole), "sets": found}

    @torch.no_grad()
    def _of(self, model: Decoder, data: Data, device: torch.device) -> torch.Tensor:
        """Sums and numbers of a set, [2, kinds]."""
        total = torch.zeros(2, len(KINDS), dtype=torch.float64)
        left = self._asked.packs
        patches = data.settings.patches
        for given in data.batches(steps=-(-left // data.settings.packs)):
            packs = given.batch.packs[:left]
            left -= len(packs)
            batch = dataclasses.replace(given.batch, packs=packs)
            if patches is not None:
                batch = cut_batch(batch, patches, 0, 0, 1)
            tensors = inputs(batch, device)
            sets = torch.zeros(len(packs), dtype=torch.long, device=device)
            summed = losses(model, model(tensors), tensors, sets, LossWeights(), 1)
            total[0] += summed.sums[0].cpu()[: len(KINDS)]
            total[1] += summed.numbers[0].cpu().double()[: len(KINDS)]
        return total


def settings_of(asked: HeldOut, config: Config) -> dict[str, DataSettings]:
    """The data of each set that is asked: one pass, in an order that no setting of a run moves."""
    sets = asked.sets
    if sets is None:
        sets = {
            name: one.model_copy(update={"split": asked.split})
            for name, one in config.data.sets.items()
        }
    plain: Mapping[str, Any] = {
        "share": 1.0,
        "epochs": 1,
        "subset": None,
        "max_documents": None,
        "max_seconds": None,
        "weights": None,
        "unweighted": None,
        "curriculum": None,
    }
    run = {
        "experiments": {},
        "packs": min(asked.packs, config.compute.micro_packs or config.data.packs),
        "seed": 0,
        "permute_audio": False,
        "when_done": "stop",
        "last": "keep",
    }
    if config.data.patches is not None:  # aligned borders look at words that are still to come
        run["patches"] = config.data.patches.model_copy(update={"cut": "static"})
    own = {name: one.model_copy(update=dict(plain)) for name, one in sets.items()}
    return {
        name: config.data.model_copy(update={**run, "sets": {name: one}})
        for name, one in own.items()
    }


def means(total: torch.Tensor) -> dict[str, float]:
    """Losses by the names of `SHOWN`, of [2, kinds]; kinds without a target are left out."""
    found = {}
    for name, kinds in SHOWN.items():
        places = [KINDS.index(kind) for kind in kinds]
        number = math.fsum(float(total[1][place]) for place in places)
        if number:
            found[name] = math.fsum(float(total[0][place]) for place in places) / number
    return found
