"""Losses by the modality of their target, as sums and counts: every reduction is sum / number.

A target is a position whose predecessor is of the same piece. Its loss is the cross-entropy of its
id, or for a frame of several codebooks the mean of its channels' cross-entropies. Targets are of
these kinds, each summed and counted apart:

- `text`, `speech`: what those words say, and nothing else;
- `marker`: markers, which say where a side begins or the document ends;
- `switch_text`, `switch_speech`: the first target after the side changed inside a piece, which asks
  for more than the next word of the same side;
- `frame`: with several codebooks, that a frame follows at all, by the text head. Off unless asked
  for: only a model that is to end its own speech needs it, and it asks the text head everywhere;
- `contrast`: no target but a pair of text and speech (`trainer.contrastive`), counted beside them.

A caller adds sums and numbers over ranks and steps of accumulation and divides once.
"""

import dataclasses
from typing import Any

import pydantic
import torch
import torch.nn.functional as F
from pydantic import Field
from torch.utils.checkpoint import checkpoint

from trainer.model import Decoder
from trainer.pack import MARKER, SPEECH, TEXT
from trainer.tensors import Inputs

KINDS = ("text", "speech", "marker", "switch_text", "switch_speech", "frame", "contrast")
NONE = -1  # kind of a position that is no target
LOGITS = 1 << 29  # that are held at once: 2 GiB, and as much again for their gradient


class LossWeights(pydantic.BaseModel):
    """What each modality's targets weigh. speech 0 is SpeLangy's understanding mode (section 3 of
    arXiv 2510.20860): speech is heard, and only text is learnt."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    text: float = Field(1.0, ge=0, description="Of text targets.")
    speech: float = Field(1.0, ge=0, description="Of speech targets; 0: text-only loss.")
    marker: float = Field(1.0, ge=0, description="Of markers (ours).")
    switch: float = Field(
        1.0,
        ge=0,
        description="Of the first target after a switch, times the weight of its modality (ours).",
    )
    frame: float | None = Field(
        None,
        ge=0,
        description="With several codebooks: of saying that a frame follows; null: not asked "
        "(ours).",
    )

    @property
    def by_kind(self) -> tuple[float, ...]:
        """In the order of `KINDS`."""
        switches = (self.switch * self.text, self.switch * self.speech)
        return (self.text, self.speech, self.marker, *switches, self.frame or 0.0, 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Sums:
    """Losses of some packs. Add up over the global batch, then divide `total` by `number`."""

    total: torch.Tensor  # scalar, differentiable: the weighted sum over counted targets
    number: torch.Tensor  # int64 scalar: targets whose weight is not 0
    sums: torch.Tensor  # float64 [sets, kinds], detached, unweighted: nats
    numbers: torch.Tensor  # int64 [sets, kinds]


@dataclasses.dataclass(frozen=True, slots=True)
class Scored:
    """Targets one by one, in the order of packs and positions, `frame` after all others."""

    pack: torch.Tensor  # int64 [targets]
    position: torch.Tensor  # int64 [targets]: of the target itself, not of what predicts it
    kind: torch.Tensor  # int64 [targets]: place in KINDS
    loss: torch.Tensor  # float32 [targets], differentiable: nats


def kinds(given: Inputs) -> torch.Tensor:
    """Kind of each position as a target, int64 [packs, length]; `NONE` where it is none."""
    follows = torch.zeros_like(given.piece, dtype=torch.bool)
    follows[:, 1:] = (given.piece[:, 1:] == given.piece[:, :-1]) & (given.piece[:, 1:] >= 0)
    found = torch.full_like(given.modality, NONE)
    for modality, kind in ((TEXT, "text"), (SPEECH, "speech"), (MARKER, "marker")):
        found = torch.where(given.modality == modality, KINDS.index(kind), found)
    for modality, kind in ((TEXT, "switch_text"), (SPEECH, "switch_speech")):
        first = _after_switch(given) & (given.modality == modality)
        found = torch.where(first, KINDS.index(kind), found)
    return torch.where(follows, found, NONE)


def _after_switch(given: Inputs) -> torch.Tensor:
    """Positions of content whose predecessor in the piece's content is of the other side."""
    content = (given.modality == TEXT) | (given.modality == SPEECH)
    number = torch.arange(given.length, device=given.ids.device).expand_as(given.ids)
    # the last content position before each: a running maximum, moved on by one
    last = torch.where(content, number, -1).cummax(dim=1).values
    before = torch.full_like(last, -1)
    before[:, 1:] = last[:, :-1]
    there = before.clamp(min=0)
    same = (before >= 0) & (given.piece.gather(1, there) == given.piece)
    other = given.modality.gather(1, there) != given.modality
    return content & same & other


