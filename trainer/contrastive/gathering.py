"""Sides of all ranks' pairs, so that every rank can tell its own among all of them.

Ranks have different numbers of pairs and different longest ones: what is gathered is filled up to
the largest. Gradients flow back to the rank that a vector is from, and are summed there, so that
the gradient of the sum of all ranks' losses is whole.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

from trainer.contrastive.similarity import Side
from trainer.distributed import Ranks


def gathered(own: Side, group: Ranks) -> tuple[Side, int]:
    """The same side of all ranks' pairs, in the order of ranks, and the number of the first own."""
    if group.count == 1:
        return own, 0
    from torch.distributed.nn.functional import all_gather

    vectors, there = own
    shape = torch.tensor(there.shape, device=vectors.device)
    shapes = [torch.zeros_like(shape) for _ in range(group.count)]
    dist.all_gather(shapes, shape)
    counts = [int(one[0]) for one in shapes]
    most, longest = max(counts), max(int(one[1]) for one in shapes)
    room = (0, longest - there.shape[1], 0, most - len(there))
    filled = F.pad(vectors, (0, 0, *room))
    gather: Any = all_gather
    every = gather(filled.contiguous())
    marks = [torch.zeros(most, longest, device=vectors.device) for _ in range(group.count)]
    dist.all_gather(marks, F.pad(there.to(torch.float32), room).contiguous())
    parts = [one[:count] for one, count in zip(every, counts, strict=True)]
    held = [one[:count] > 0 for one, count in zip(marks, counts, strict=True)]
    return (torch.cat(parts), torch.cat(held)), sum(counts[: group.rank])
