"""AdamW over a model's named weights: which of them decay, and its state by name.

State is kept by the names of weights rather than by their number, so that a checkpoint can be read
by any number of ranks and looked into by people.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from trainer.config import OptimizerSettings

MOMENTS = ("exp_avg", "exp_avg_sq")


def decays(name: str, weight: torch.Tensor, settings: OptimizerSettings) -> bool:
    """Whether weight decay applies to a weight."""
    if weight.ndim < 2:
        return settings.decay_norms
    return settings.decay_embeddings or name not in ("embedding.weight", "code_tables.weight")


def trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The weights that are not frozen, by name."""
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad)


def build(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW over all of the model's weights, in two groups."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, weight in trained(model):
        groups[decays(name, weight, settings)].append(weight)
    fused = settings.fused
    if fused is None:
        every = groups[True] + groups[False]
        fused = not any(isinstance(one, DTensor) and not one.is_cuda for one in every)
    return torch.optim.AdamW(
        [
            {"params": own, "weight_decay": settings.weight_decay if decay else 0.0}
            for decay, own in groups.items()
            if own
        ],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        fused=fused,
    )


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """`NAME.exp_avg` and `NAME.exp_avg_sq` of every weight, made of zeros before the first step.

    The tensors are the optimizer's own: what is loaded into them is what it goes on with.
    """
    found: dict[str, torch.Tensor] = {}
    for name, weight in trained(model):
        state = optimizer.state[weight]
        if not state:
            on = weight.device if optimizer.defaults.get("fused") else "cpu"
            state["step"] = torch.zeros((), dtype=torch.float32, device=on)
            for moment in MOMENTS:
                state[moment] = torch.zeros_like(weight)
        found |= {f"{name}.{moment}": state[moment] for moment in MOMENTS}
    return found


def updates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """How many updates each weight has had, by name."""
    return {
        name: int(optimizer.state[weight]["step"].item())
        for name, weight in trained(model)
        if optimizer.state[weight]
    }


def set_updates(
    model: nn.Module, optimizer: torch.optim.Optimizer, counts: Mapping[str, int]
) -> None:
    """What `updates` gave, put back. Raises `KeyError` for a weight without a count."""
    for name, weight in trained(model):
        optimizer.state[weight]["step"].fill_(float(counts[name]))


@torch.no_grad()
def scale(weights: list[nn.Parameter], number: float, clip: float | None) -> float:
    """Divide gradients of sums by `number`, clip them to a norm, and give the norm before that.

    One pass for both: the norm is that of the divided gradients.
    """
    grads: list[Any] = [weight.grad for weight in weights if weight.grad is not None]
    norm: Any = nn.utils.get_total_norm(grads)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    mean = float(norm) / number
    factor = 1.0 if clip is None or not mean > clip else clip / mean
    torch._foreach_mul_(grads, factor / number)
    return mean
