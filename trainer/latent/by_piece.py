"""Attention to global positions piece by piece: on a CPU, where a call is cheap.

A dense mask costs slots x globals for each pack, whatever the pieces; most of it is other pieces.
"""

import dataclasses

import torch
import torch.nn.functional as F

from trainer.attention import runs
from trainer.latent.layout import Layout


@dataclasses.dataclass(frozen=True, slots=True)
class Meeting:
    """Runs of slots and of global positions over all packs that have speech, and who meets whom."""

    slots: list[int]  # lengths of runs of slots
    globals: list[int]  # of runs of global positions
    partner: list[int]  # by run of slots: the run of globals of its piece; -1: none
    masks: list[torch.Tensor]  # by run of slots: bool [slots, globals]; empty for none


def meeting(laid: Layout) -> Meeting:
    """Who meets whom, from a layout on a CPU."""
    there = laid.global_piece[laid.heard]
    slot_runs, global_runs = runs(laid.slot_piece), runs(there)
    flat, begins, at = there.flatten(), {}, 0
    for number, length in enumerate(global_runs):
        begins[at // laid.globals, int(flat[at])] = (number, at % laid.globals)
        at += length
    partner, masks, at = [], [], 0
    pieces, reach = laid.slot_piece.flatten(), laid.reach.flatten()
    for length in slot_runs:
        line, piece = at // laid.slots, int(pieces[at])
        number, begin = begins.get((line, piece), (-1, 0)) if piece >= 0 else (-1, 0)
        partner.append(number)
        count = global_runs[number] if number >= 0 else 0
        places = torch.arange(begin, begin + count)
        masks.append(places <= reach[at : at + length, None])
        at += length
    return Meeting(slot_runs, global_runs, partner, masks)


def heard(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, met: Meeting
) -> torch.Tensor:
    """Attention of queries [rows, heads, slots, head] to keys [rows, heads, globals, head]. Split
    and joined once, for slices would each fill a gradient of the whole."""
    rows, heads, slots, head = query.shape

    def split(x: torch.Tensor, lengths: list[int]) -> tuple[torch.Tensor, ...]:
        return torch.split_with_sizes(x.transpose(0, 1).flatten(1, 2)[None], lengths, dim=2)

    queries = split(query, met.slots)
    keys, values = split(key, met.globals), split(value, met.globals)
    found = []
    for own, number, mask in zip(queries, met.partner, met.masks, strict=True):
        some = mask.any(-1, keepdim=True)
        if number < 0 or not bool(some.any()):
            found.append(torch.zeros_like(own))
            continue
        each = F.scaled_dot_product_attention(
            own, keys[number], values[number], attn_mask=mask | ~some
        )
        found.append(each if bool(some.all()) else torch.where(some, each, 0.0))
    return torch.cat(found, dim=2).view(heads, rows, slots, head).transpose(0, 1)
