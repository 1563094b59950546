"""The patch encoder: what was said in a patch as one vector (LST, arXiv 2510.06195, section 3.1).

Self-attention in a causal window, then cross-attention: the query of a patch is the mean of its
hidden states, keys and values are its own positions. Patches differ in length, so softmax and sums
go over segments of a flat list of positions; nothing is padded to the longest patch.
"""

import math

import torch
from torch import nn

from trainer.latent.layout import Layout
from trainer.latent.local import Turn, Window, WindowBlock
from trainer.model import Norm
from trainer.model_settings import ModelSettings


def segment_mean(values: torch.Tensor, segment: torch.Tensor, count: int) -> torch.Tensor:
    """Means [count, ...] of rows [rows, ...] by segment [rows]; 0 of none."""
    sums = values.new_zeros(count, *values.shape[1:]).index_add_(0, segment, values)
    numbers = torch.bincount(segment, minlength=count).clamp(min=1).to(values.dtype)
    return sums / numbers.view(-1, *[1] * (values.ndim - 1))


def segment_softmax(scores: torch.Tensor, segment: torch.Tensor, count: int) -> torch.Tensor:
    """Softmax over each segment's rows, of scores [rows, heads]."""
    shape = (count, scores.shape[1])
    most = scores.new_full(shape, -math.inf).scatter_reduce(
        0, segment[:, None].expand_as(scores), scores.detach(), "amax"
    )
    raised = (scores - most[segment]).exp()
    return raised / scores.new_zeros(shape).index_add_(0, segment, raised)[segment]


class Pooling(nn.Module):
    """Cross-attention from patches to their own positions."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, self.heads, _, self.head, _ = settings.sizes
        inner = self.heads * self.head
        self.query_norm = Norm(width, settings.norm_eps)
        self.key_norm = Norm(width, settings.norm_eps)
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(width, inner, bias=False)
        self.value = nn.Linear(width, inner, bias=False)
        self.attention = nn.ModuleDict({"out": nn.Linear(inner, width, bias=False)})

    def forward(
        self, patches: torch.Tensor, states: torch.Tensor, patch: torch.Tensor
    ) -> torch.Tensor:
        """What is added to patches [patches, width], from states [speech, width]."""
        count = len(patches)
        query = self.query(self.query_norm(patches)).view(count, self.heads, self.head)
        normed = self.key_norm(states)
        key = self.key(normed).view(len(states), self.heads, self.head)
        value = self.value(normed).view(len(states), self.heads, self.head)
        scores = (query[patch].float() * key.float()).sum(-1) / math.sqrt(self.head)
        weight = segment_softmax(scores, patch, count)
        summed = weight.new_zeros(count, self.heads, self.head)
        summed = summed.index_add_(0, patch, weight[..., None] * value.float())
        found: torch.Tensor = self.attention["out"](summed.flatten(1).to(normed.dtype))
        return found


class EncoderLayer(nn.Module):
    """States in their window, then patches from their states."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.block = WindowBlock(settings)
        self.pooling = Pooling(settings)


class PatchEncoder(nn.Module):
    """Speech [rows, slots, width of model] to patches and to states for the decoder."""

    def __init__(self, width: int, settings: ModelSettings) -> None:
        super().__init__()
        own = settings.sizes[0]
        self.inward: nn.Linear | None = None
        self.outward: nn.Linear | None = None
        if own != width:
            self.inward = nn.Linear(width, own, bias=False)
            self.outward = nn.Linear(own, width, bias=False)
        self.layers = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.depth))

    def forward(
        self, x: torch.Tensor, turn: Turn, mask: Window, laid: Layout
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches [patches, width of model], states [rows, slots, own width]."""
        states = x if self.inward is None else self.inward(x)
        patches: torch.Tensor | None = None
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            states = layer.block(states, turn, mask)
            flat = states[laid.line, laid.slot]
            if patches is None:
                patches = segment_mean(flat, laid.patch, laid.patches)
            patches = patches + layer.pooling(patches, flat, laid.patch)
        assert patches is not None
        return patches if self.outward is None else self.outward(patches), states
