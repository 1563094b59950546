"""A Llama-style decoder over text, markers and speech in one sequence.

RMSNorm, rotary positions that restart in each piece, grouped-query attention inside pieces, SwiGLU
(arXiv 2302.13971). One embedding and one head hold text, markers and, with one codebook, speech
units; frames of several codebooks have tables and heads of their own. The model gives hidden
states; logits are asked for where they are needed, for a head over 100,000 ids costs more than
the blocks below it.
"""

import hashlib
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from trainer.attention import Attention, document_mask, runs
from trainer.flops import by_part
from trainer.model_settings import ModelSettings, RopeScaling
from trainer.pack import SPEECH, Vocabulary
from trainer.rotary import angles, frequencies
from trainer.speech_codes import CodeHeads, CodeTables
from trainer.tensors import Inputs

__all__ = ["Decoder", "ModelSettings", "RopeScaling"]


class Norm(nn.Module):
    """RMSNorm (arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


class SwiGLU(nn.Module):
    """Gated feed-forward part (arXiv 2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return found


class Block(nn.Module):
    """Attention, then the feed-forward part, each normed before and added to what came in."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, _, _, _, hidden = settings.sizes
        self.attention_norm = Norm(width, settings.norm_eps)
        self.attention = Attention(settings)
        self.feed_norm = Norm(width, settings.norm_eps)
        self.feed = SwiGLU(width, hidden)

    def forward(
        self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], mask: object
    ) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), turn, mask)
        found: torch.Tensor = x + self.feed(self.feed_norm(x))
        return found


class Decoder(nn.Module):
    """The model of a run. Its initial weights are a function of settings, vocabulary and seed."""

    def __init__(self, settings: ModelSettings, vocabulary: Vocabulary, seed: int = 0) -> None:
        """Draws nothing from the global generator. Weights of the same name and shape are the same
        for any vocabulary, and so are the rows of text and markers."""
        super().__init__()
        self.settings, self.vocabulary = settings, vocabulary
        width = settings.sizes[0]
        with torch.device("meta"):  # layers must not draw weights that are drawn below
            self.embedding = nn.Embedding(vocabulary.size, width)
            self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.depth))
            self.norm = Norm(width, settings.norm_eps)
            self.text_head: nn.Linear | None = None
            if not settings.tie_embeddings:
                self.text_head = nn.Linear(width, vocabulary.size, bias=False)
            self.code_tables: CodeTables | None = None
            self.code_heads: CodeHeads | None = None
            if vocabulary.codebooks > 1:
                sizes = (vocabulary.codebooks, vocabulary.levels, width)
                self.code_tables, self.code_heads = CodeTables(*sizes), CodeHeads(*sizes)
            self._further()
        self.to_empty(device="cpu")
        initial_weights(self, seed)

    def _further(self) -> None:
        """Modules that a kind of decoder has beside these (`trainer.latent.model`)."""

    def forward(self, given: Inputs) -> torch.Tensor:
        """Hidden states after the last norm, [packs, length, width]."""
        for found in self.states(given):  # noqa: B007  the last one is asked for
            pass
        return found

    def states(self, given: Inputs) -> Iterator[torch.Tensor]:
        """Hidden states [packs, length, width]: what enters the first block, what leaves each but
        the last, and what leaves the last norm. Number `depth` is what `forward` gives."""
        # made anew, not held: weights may be cast to half precision, angles never
        turn = angles(given.place, frequencies(self.settings, given.place.device))
        mask = self._mask(given.piece)
        x = self.embedded(given)
        for block in self.blocks:
            yield x
            x = block(x, turn, mask)
        found: torch.Tensor = self.norm(x)
        yield found

    def embedded(self, given: Inputs) -> torch.Tensor:
        """What enters the first block, [packs, length, width]."""
        x: torch.Tensor = self.embedding(given.ids)
        if self.code_tables is not None:
            spoken = (given.modality == SPEECH)[..., None]
            x = x + self.code_tables(given.codes) * spoken.to(x.dtype)
        return x

    def _mask(self, piece: torch.Tensor) -> object:
        """Runs of pieces where each can be attended by itself: eagerly, on a CPU. What is compiled
        would be compiled anew for every batch's runs."""
        kind = self.settings.attention
        compiled = torch.compiler.is_compiling() or any(
            block._compiled_call_impl is not None for block in self.blocks
        )
        if kind == "sdpa" and piece.device.type == "cpu" and not compiled:
            return runs(piece)
        return document_mask(piece, kind)

    def text_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., width] to logits over the whole vocabulary, [..., vocabulary.size]."""
        head = self.embedding if self.text_head is None else self.text_head
        return F.linear(hidden, head.weight)

    def code_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., width] to logits [..., codebooks, levels]; needs several codebooks."""
        if self.code_heads is None:
            raise ValueError("one codebook: speech units are in the vocabulary, see text_logits")
        found: torch.Tensor = self.code_heads(hidden)
        return found

    def flops_per_position(
        self, length: int, text_share: float = 1.0, speech_share: float = 1.0
    ) -> float:
        """Floating-point operations of one position of training, forward and backward.

        The sum of `trainer.flops.by_part`, which says what is counted. The shares are those of
        positions that each head is asked for; 1 counts them everywhere.
        """
        parts = by_part(self.settings, self.vocabulary, length, text_share, speech_share)
        return sum(parts.values())

    def parameters_by_part(self) -> dict[str, int]:
        """How many weights each part has; `text_head` is 0 where it is the embedding."""
        found = {}
        for name in ("embedding", "blocks", "norm", "text_head", "code_tables", "code_heads"):
            part = getattr(self, name)
            found[name] = 0 if part is None else sum(p.numel() for p in part.parameters())
        return found


def drawn(seed: int, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal numbers that (seed, name) decide, float32 on the CPU."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
    chance = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return torch.randn(shape, generator=chance)


def drawn_rows(seed: int, name: str, vocabulary: Vocabulary, width: int) -> torch.Tensor:
    """The same for a matrix with a row per id: text, markers and speech are drawn apart, so that
    one of them is the same whatever the others are."""
    parts = [("text", vocabulary.text), ("markers", vocabulary.speech_first - vocabulary.text)]
    parts.append(("speech", vocabulary.size - vocabulary.speech_first))
    return torch.cat([drawn(seed, f"{name}/{part}", (rows, width)) for part, rows in parts])


@torch.no_grad()
def initial_weights(model: Decoder, seed: int) -> None:
    """Normal weights of `initial_std`; what writes into the residual stream is narrower by
    sqrt(2 x depth) (GPT-2), tables of codes by sqrt(codebooks), so that a frame enters as wide as
    a text token. Norms are 1, biases 0."""
    settings, vocabulary = model.settings, model.vocabulary
    narrow = 1 / math.sqrt(2 * settings.depth)
    scale: Callable[[str], float] = lambda name: (  # noqa: E731
        narrow
        if name.endswith(("attention.out.weight", "feed.down.weight"))
        else 1 / math.sqrt(vocabulary.codebooks)
        if name == "code_tables.weight"
        else 1.0
    )
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.zero_()
        elif "norm" in name:
            weight.fill_(1)
        elif name in ("embedding.weight", "text_head.weight"):
            rows = drawn_rows(seed, name, vocabulary, settings.sizes[0])
            weight.copy_(rows * settings.initial_std)
        else:
            weight.copy_(
                drawn(seed, name, tuple(weight.shape)) * (settings.initial_std * scale(name))
            )
