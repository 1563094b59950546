"""Attention over the last few hundred positions of speech, in blocks: linear in their number.

Slots are cut into blocks as long as the window; a block's queries see its own keys and those of the
block before, less what is masked. A dense mask of all slots would take their square in memory.
"""

import torch
import torch.nn.functional as F
from torch import nn

from trainer.attention import Attention, runs
from trainer.model import Norm, SwiGLU
from trainer.model_settings import ModelSettings
from trainer.rotary import rotate

Turn = tuple[torch.Tensor, torch.Tensor]
Window = torch.Tensor | list[int]  # a mask, or lengths of runs that are each seen whole


def local_settings(settings: ModelSettings) -> ModelSettings:
    """Encoder and decoder as a model of their own: by `model.latent`, and else by `model`."""
    latent = settings.latent
    assert latent is not None
    width, _, _, head, _ = settings.sizes
    own = width if latent.width is None else latent.width
    heads = max(own // head, 1) if latent.heads is None else latent.heads
    return ModelSettings(
        depth=latent.encoder_depth,
        width=own,
        heads=heads,
        kv_heads=heads,
        hidden=latent.hidden,
        rope_theta=settings.rope_theta,
        norm_eps=settings.norm_eps,
        qkv_bias=settings.qkv_bias,
        initial_std=settings.initial_std,
    )


def decoder_depth(settings: ModelSettings) -> int:
    """Layers of the patch decoder."""
    latent = settings.latent
    assert latent is not None
    return latent.decoder_depth or max(round(9 / 25 * settings.depth), 1)


def window_mask(piece: torch.Tensor, window: int) -> torch.Tensor:
    """Who sees whom, bool [packs x blocks, 1, block, keys], of pieces [packs, slots].

    A slot sees the slots of its piece among the last `window`, itself among them. Keys are a
    block's own, after those of the block before where there are several blocks.
    """
    packs, slots = piece.shape
    block = min(window, slots)
    count = -(-slots // block)
    padded = F.pad(piece, (0, count * block - slots), value=-3)
    query = padded.view(packs, count, block, 1)
    number = torch.arange(count * block, device=piece.device).view(count, block, 1)
    if count == 1:
        keys, places = padded.view(packs, 1, 1, block), number.view(1, 1, block)
    else:
        before = F.pad(padded, (block, 0), value=-4)[:, : count * block]
        own = torch.cat([before.view(packs, count, block), padded.view(packs, count, block)], -1)
        keys = own[:, :, None]
        places = torch.cat([number - block, number], 1).transpose(1, 2)
    ahead = number - places
    sees = (query == keys) & ((ahead >= 0) & (ahead < window))[None]
    return sees.flatten(0, 1)[:, None]


def window_of(piece: torch.Tensor, window: int, dense: bool) -> Window:
    """What slots see of pieces [packs, slots]: a mask, or, unless it must be `dense`, the runs of
    pieces where none is longer than the window."""
    if not dense:
        lengths = runs(piece)
        if max(lengths) <= window:
            return lengths
    return window_mask(piece, window)


class WindowAttention(Attention):
    """`Attention` where a slot sees the last few slots of its piece."""

    def forward(self, x: torch.Tensor, turn: Turn, mask: Window) -> torch.Tensor:
        """`x` [packs, slots, width]; `mask` of `window_of`."""
        if isinstance(mask, list):
            return super().forward(x, turn, mask)
        packs, slots, _ = x.shape
        query = rotate(self._split(self.query(x), self.heads), *turn)
        key = rotate(self._split(self.key(x), self.heads), *turn)
        value = self._split(self.value(x), self.heads)
        block = mask.shape[2]
        count = mask.shape[0] // packs
        query = self._blocks(query, block, count)
        key, value = (self._blocks(one, block, count) for one in (key, value))
        if count > 1:
            key, value = (self._with_before(one, packs, count) for one in (key, value))
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        found = found.view(packs, count, self.heads, block, self.head).transpose(2, 3)
        joined = found.reshape(packs, count * block, self.heads * self.head)[:, :slots]
        answer: torch.Tensor = self.out(joined)
        return answer

    def _blocks(self, x: torch.Tensor, block: int, count: int) -> torch.Tensor:
        """[packs, heads, slots, head] to [packs x blocks, heads, block, head]."""
        packs, heads, slots, head = x.shape
        padded = F.pad(x, (0, 0, 0, count * block - slots))
        return padded.view(packs, heads, count, block, head).transpose(1, 2).flatten(0, 1)

    @staticmethod
    def _with_before(x: torch.Tensor, packs: int, count: int) -> torch.Tensor:
        """Keys or values of the block before, then the block's own."""
        whole = x.view(packs, count, *x.shape[1:])
        before = F.pad(whole, (0, 0, 0, 0, 0, 0, 1, 0))[:, :count]
        return torch.cat([before, whole], dim=3).flatten(0, 1)


class WindowBlock(nn.Module):
    """A block of the patch encoder: attention in the window, then the feed-forward part."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, _, _, _, hidden = settings.sizes
        self.attention_norm = Norm(width, settings.norm_eps)
        self.attention = WindowAttention(settings)
        self.feed_norm = Norm(width, settings.norm_eps)
        self.feed = SwiGLU(width, hidden)

    def forward(self, x: torch.Tensor, turn: Turn, mask: Window) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), turn, mask)
        found: torch.Tensor = x + self.feed(self.feed_norm(x))
        return found
