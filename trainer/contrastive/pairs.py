"""Packs that show both sides of each chunk, cut anew so that each side stands alone.

A pack of `policy: asr` reads `document speech a1 text t1 speech a2 text t2 ... end`. Each run of a
side, begun by its marker, becomes a piece of its own, and places begin anew in it: one pass over
the pack then gives what the model says of each text alone and of each speech alone, for the price
of one pass over as many positions. Nothing is moved or read again, so pairs come in the order of
the packs, and a resumed run sees the same.

A chunk without words or without sound has no run of that side: its other side joins its
neighbour's. Chunks of a curated set have both.
"""

import dataclasses

import torch

from trainer.pack import MARKER, SPEECH, TEXT
from trainer.tensors import Inputs


@dataclasses.dataclass(frozen=True, slots=True)
class Spans:
    """One side of every pair: positions [first, last) of flattened packs, int64 [pairs]."""

    first: torch.Tensor
    last: torch.Tensor

    def __len__(self) -> int:
        return len(self.first)

    @property
    def sizes(self) -> torch.Tensor:
        return self.last - self.first


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """Packs cut anew, and where the two sides of each pair lie in them."""

    given: Inputs
    text: Spans
    speech: Spans


def pairs(given: Inputs, speech_first: torch.Tensor, shift: int = 0) -> Pairs:
    """The pairs of packs.

    `speech_first` [packs]: whether a chunk's speech stands before its text (`asr`) or after it
    (`tts`). `shift` is added to every place.
    """
    starts, ends, side, row = runs(given)
    content = (side == TEXT) | (side == SPEECH)
    first, last, side, row = starts[content], ends[content], side[content], row[content]
    piece = given.piece.flatten()
    follows = torch.zeros_like(first, dtype=torch.bool)
    if len(first) > 1:
        alike = (row[1:] == row[:-1]) & (piece[first[1:]] == piece[first[:-1]])
        # between two sides of one chunk stands the second one's marker, and nothing else
        follows[:-1] = alike & (first[1:] == last[:-1] + 1) & (side[1:] != side[:-1])
    begins = torch.where(speech_first[row], side == SPEECH, side == TEXT)
    lead = (follows & begins).nonzero()[:, 0]
    asr = speech_first[row[lead]]
    text, speech = torch.where(asr, lead + 1, lead), torch.where(asr, lead, lead + 1)
    return Pairs(
        _alone(given, first, last, shift),
        Spans(first[text], last[text]),
        Spans(first[speech], last[speech]),
    )


def runs(given: Inputs) -> tuple[torch.Tensor, ...]:
    """Runs of one modality inside a piece: [first, last) of flattened packs, modality and pack."""
    new = torch.ones_like(given.piece, dtype=torch.bool)
    new[:, 1:] = (given.piece[:, 1:] != given.piece[:, :-1]) | (
        given.modality[:, 1:] != given.modality[:, :-1]
    )
    starts = new.flatten().nonzero()[:, 0]
    ends = torch.cat([starts[1:], starts.new_tensor([new.numel()])])[: len(starts)]
    return starts, ends, given.modality.flatten()[starts], starts // given.length


def _alone(given: Inputs, first: torch.Tensor, last: torch.Tensor, shift: int) -> Inputs:
    """The packs with every run of content, and the marker before it, as a piece of its own."""
    flat = given.modality.flatten()
    before = (first - 1).clamp(min=0)
    led = (first % given.length > 0) & (flat[before] == MARKER)
    begin = torch.where(led, before, first)
    new = torch.zeros(flat.numel(), dtype=torch.bool, device=flat.device)
    new[begin] = True
    new[last[last < flat.numel()]] = True
    new = new.view_as(given.piece)
    new[:, 0] = True
    number = new.flatten().cumsum(0).view_as(given.piece)
    at = torch.arange(given.length, device=flat.device).expand_as(given.piece)
    place = at - torch.where(new, at, 0).cummax(dim=1).values
    padding = given.piece < 0
    return dataclasses.replace(
        given,
        piece=torch.where(padding, given.piece, number),
        place=torch.where(padding, given.place, place + shift),
    )
