"""A transformer encoder over log-mel that sees both ways: what the objectives pretrain.

A projection of stacked log-mel frames, then blocks of attention with rotary positions and SwiGLU,
each normed before (as the decoder's, whose parts it shares). There is no convolution over samples:
at small budgets a learnt front end costs a fixed part of every step (methods: about 18 % of a slim
model), and log-mel is what our k-means units and dMel are made of, too. The exported weights are
run by `transforms.engines.mel_encoder`, which is plain numpy: tests compare both.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from trainer.encoders.settings import EncoderSettings
from trainer.model import Norm, SwiGLU, drawn
from trainer.rotary import rotate

CHANNELS = 80  # of log-mel
MIDDLE, SPREAD = 4.5, 2.0  # log-mel lies in 0 to 9 above its floor: brought to about -2 to 2


class Attention(nn.Module):
    """Every position of a clip sees every other that holds sound."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.heads = settings.sizes[0]
        self.projection = nn.Linear(settings.width, 3 * settings.width, bias=False)
        self.out = nn.Linear(settings.width, settings.width, bias=False)

    def forward(
        self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], there: torch.Tensor
    ) -> torch.Tensor:
        clips, length, width = x.shape
        parts = self.projection(x).view(clips, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        found = F.scaled_dot_product_attention(
            rotate(query, *turn), rotate(key, *turn), value, attn_mask=there[:, None, None, :]
        )
        joined: torch.Tensor = self.out(found.transpose(1, 2).reshape(clips, length, width))
        return joined


class Block(nn.Module):
    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.attention_norm = Norm(settings.width, settings.norm_eps)
        self.attention = Attention(settings)
        self.feed_norm = Norm(settings.width, settings.norm_eps)
        self.feed = SwiGLU(settings.width, settings.sizes[1])

    def forward(
        self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], there: torch.Tensor
    ) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), turn, there)
        found: torch.Tensor = x + self.feed(self.feed_norm(x))
        return found


class SpeechEncoder(nn.Module):
    """Features [clips, positions, 80 x stack] to hidden states of every layer."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.projection = nn.Linear(CHANNELS * settings.stack, settings.width)
        self.mask = nn.Parameter(torch.empty(settings.width))
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.depth))
        self.norm = Norm(settings.width, settings.norm_eps)

    def forward(
        self, features: torch.Tensor, there: torch.Tensor, masked: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """States [clips, positions, width]: what enters the first block, what leaves each but the
        last, and what leaves the last norm.

        `there` [clips, positions]: what holds sound; every clip has some. `masked` [clips,
        positions]: what is replaced by the mask's vector before the first block.
        """
        x = self.projection((features - MIDDLE) / SPREAD)
        if masked is not None:
            x = torch.where(masked[..., None], self.mask.to(x.dtype), x)
        turn = self._turn(x)
        found = []
        for block in self.blocks:
            found.append(x)
            x = block(x, turn, there)
        return [*found, self.norm(x)]

    def _turn(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        half = self.settings.width // self.settings.sizes[0] // 2
        steps = torch.arange(half, dtype=torch.float32, device=x.device) / half
        angle = torch.arange(x.shape[1], device=x.device)[:, None] * (
            self.settings.rope_theta**-steps
        )
        return angle.cos()[None, None], angle.sin()[None, None]


@torch.no_grad()
def initial_weights(module: nn.Module, seed: int) -> None:
    """Normal weights of 1 / sqrt(inputs), each drawn by its name; what writes into the residual
    stream is narrower by sqrt(2 x depth), so that a deep encoder begins as level as a flat one.
    Norms 1, biases 0."""
    depth = max(len(one.blocks) for one in module.modules() if isinstance(one, SpeechEncoder))
    for name, weight in module.named_parameters():
        if name.endswith("bias"):
            weight.zero_()
        elif "norm" in name:
            weight.fill_(1)
        else:
            spread = 1 / math.sqrt(weight.shape[-1])
            if name.endswith(("attention.out.weight", "feed.down.weight")):
                spread /= math.sqrt(2 * depth)
            weight.copy_(drawn(seed, name, tuple(weight.shape)) * spread)
