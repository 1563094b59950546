"""Causal attention inside pieces: SDPA piece by piece or with a dense mask, or FlexAttention.

A position sees the positions of its own piece up to itself, and nothing else. Padding is a piece
like any other (number -1): every position sees at least itself, so no softmax is empty and no NaN
arises. A dense mask costs length x length for each pack, whatever the pieces. On a CPU, where a
call is cheap, each piece is attended by itself; on a GPU FlexAttention skips blocks that are
masked, and wants compilation.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from trainer.model_settings import ModelSettings
from trainer.rotary import rotate


def runs(piece: torch.Tensor) -> list[int]:
    """How long the pieces are in pieces [packs, length], pack after pack, padding among them."""
    first = torch.ones_like(piece, dtype=torch.bool)
    first[:, 1:] = piece[:, 1:] != piece[:, :-1]
    starts = first.flatten().nonzero().flatten().tolist()
    return [b - a for a, b in itertools.pairwise([*starts, piece.numel()])]


def document_mask(piece: torch.Tensor, kind: Literal["sdpa", "flex"]) -> Any:
    """Who sees whom, from pieces [packs, length]: bool [packs, 1, length, length], or a BlockMask.

    True at [pack, 0, q, k] where q may see k.
    """
    packs, length = piece.shape
    if kind == "sdpa":
        same = piece[:, :, None] == piece[:, None, :]
        return same.tril()[:, None]
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(pack: Any, head: Any, q: Any, k: Any) -> Any:
        return (q >= k) & (piece[pack, q] == piece[pack, k])

    make = _kernel(create_block_mask, piece.device)
    return make(sees, packs, None, length, length, device=piece.device.type)


def _by_pieces(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int]
) -> torch.Tensor:
    """Each run of positions by itself. Split and joined once, for slices would each fill a gradient
    of the whole."""
    packs, heads, length, head = query.shape

    def split(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = x.transpose(0, 1).reshape(1, heads, packs * length, head)
        return torch.split_with_sizes(rows, lengths, dim=2)

    parts = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True)
        for q, k, v in zip(split(query), split(key), split(value), strict=True)
    ]
    return torch.cat(parts, dim=2).view(heads, packs, length, head).transpose(0, 1)


def _flex(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any) -> torch.Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    if query.device.type == "cpu" and torch.is_grad_enabled():
        raise ValueError("attention: flex cannot train on a CPU (torch 2.11); set attention: sdpa")
    found: torch.Tensor = _kernel(flex_attention, query.device)(
        query, key, value, block_mask=mask, enable_gqa=query.shape[1] != key.shape[1]
    )
    return found


def _kernel(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """As it is on a CPU; elsewhere compiled, without which it holds all scores in memory."""
    if device.type == "cpu" or torch.compiler.is_compiling():
        return function
    return _compiled(function)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, heads, kv_heads, head, _ = settings.sizes
        self.kind = settings.attention
        self.heads, self.kv_heads, self.head = heads, kv_heads, head
        self.query = nn.Linear(width, heads * head, bias=settings.qkv_bias)
        self.key = nn.Linear(width, kv_heads * head, bias=settings.qkv_bias)
        self.value = nn.Linear(width, kv_heads * head, bias=settings.qkv_bias)
        self.out = nn.Linear(heads * head, width, bias=False)

    def forward(
        self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], mask: Any
    ) -> torch.Tensor:
        packs, length, _ = x.shape
        query = self._split(self.query(x), self.heads)
        key = self._split(self.key(x), self.kv_heads)
        value = self._split(self.value(x), self.kv_heads)
        query, key = rotate(query, *turn), rotate(key, *turn)
        if self.kind == "flex":
            found = _flex(query, key, value, mask)
        else:
            if self.heads != self.kv_heads:  # repeated: few SDPA kernels share keys by themselves
                key = key.repeat_interleave(self.heads // self.kv_heads, dim=1)
                value = value.repeat_interleave(self.heads // self.kv_heads, dim=1)
            if isinstance(mask, list):
                found = _by_pieces(query, key, value, mask)
            else:
                found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined: torch.Tensor = self.out(
            found.transpose(1, 2).reshape(packs, length, self.heads * self.head)
        )
        return joined

    def _split(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        packs, length, _ = x.shape
        return x.view(packs, length, heads, self.head).transpose(1, 2)
