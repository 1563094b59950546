"""One update of the weights: forward and backward over a batch's parts, checks, AdamW.

The gradient is the sum over the counted targets of the global batch divided by their number,
whatever the number of ranks and parts: losses are summed, gradients are summed, and one division
stands at the end, where clipping needs a pass over them anyway. Nothing that is not finite reaches
a weight.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from trainer import distributed, meter, optimizer
from trainer.config import Config
from trainer.contrastive.objective import ContrastiveObjective
from trainer.distributed import Ranks
from trainer.latent.model import decoder_of
from trainer.latent.patching import cut_batch
from trainer.model import Decoder
from trainer.objectives import LossWeights, Sums, losses
from trainer.pack import Batch
from trainer.schedule import factor
from trainer.tensors import Inputs, inputs, set_indices


class WrongNumbers(Exception):
    """A step gave numbers that no weight may see."""

    def __init__(self, why: str, packs: Sequence[int], documents: Sequence[str]) -> None:
        super().__init__(why)
        self.why, self.packs, self.documents = why, tuple(packs), tuple(documents)


class Objective(nn.Module):
    """Decoder and losses as one module, for what wraps modules sees only their `forward`.

    With pairs: `trainer.contrastive.objective.ContrastiveObjective`.
    """

    def __init__(self, decoder: Decoder, weights: LossWeights, sets: int) -> None:
        super().__init__()
        self.decoder, self._weights, self._sets = decoder, weights, sets

    def forward(self, given: Inputs, sets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The fields of `Sums`, for packs of the sets [packs]."""
        hidden = self.decoder(given)
        found = losses(self.decoder, hidden, given, sets, self._weights, self._sets)
        return found.total, found.number, found.sums, found.numbers