def score(model: Decoder, hidden: torch.Tensor, given: Inputs, *, frame: bool = False) -> Scored:
    """The loss of every target, [targets]. Logits are made only where there is a target.

    Heads without any target are still asked, for nothing, so that every weight has a gradient on
    every rank.
    """
    kind = kinds(given)
    framed = (given.modality == SPEECH) & (kind != NONE) & (model.code_heads is not None)
    worded = (kind != NONE) & ~framed
    if model.code_heads is None and model.vocabulary.codebooks > 1:  # speech that is only heard
        worded &= given.modality != SPEECH
    pack, position = worded.nonzero(as_tuple=True)
    packs, positions = [pack], [position]
    whats = [kind[pack, position]]
    size, levels = model.vocabulary.size, model.vocabulary.levels
    losses = [_nats(model.text_logits, size, hidden[pack, position - 1], given.ids[pack, position])]
    if model.code_heads is not None:
        pack, position = framed.nonzero(as_tuple=True)
        state = hidden[pack, position - 1]
        each = _nats(model.code_logits, levels, state, given.codes[pack, position])
        packs.append(pack)
        positions.append(position)
        whats.append(kind[pack, position])
        losses.append(_channel_mean(each, given.codes[pack, position], model.vocabulary.pad))
        if frame:
            packs.append(pack)
            positions.append(position)
            whats.append(torch.full_like(pack, KINDS.index("frame")))
            losses.append(_nats(model.text_logits, size, state, given.ids[pack, position]))
    return _in_order(*(torch.cat(parts) for parts in (packs, positions, whats, losses)))


def losses(
    model: Decoder,
    hidden: torch.Tensor,
    given: Inputs,
    sets: torch.Tensor | None = None,
    weights: LossWeights = LossWeights(),  # noqa: B008  frozen
    set_count: int = 1,
) -> Sums:
    """Losses of packs of sets [packs] (indices below `set_count`; None: all of one set).

    `hidden` [packs, length, width] is the model's answer to `given`.
    """
    found = score(model, hidden, given, frame=weights.frame is not None)
    width = len(KINDS)
    by_kind = torch.tensor(weights.by_kind, device=hidden.device)
    weight = by_kind[found.kind]
    own = torch.zeros_like(found.pack) if sets is None else sets[found.pack]
    cell = own * width + found.kind
    sums = torch.zeros(set_count * width, dtype=torch.float64, device=hidden.device)
    sums.index_add_(0, cell, found.loss.detach().double())
    numbers = torch.zeros(set_count * width, dtype=torch.int64, device=hidden.device)
    numbers.index_add_(0, cell, torch.ones_like(cell))
    return Sums(
        total=(found.loss * weight).sum(),
        number=(weight > 0).sum(),
        sums=sums.view(set_count, width),
        numbers=numbers.view(set_count, width),
    )


def _nats(head: Any, levels: int, state: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross-entropy [targets] or [targets, codebooks] of states [targets, width], in float32.

    At most `LOGITS` of them live at once; where there are more, they are made again going backward:
    one product of the head more, for memory that does not grow with the batch.
    """
    books = wanted.shape[1] if wanted.ndim == 2 else 1
    rows = max(LOGITS // (books * levels), 1)

    def some(state: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = head(state).float()
        flat = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), reduction="none")
        return flat.view(wanted.shape)

    if len(state) <= rows:
        return some(state, wanted)
    parts = []
    for first in range(0, len(state), rows):
        part = (state[first : first + rows], wanted[first : first + rows])
        if torch.is_grad_enabled():
            parts.append(checkpoint(some, *part, use_reentrant=False))
        else:
            parts.append(some(*part))
    return torch.cat(parts)


def _channel_mean(each: torch.Tensor, codes: torch.Tensor, pad: int | None) -> torch.Tensor:
    """Mean over a frame's channels [targets, codebooks], without those that only fill it up."""
    if pad is None:
        return each.mean(dim=-1)
    real = (codes != pad).to(each.dtype)
    return (each * real).sum(dim=-1) / real.sum(dim=-1)


def _in_order(
    pack: torch.Tensor, position: torch.Tensor, kind: torch.Tensor, loss: torch.Tensor
) -> Scored:
    """By pack and position, so that sums do not depend on which head was asked first."""
    extra = kind == KINDS.index("frame")
    span = int(1 + position.max()) if len(position) else 1
    rank = (extra * (1 + pack.max()) + pack) * span + position if len(pack) else pack
    order = rank.argsort(stable=True)
    return Scored(pack[order], position[order], kind[order], loss[order])
