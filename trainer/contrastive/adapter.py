"""A decoder that hears by a frozen encoder: windows of its features become embeddings.

Each run of speech in a pack is heard by itself by the encoder; its features are cut into windows of
4 positions (0.333 s), and in each window 4 queries attend the features and become the embeddings of
these positions. They stand in the place of speech tokens' embeddings, so everything else of the
decoder, its losses and its masks is as it was. Speech cannot be predicted: nothing of it is a
target.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from trainer import checkpoint
from trainer.contrastive.adapter_settings import AdapterSettings
from trainer.contrastive.pairs import runs
from trainer.contrastive.waveform import HOP, ZERO
from trainer.distributed import Ranks
from trainer.failures import SetupError
from trainer.model import Decoder, drawn
from trainer.pack import SPEECH, Vocabulary
from trainer.tensors import Inputs
from transforms.engines.kmeans import EncoderFeatures
from transforms.engines.models import ModelError

QUERIES = 4  # of a window, and positions of it


class Listener:
    """The frozen encoder: samples of a run in, features in windows out. It has no weights of the
    model: checkpoints name its folder."""

    def __init__(self, folder: str, layer: int | None) -> None:
        try:
            found = EncoderFeatures(Path(folder), layer or 0)
            last = int(found._local.settings.num_hidden_layers)
            self._features = EncoderFeatures(Path(folder), last if layer is None else layer)
        except ModelError as error:
            raise SetupError(f"adapter.encoder: {error}") from error
        if self._features.grid.rate != 16_000:
            raise SetupError(f"adapter.encoder: {folder} hears {self._features.grid.rate} Hz")
        self.width, self.hop = self._features.width, self._features.grid.hop
        self.digest = str(self._features.about()["digest"])

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for weight in self._features._local.model.parameters())

    def __call__(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples [n x HOP] to features [windows, most, width] and which are there."""
        pcm = samples.to(torch.int16).cpu().numpy()
        found = torch.from_numpy(self._features(pcm, 16_000))
        window = QUERIES * HOP
        # a frame belongs to the window in which its middle lies
        middle = torch.arange(len(found)) * self.hop + self.hop // 2
        number = (middle // window).clamp(max=-(-len(pcm) // window) - 1)
        windows, most = int(number[-1]) + 1, int(number.bincount().max())
        first = torch.searchsorted(number, torch.arange(windows))
        held = torch.zeros(windows, most, self.width)
        there = torch.zeros(windows, most, dtype=torch.bool)
        place = torch.arange(len(found)) - first[number]
        held[number, place], there[number, place] = found, True
        return held.to(samples.device), there.to(samples.device)


class AdapterLayer(nn.Module):
    """Queries attend each other, then the window's features, then a feed-forward part."""

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__()
        width, self.heads = settings.width, settings.heads
        hidden = settings.hidden or 4 * width
        self.self_norm = nn.LayerNorm(width)
        self.self_in = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_query = nn.Linear(width, width)
        self.cross_in = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, hidden)
        self.feed_out = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor, seen: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        query, key, value = self.self_in(self.self_norm(x)).chunk(3, dim=-1)
        x = x + self.self_out(self._attend(query, key, value, None))
        key, value = self.cross_in(seen).chunk(2, dim=-1)
        query = self.cross_query(self.cross_norm(x))
        x = x + self.cross_out(self._attend(query, key, value, there[:, None, None, :]))
        found: torch.Tensor = x + self.feed_out(F.gelu(self.feed_in(self.feed_norm(x))))
        return found

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any
    ) -> torch.Tensor:
        def split(x: torch.Tensor) -> torch.Tensor:
            return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

        found = F.scaled_dot_product_attention(split(query), split(key), split(value), mask)
        return found.transpose(1, 2).flatten(2)