def objective(config: Config, decoder: Decoder, group: Ranks) -> nn.Module:
    """What a config trains a decoder on."""
    if config.contrastive is not None:
        return ContrastiveObjective(decoder, config.loss, config.contrastive, config.data, group)
    return Objective(decoder, config.loss, len(config.data.sets))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What a step did, over all ranks."""

    done: meter.Step
    norm: float  # of the gradient, before clipping
    lr: float
    extra: list[float]  # sums over ranks of what was handed in
    again: float = 0.0  # positions that went through the model twice


class Stepper:
    """A model with its optimizer, as one rank of several trains it."""

    def __init__(self, config: Config, decoder: Decoder, group: Ranks) -> None:
        self.config, self.decoder, self.group = config, decoder, group
        self.names = tuple(sorted(config.data.sets))
        compute = config.compute
        decoder.to(group.device)
        if compute.compile:
            for block in decoder.blocks:
                block.compile()
        self._bf16 = compute.precision == "bf16"
        self.sharded = group.count > 1 and compute.parallel == "fsdp"
        self._objective: Any = objective(config, decoder, group)
        blocks = decoder.blocks
        self.model = distributed.wrapped(
            self._objective, blocks, compute.parallel, self._bf16, group
        )
        self.optimizer = optimizer.build(decoder, config.optimizer)
        self.weights = [weight for weight in decoder.parameters() if weight.requires_grad]
        each = config.data.packs // group.count
        self._part = min(compute.micro_packs or each, each)

    def __call__(self, batch: Batch, step: int, steps: int, extra: Sequence[float]) -> Taken:
        """Update `step` of `steps`, from 0, on this rank's packs. Raises `WrongNumbers`."""
        torch.manual_seed(_seed(self.config.seed, step, self.group.rank))
        data = self.config.data
        if data.patches is not None:
            batch = cut_batch(batch, data.patches, data.seed, step, steps)
        twice = isinstance(self._objective, ContrastiveObjective)
        if twice:
            self._objective.begin(batch)
        again = self._objective.again(batch) if twice else 0.0
        parts = [self._backward(part, last) for part, last in self._parts(batch)]
        vector = meter.as_vector(parts, batch, [*extra, again])
        done, sums = meter.of_vector(self.group.sum(vector), len(self.names))
        again = sums.pop()
        self._refuse(self._wrong_loss(done), parts, batch)
        settings = self.config.optimizer
        norm = optimizer.scale(self.weights, max(done.number, 1.0), settings.clip)
        self._refuse(self._wrong_norm(norm), parts, batch)
        lr = settings.lr * factor(self.config.schedule, step, steps)
        for each in self.optimizer.param_groups:
            each["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Taken(done=done, norm=norm, lr=lr, extra=sums, again=again)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights and the optimizer's moments, by name; the very tensors that are trained."""
        own = {
            f"model.{name}": weight.detach()
            for name, weight in self.decoder.named_parameters()
            if weight.requires_grad  # what is frozen lies in its own folder
        }
        held = optimizer.moments(self.decoder, self.optimizer)
        return own | {f"optimizer.{name}": moment for name, moment in held.items()}

    def whole(self) -> Decoder:
        """A decoder that can be asked by itself; a copy where the weights lie in shards."""
        if not self.sharded:
            return self.decoder
        found = decoder_of(self.decoder.settings, self.decoder.vocabulary).to(self.group.device)
        own: dict[str, Any] = dict(self.decoder.named_parameters())
        with torch.no_grad():
            for name, weight in found.named_parameters():
                weight.copy_(own[name].full_tensor())
        return found

    def _parts(self, batch: Batch) -> Iterator[tuple[Batch, bool]]:
        """The packs of a batch, some at a time, and whether it is the last part."""
        for first in range(0, len(batch.packs), self._part):
            part = dataclasses.replace(batch, packs=batch.packs[first : first + self._part])
            yield part, first + self._part >= len(batch.packs)

    def _backward(self, part: Batch, last: bool) -> Sums:
        device = self.group.device
        given = inputs(part, device)
        sets = set_indices(part, self.names, device)
        # sharded weights are cast by what shards them
        cast = torch.autocast(device.type, torch.bfloat16, enabled=self._bf16 and not self.sharded)
        with distributed.gathering(self.model, last):
            with cast:
                found = Sums(*self.model(given, sets))
            # ranks are averaged by what wraps the model: times their number it is their sum
            summed: Any = found.total * self.group.count
            summed.backward()
        return found

    def _wrong_loss(self, done: meter.Step) -> str | None:
        if done.number and not math.isfinite(done.loss):
            return f"the loss is {done.loss}"
        bound = self.config.diverged.loss
        if bound is None:
            return None
        for name, value, guess in meter.against_guessing(done, self.decoder.vocabulary):
            if not value <= bound * guess:
                return (
                    f"the loss of {name} is {value:.4g}, not within {bound:g} times the "
                    f"{guess:.4g} of guessing (diverged.loss)"
                )
        return None

    def _wrong_norm(self, norm: float) -> str | None:
        if not math.isfinite(norm):
            return f"the norm of the gradient is {norm}"
        bound = self.config.diverged.gradient
        if bound is not None and norm > bound:
            return f"the norm of the gradient is {norm:.4g}, above {bound:g} (diverged.gradient)"
        return None

    def _refuse(self, why: str | None, parts: Sequence[Sums], batch: Batch) -> None:
        """Raise with the documents of the parts that are not finite, else of the whole batch."""
        if why is None:
            return
        held = [part for part, _ in self._parts(batch)]
        bad = [
            part
            for part, found in zip(held, parts, strict=True)
            if not bool(torch.isfinite(found.total))
        ]
        every = self.group.gather(([_named(one) for one in bad], [_named(one) for one in held]))
        named = [row for found, _ in every for row in found]
        named = named or [row for _, found in every for row in found]
        raise WrongNumbers(
            why,
            sorted(number for numbers, _ in named for number in numbers),
            sorted({document for _, documents in named for document in documents}),
        )


def _named(part: Batch) -> tuple[list[int], list[str]]:
    return [p.number for p in part.packs], [one for p in part.packs for one in p.documents]


def _seed(seed: int, step: int, rank: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
