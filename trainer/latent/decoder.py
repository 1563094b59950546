"""The patch decoder: from the global transformer's answers to single positions of speech.

Each layer: self-attention in a causal window, cross-attention to what the global transformer made
of everything before (text tokens, markers, patches), feed-forward part. A query stands where the
last thing that it may look at stands, so that rotary angles say how far back a patch lies.
"""

import torch
import torch.nn.functional as F
from torch import nn

from trainer.latent.by_piece import Meeting, heard, meeting
from trainer.latent.layout import Layout
from trainer.latent.local import Turn, Window, WindowAttention
from trainer.model import Norm, SwiGLU
from trainer.model_settings import ModelSettings
from trainer.rotary import angles, frequencies, rotate

Reach = torch.Tensor | Meeting


def reach_mask(laid: Layout) -> torch.Tensor:
    """Which global positions a slot may look at, bool [rows, 1, slots, globals]: those of its
    piece up to its reach."""
    number = torch.arange(laid.globals, device=laid.reach.device)
    before = number[None, None] <= laid.reach[..., None]
    there = laid.global_piece[laid.heard]
    return (before & (laid.slot_piece[..., None] == there[:, None]))[:, None]


class Looking(nn.Module):
    """Cross-attention from slots to global positions."""

    def __init__(self, width: int, settings: ModelSettings) -> None:
        super().__init__()
        own, self.heads, _, self.head, _ = settings.sizes
        inner = self.heads * self.head
        self.query = nn.Linear(own, inner, bias=False)
        self.key = nn.Linear(width, inner, bias=False)
        self.value = nn.Linear(width, inner, bias=False)
        self.attention = nn.ModuleDict({"out": nn.Linear(inner, own, bias=False)})

    def forward(
        self, x: torch.Tensor, answers: torch.Tensor, turns: tuple[Turn, Turn], mask: Reach
    ) -> torch.Tensor:
        query = rotate(self._split(self.query(x)), *turns[0])
        key = rotate(self._split(self.key(answers)), *turns[1])
        value = self._split(self.value(answers))
        if isinstance(mask, Meeting):
            found = heard(query, key, value, mask)
        else:
            # a slot that sees nothing (no marker stands before its speech) hears nothing
            some = mask.any(-1, keepdim=True)
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask | ~some)
            found = torch.where(some, found, 0.0)
        answer: torch.Tensor = self.attention["out"](found.transpose(1, 2).flatten(2))
        return answer

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], self.heads, self.head).transpose(1, 2)


class DecoderLayer(nn.Module):
    def __init__(self, width: int, settings: ModelSettings) -> None:
        super().__init__()
        own, _, _, _, hidden = settings.sizes
        self.attention_norm = Norm(own, settings.norm_eps)
        self.attention = WindowAttention(settings)
        self.looking_norm = Norm(own, settings.norm_eps)
        self.looking = Looking(width, settings)
        self.feed_norm = Norm(own, settings.norm_eps)
        self.feed = SwiGLU(own, hidden)

    def forward(
        self,
        x: torch.Tensor,
        answers: torch.Tensor,
        turn: Turn,
        turns: tuple[Turn, Turn],
        window: Window,
        reach: Reach,
    ) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), turn, window)
        x = x + self.looking(self.looking_norm(x), answers, turns, reach)
        found: torch.Tensor = x + self.feed(self.feed_norm(x))
        return found


class PatchDecoder(nn.Module):
    """States of speech [rows, slots, own width] and global answers to states of the model's width,
    from which the heads predict the next position."""

    def __init__(self, width: int, settings: ModelSettings, depth: int) -> None:
        super().__init__()
        own = settings.sizes[0]
        self.settings = settings
        self.layers = nn.ModuleList(DecoderLayer(width, settings) for _ in range(depth))
        self.outward: nn.Linear | None = None
        if own != width:
            self.outward = nn.Linear(own, width, bias=False)
        self.norm = Norm(width, settings.norm_eps)

    def forward(
        self,
        x: torch.Tensor,
        answers: torch.Tensor,
        turn: Turn,
        window: Window,
        laid: Layout,
        dense: bool = True,
    ) -> torch.Tensor:
        """[rows, slots, width of model]; `answers` [rows, globals, width of model]."""
        frequency = frequencies(self.settings, x.device)
        place = laid.global_place[laid.heard]
        turns = angles(place.gather(1, laid.reach), frequency), angles(place, frequency)
        # without any speech the mask is tiny, and keeps every weight in the graph
        reach = reach_mask(laid) if dense or not laid.speech else meeting(laid)
        for layer in self.layers:
            x = layer(x, answers, turn, turns, window, reach)
        found: torch.Tensor = self.norm(x if self.outward is None else self.outward(x))
        return found
