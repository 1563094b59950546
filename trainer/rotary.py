"""Rotary positions (RoFormer, arXiv 2104.09864) by halves, as Hugging Face lays Llama out."""

import math

import torch

from trainer.model_settings import ModelSettings


def frequencies(settings: ModelSettings, device: torch.device | str | None = None) -> torch.Tensor:
    """Radians per position, float32 [head_width / 2]."""
    head = settings.sizes[3]
    steps = torch.arange(0, head, 2, dtype=torch.float32, device=device) / head
    found = settings.rope_theta**-steps
    scaling = settings.rope_scaling
    if scaling is None:
        return found
    # Llama 3.1: slow frequencies are divided by the factor, fast ones stay, the rest is blended
    turns = scaling.original_length * found / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return found * (kept + (1 - kept) / scaling.factor)


def angles(place: torch.Tensor, frequency: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, [packs, 1, length, head_width / 2], of positions [packs, length]."""
    turned = place[:, None, :, None].to(frequency.dtype) * frequency
    return turned.cos(), turned.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """`x` [packs, heads, length, head_width], turned; in its own type."""
    one, other = x.float().chunk(2, dim=-1)
    return torch.cat((one * cos - other * sin, other * cos + one * sin), dim=-1).to(x.dtype)
