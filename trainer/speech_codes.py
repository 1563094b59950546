"""Several codebooks in one position: tables in, heads out.

A frame of C codes enters as the sum of C embeddings. A sum of full-width tables is a linear layer
over the channels' one-hot vectors; concatenating narrow embeddings and projecting them is the same
layer forced to low rank, and needs [positions, C x narrow] in memory. The sum needs neither: a bag
of embeddings adds rows as it reads them (dMel has up to 320 channels). It out-costs concatenation
only in parameters: C x levels x width, 1.3 M for dMel at width 1,024.

All C codes of a frame are predicted at once from the hidden state before it; how codes of a frame
may depend on each other is the business of `trainer.orders`.
"""

import torch
import torch.nn.functional as F
from torch import nn


class CodeTables(nn.Module):
    """Frames of codes to vectors."""

    def __init__(self, codebooks: int, levels: int, width: int) -> None:
        super().__init__()
        self.codebooks, self.levels = codebooks, levels
        self.weight = nn.Parameter(torch.empty(codebooks * levels, width))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """[packs, length, codebooks] to [packs, length, width]: the channels' sum."""
        packs, length, codebooks = codes.shape
        first = torch.arange(codebooks, device=codes.device) * self.levels
        rows = (codes + first).view(packs * length, codebooks)
        return F.embedding_bag(rows, self.weight, mode="sum").view(packs, length, -1)


class CodeHeads(nn.Module):
    """Hidden states to one distribution per channel."""

    def __init__(self, codebooks: int, levels: int, width: int) -> None:
        super().__init__()
        self.codebooks, self.levels = codebooks, levels
        self.weight = nn.Parameter(torch.empty(codebooks * levels, width))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., width] to logits [..., codebooks, levels]."""
        found = F.linear(hidden, self.weight)
        return found.view(*hidden.shape[:-1], self.codebooks, self.levels)
