"""Several processes as one run: ranks by torchrun, or one process without any of it.

`with ranks(device) as group:` joins the processes that torchrun started. Sums over ranks are exact
sums: the wrapped model averages gradients, so the loss is multiplied by the number of ranks first.
"""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist

from trainer.failures import SetupError

PATIENCE = datetime.timedelta(minutes=30)  # the first batch of a large set may take long


@dataclasses.dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, on every rank; in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def any(self, value: bool) -> bool:
        """Whether it is true on some rank."""
        if self.count == 1:
            return value
        return bool(self.sum(torch.tensor(float(value), device=self.device)).item())

    def gather(self, value: Any) -> list[Any]:
        """Plain values of all ranks, in their order, on every rank."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


@contextlib.contextmanager
def ranks(device: str = "auto") -> Iterator[Ranks]:
    """The ranks of this run: those of torchrun's environment, else one. Leaves the group at the
    end where it was joined here.

    Raises `SetupError` for `cuda` where there is none.
    """
    chosen = _device(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 and not dist.is_initialized():
        yield Ranks(device=chosen)
        return
    joined = not dist.is_initialized()
    if joined:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Ranks(rank=dist.get_rank(), count=dist.get_world_size(), device=chosen)
    finally:
        if joined:
            dist.destroy_process_group()


def _device(name: str) -> torch.device:
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise SetupError("compute.device is cuda, and torch finds none here; use cpu or auto")
    if name == "cpu" or not there:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def wrapped(model: torch.nn.Module, blocks: Any, how: str, bf16: bool, group: Ranks) -> Any:
    """The model as several ranks train it: DDP, or FSDP2 with a shard per block; alone, itself."""
    if group.count == 1:
        return model
    if how == "ddp":
        on = [group.device.index] if group.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(model, device_ids=on)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(group.device.type, (group.count,))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32
    )
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    return model


@contextlib.contextmanager
def gathering(model: Any, last: bool) -> Iterator[None]:
    """Gradients of this backward pass stay here, except in the last one of a step."""
    if hasattr(model, "set_requires_gradient_sync"):
        model.set_requires_gradient_sync(last)
        yield
    elif hasattr(model, "no_sync") and not last:
        with model.no_sync():
            yield
    else:
        yield