class Adapter(nn.Module):
    """Features of windows [windows, most, encoder's width] to embeddings [windows, 4, width]."""

    def __init__(self, settings: AdapterSettings, heard: int, width: int, seed: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(QUERIES, settings.width))
        self.seen = nn.Linear(heard, settings.width)
        self.layers = nn.ModuleList(AdapterLayer(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        self.out = nn.Linear(settings.width, width)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.endswith("bias"):
                    weight.zero_()
                elif "norm" in name:
                    weight.fill_(1)
                else:
                    spread = 1.0 if name == "queries" else 1 / math.sqrt(weight.shape[-1])
                    weight.copy_(drawn(seed, f"adapter/{name}", tuple(weight.shape)) * spread)

    def forward(self, features: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        seen = self.seen(features)
        x = self.queries.expand(len(features), -1, -1)
        for layer in self.layers:
            x = layer(x, seen, there)
        found: torch.Tensor = self.out(self.norm(x))
        return found


class AdaptedDecoder(Decoder):
    """A language model whose speech comes through an adapter. Text and markers are its own."""

    def __init__(
        self, base: Decoder, vocabulary: Vocabulary, settings: AdapterSettings, seed: int
    ) -> None:
        """Takes over the modules of `base`, whose vocabulary has one id for speech."""
        nn.Module.__init__(self)
        if base.vocabulary.size != vocabulary.size:
            raise ValueError(f"{base.vocabulary} is not the language model of {vocabulary}")
        self.settings, self.vocabulary = base.settings, vocabulary
        self.embedding, self.blocks, self.norm = base.embedding, base.blocks, base.norm
        self.text_head = base.text_head
        self.code_tables = self.code_heads = None
        self._listener = Listener(settings.encoder, settings.layer)
        width = self.settings.sizes[0]
        self.frozen = settings.train == "adapter"
        if self.frozen:
            for weight in self.parameters():
                weight.requires_grad_(False)
        self.adapter = Adapter(settings, self._listener.width, width, seed)

    @property
    def listener_digest(self) -> str:
        return self._listener.digest

    def embedded(self, given: Inputs) -> torch.Tensor:
        """Embeddings of ids, and what the adapter makes of speech in the place of its ids'."""
        x: torch.Tensor = self.embedding(given.ids)
        flat = x.flatten(0, 1)
        starts, ends, side, _ = runs(given)
        spoken = side == SPEECH
        places, found = [], []
        for first, last in zip(starts[spoken].tolist(), ends[spoken].tolist(), strict=True):
            samples = given.codes.flatten(0, 1)[first:last].flatten() - ZERO
            embeddings = self.adapter(*self._listener(samples)).flatten(0, 1)
            found.append(embeddings[: last - first])
            places.append(torch.arange(first, last, device=flat.device))
        if not found:  # every weight has a gradient on every rank, and here it is zero
            return x + sum(weight.sum() * 0.0 for weight in self.adapter.parameters())
        flat = flat.index_put((torch.cat(places),), torch.cat(found).to(flat.dtype))
        return flat.view_as(x)

    def flops_per_position(
        self, length: int, text_share: float = 1.0, speech_share: float = 1.0
    ) -> float:
        """As the decoder's, of which a frozen one needs no gradient of its weights (4 of 6 parts),
        and for positions of speech the adapter's and the encoder's products (one pass, no
        gradient). The encoder is counted by its weights a frame, so its convolutions too low."""
        base = Decoder.flops_per_position(self, length, text_share, 0.0)
        return base * (4 / 6 if self.frozen else 1.0) + self.heard_flops * speech_share

    @property
    def heard_flops(self) -> float:
        """Of the encoder and the adapter for one position of speech."""
        own = sum(weight.numel() for weight in self.adapter.parameters())
        return 2.0 * self._listener.parameters * HOP / self._listener.hop + 6.0 * own

    def parameters_by_part(self) -> dict[str, int]:
        found = Decoder.parameters_by_part(self)
        return {**found, "adapter": sum(weight.numel() for weight in self.adapter.parameters())}


def adapted(
    language_model: Callable[[Vocabulary], Decoder],
    vocabulary: Vocabulary,
    settings: AdapterSettings,
    seed: int,
) -> AdaptedDecoder:
    """The model of a config with an adapter. `language_model` gives a decoder for a vocabulary in
    which speech is one id. Raises `SetupError`, `CheckpointError`."""
    one = Vocabulary(text=vocabulary.text, codebooks=1, levels=1)
    found = AdaptedDecoder(language_model(one), vocabulary, settings, seed)
    if settings.begin is not None:
        _begin(found, Path(settings.begin))
    return found


def _begin(model: AdaptedDecoder, out: Path) -> None:
    """Take over what an earlier run trained, as far as this one has it."""
    last = checkpoint.newest(out / "checkpoints")
    if last is None:
        raise SetupError(f"adapter.begin: {out} holds no checkpoint; train the first stage there")
    state = checkpoint.read_state(last.path)
    before = str(state.get("facts", {}).get("speech encoder"))
    if before != model.listener_digest:
        raise SetupError(
            f"adapter.begin: {out} was trained with another encoder ({before[:12]}, here "
            f"{model.listener_digest[:12]})"
        )
    held = {name for name in state["updates"]}
    weights = {
        f"model.{name}": weight.detach()
        for name, weight in model.named_parameters()
        if name in held
    }
    checkpoint.load(last.path, weights, Ranks())
