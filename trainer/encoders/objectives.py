"""The three ways in which an encoder learns from speech alone, each a module with its own heads.

A loss is a mean over the positions that count; beside it stand figures for the log. Randomness
comes from a generator that is handed in, made of (seed, step): a resumed run draws the same.
"""

import dataclasses
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from trainer.encoders.masking import spans
from trainer.encoders.model import CHANNELS, SpeechEncoder
from trainer.encoders.settings import HubertSettings, TeraSettings, Wav2vecSettings


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Clips as tensors."""

    features: torch.Tensor  # [clips, positions, 80 x stack]: log-mel above its floor
    there: torch.Tensor  # bool [clips, positions]: what holds sound
    units: torch.Tensor | None  # int64 [clips, positions], of HuBERT


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    total: torch.Tensor  # what is differentiated
    figures: dict[str, float]


class Hubert(nn.Module):
    """Cross-entropy of the k-means units of masked positions (HuBERT: cosine to an embedding of
    each unit, divided by a temperature)."""

    def __init__(self, encoder: SpeechEncoder, settings: HubertSettings, units: int) -> None:
        super().__init__()
        self.encoder, self.settings = encoder, settings
        self.head = nn.Linear(encoder.settings.width, settings.width)
        self.units = nn.Parameter(torch.empty(units, settings.width))

    def forward(self, batch: Batch, generator: torch.Generator, step: int) -> Loss:
        own = self.settings
        assert batch.units is not None
        masked = spans(batch.there, own.mask, own.span, generator)
        states = self.encoder(batch.features, batch.there, masked)[-1]
        logits = self._logits(states[masked])
        wanted = batch.units[masked]
        loss = F.cross_entropy(logits, wanted)
        right = (logits.argmax(-1) == wanted).double().mean()
        figures = {"masked": float(loss.detach()), "accuracy": float(right)}
        if own.unmasked:
            heard = batch.there & ~masked
            other = F.cross_entropy(self._logits(states[heard]), batch.units[heard])
            figures["unmasked"] = float(other.detach())
            loss = (loss + own.unmasked * other) / (1 + own.unmasked)
        return Loss(total=loss, figures=figures)

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        told = F.normalize(self.head(states), dim=-1)
        return told @ F.normalize(self.units, dim=-1).T / self.settings.temperature


class Wav2vec(nn.Module):
    """Contrastive: which quantised input is the masked position's own, among others of its clip?

    Entries of the quantiser's codebooks are drawn with Gumbel noise and straight-through gradients,
    colder with every step; a further term keeps all entries in use.
    """

    def __init__(self, encoder: SpeechEncoder, settings: Wav2vecSettings) -> None:
        super().__init__()
        self.encoder, self.settings = encoder, settings
        mel = CHANNELS * encoder.settings.stack
        self.head = nn.Linear(encoder.settings.width, settings.width)
        self.choice = nn.Linear(mel, settings.groups * settings.entries)
        each = settings.width // settings.groups
        self.entries = nn.Parameter(torch.empty(settings.groups, settings.entries, each))

    def forward(self, batch: Batch, generator: torch.Generator, step: int) -> Loss:
        own = self.settings
        masked = spans(batch.there, own.mask, own.span, generator)
        states = self.encoder(batch.features, batch.there, masked)[-1]
        clip = masked.nonzero()[:, 0]
        target, diversity = self._quantised(batch.features[masked], generator, step)
        told = F.normalize(self.head(states[masked]), dim=-1)
        target = F.normalize(target, dim=-1)
        others, real = (one.to(told.device) for one in self._distractors(clip.cpu(), generator))
        alike = torch.cat([target[:, None], target[others]], dim=1) @ told[..., None]
        logits = alike[..., 0] / own.temperature
        same = (target[others] == target[:, None]).all(-1)  # as the paper: no target's own double
        logits[:, 1:] = logits[:, 1:].masked_fill(same | ~real, -math.inf)
        wanted = torch.zeros(len(told), dtype=torch.int64, device=told.device)
        loss = F.cross_entropy(logits, wanted)
        right = (logits.argmax(-1) == 0).double().mean()
        return Loss(
            total=loss + own.diversity * diversity,
            figures={
                "masked": float(loss.detach()),
                "accuracy": float(right),
                "diversity": float(diversity.detach()),
            },
        )

    def _quantised(
        self, features: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets [masked, width], and how far the use of entries is from even: 0 to 1."""
        own = self.settings
        first, last, factor = own.gumbel
        logits = self.choice(features).view(-1, own.groups, own.entries).float()
        noise = torch.rand(logits.shape, generator=generator).clamp(1e-9, 1 - 1e-7)
        cold = max(first * factor**step, last)
        soft = ((logits - (-noise.log()).log().to(logits.device)) / cold).softmax(-1)
        hard = F.one_hot(soft.argmax(-1), own.entries).to(soft.dtype)
        chosen = hard + soft - soft.detach()
        used = logits.softmax(-1).mean(0)
        perplexity = (-(used * (used + 1e-7).log()).sum(-1)).exp().sum()
        whole = own.groups * own.entries
        found = torch.einsum("nge,gew->ngw", chosen, self.entries).flatten(1)
        return found, (whole - perplexity) / whole

    def _distractors(
        self, clip: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Other masked positions of the same clip, [masked, distractors], and which are real: a
        clip with one masked position has none."""
        sizes = torch.bincount(clip)
        first = torch.cumsum(sizes, 0) - sizes
        mine = torch.arange(len(clip)) - first[clip]
        count = sizes[clip][:, None]
        draw = torch.rand(len(clip), self.settings.distractors, generator=generator)
        at = (draw * (count - 1)).long().clamp(min=0)
        at = at + (at >= mine[:, None]).long()  # never its own place
        real = (count > 1).expand_as(at)
        return torch.where(real, first[clip][:, None] + at, 0), real


class Tera(nn.Module):
    """L1 distance of the clean log-mel from what is mended of a changed one, over all positions."""

    def __init__(self, encoder: SpeechEncoder, settings: TeraSettings) -> None:
        super().__init__()
        self.encoder, self.settings = encoder, settings
        self.head = nn.Linear(encoder.settings.width, CHANNELS * encoder.settings.stack)

    def forward(self, batch: Batch, generator: torch.Generator, step: int) -> Loss:
        given, masked = self.altered(batch, generator)
        states = self.encoder(given, batch.there)[-1]
        away = (self.head(states) - batch.features).abs().mean(-1)
        loss = away[batch.there].mean()
        hidden = away[masked].mean() if bool(masked.any()) else loss
        figures = {"all": float(loss.detach()), "masked": float(hidden.detach())}
        return Loss(total=loss, figures=figures)

    def altered(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features with spans of time, a band of channels and magnitudes changed; and which
        positions lie in spans. Of spans, 8 in 10 become the clip's mean, 1 another place of the
        clip, 1 stays (as in the paper, where features of mean 0 become 0)."""
        own, clean = self.settings, batch.features
        clips, length, width = clean.shape
        masked = torch.zeros_like(batch.there)
        found = clean.clone()
        if own.time:
            masked = spans(batch.there, own.time / own.span, own.span, generator)
            number = batch.there.sum(1, keepdim=True)
            mean = (clean * batch.there[..., None]).sum(1) / number
            place = torch.rand(clips, length, generator=generator).to(clean.device)
            place = (place * number).long()
            other = clean.gather(1, place[..., None].expand_as(clean))
            # one draw for each clip and span's length of time, so that a span is changed alike
            draw = torch.rand(clips, -(-length // own.span), generator=generator)
            draw = draw.repeat_interleave(own.span, dim=1)[:, :length].to(clean.device)
            silent = masked & (draw < 0.8)
            swapped = masked & (draw >= 0.8) & (draw < 0.9)
            found = torch.where(silent[..., None], mean[:, None].expand_as(clean), found)
            found = torch.where(swapped[..., None], other, found)
        if own.channels:
            size = (torch.rand(clips, generator=generator) * (own.channels + 1)).long()
            first = (torch.rand(clips, generator=generator) * (CHANNELS - size + 1)).long()
            channel = torch.arange(width) % CHANNELS
            band = (channel >= first[:, None]) & (channel < (first + size)[:, None])
            found = found.masked_fill(band[:, None].to(clean.device), 0.0)
        noisy = torch.rand(clips, generator=generator) < own.magnitude
        noise = torch.randn(clean.shape, generator=generator) * own.noise
        return found + (noise * noisy[:, None, None]).to(clean.device), masked


def objective_of(encoder: SpeechEncoder, settings: Any, units: int) -> nn.Module:
    """The module of an objective's settings."""
    if isinstance(settings, HubertSettings):
        return Hubert(encoder, settings, units)
    if isinstance(settings, Wav2vecSettings):
        return Wav2vec(encoder, settings)
    return Tera(encoder, settings)
