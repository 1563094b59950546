"""From cut packs to the indices that the three modules work with.

Every text token, marker and patch is one *global position*, in the order of the sequence. A
position of speech belongs to the global position of its patch. Speech is also laid side by side
without what stands between (*slots*), a row for each pack that has any, so that encoder and
decoder pay for speech alone.
"""

import dataclasses

import numpy as np
import torch

from trainer.latent.patching import BEGINS, WHOLE, static, stretches
from trainer.pack import PADDING, SPEECH
from trainer.tensors import Inputs

APART = -2  # piece of a slot that holds nothing


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Indices of a batch; all int64 but masks. `speech` positions in all, in `patches` patches."""

    owner: torch.Tensor  # [packs, length]: the global position of a position
    plain: torch.Tensor  # bool [packs, length]: text, markers
    spoken: torch.Tensor  # bool [packs, length]
    globals: int  # global positions of the longest pack, rounded up
    global_piece: torch.Tensor  # [packs, globals]; -1: nothing there
    global_place: torch.Tensor  # [packs, globals]: inside its piece, from 0
    heard: torch.Tensor  # [rows]: packs that have speech, or the first where none has
    row: torch.Tensor  # [speech]: pack of each position of speech, in order
    line: torch.Tensor  # [speech]: its place in `heard`
    column: torch.Tensor  # [speech]: its position
    slot: torch.Tensor  # [speech]: its slot
    slots: int  # of the pack with most speech
    slot_piece: torch.Tensor  # [rows, slots]; `APART`: nothing there
    slot_place: torch.Tensor  # [rows, slots]: its place in the piece
    reach: torch.Tensor  # [rows, slots]: the last global position that it may look at
    patch: torch.Tensor  # [speech]: number of its patch over all packs
    patch_row: torch.Tensor  # [patches]: pack of each patch
    patch_owner: torch.Tensor  # [patches]: its global position

    @property
    def speech(self) -> int:
        return len(self.row)

    @property
    def patches(self) -> int:
        return len(self.patch_row)


def static_flags(given: Inputs, size: int) -> torch.Tensor:
    """The flags of static patches, [packs, length]: how speech is cut where nobody cut it."""
    modality, piece = given.modality.cpu().numpy(), given.piece.cpu().numpy()
    borders = np.zeros(modality.shape, np.uint8)
    if given.borders is not None:
        borders = given.borders.cpu().numpy().astype(np.uint8)
    rows = []
    for own in zip(modality, piece, borders, strict=True):
        rows.append(static(own[0] == SPEECH, stretches(*own), size))
    return torch.from_numpy(np.stack(rows).astype(np.int64)).to(given.ids.device)


def layout(given: Inputs, size: int, multiple: int = 1) -> Layout:
    """The layout of a batch. `multiple`: what the number of global positions is rounded up to, and
    by more where there are many: at most eight lengths between a number and its double."""
    flags = static_flags(given, size) if given.patch is None else given.patch
    spoken = given.modality == SPEECH
    plain = ~spoken & (given.modality != PADDING)
    opens = plain | (spoken & (flags & BEGINS > 0))
    owner = opens.long().cumsum(1) - 1
    count = rounded(max(int(opens.sum(1).max()), 1), multiple)
    piece, place = _of_globals(given, opens, owner, count)
    row, column = spoken.nonzero(as_tuple=True)
    rank = spoken.long().cumsum(1) - 1
    slots = max(int(rank.max()) + 1, 1)
    slot = rank[row, column]
    some = spoken.any(1)
    some[0] |= ~some.any()
    heard = some.nonzero()[:, 0]
    line = (some.long().cumsum(0) - 1)[row]
    slot_piece = torch.full((len(heard), slots), APART, device=row.device)
    slot_piece[line, slot] = given.piece[row, column]
    slot_place = torch.zeros_like(slot_piece)
    slot_place[line, slot] = given.place[row, column]
    # a patch may be looked at from where it is known to be whole; before, only what precedes it
    known = (flags & WHOLE > 0)[row, column].long()
    reach = torch.zeros_like(slot_piece)
    reach[line, slot] = (owner[row, column] - 1 + known).clamp(min=0)
    begins = (flags & BEGINS > 0)[row, column]
    return Layout(
        owner=owner.clamp(min=0),
        plain=plain,
        spoken=spoken,
        globals=count,
        global_piece=piece,
        global_place=place,
        heard=heard,
        row=row,
        line=line,
        column=column,
        slot=slot,
        slots=slots,
        slot_piece=slot_piece,
        slot_place=slot_place,
        reach=reach,
        patch=begins.long().cumsum(0) - 1,
        patch_row=row[begins],
        patch_owner=owner[row, column][begins],
    )


def rounded(count: int, multiple: int) -> int:
    """`count` or more, so that compiled kernels see few lengths; itself for a multiple of 1."""
    if multiple == 1:
        return count
    step = max(multiple, 1 << max(count.bit_length() - 4, 0))
    return -(-count // step) * step


def _of_globals(
    given: Inputs, opens: torch.Tensor, owner: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Piece and place of every global position."""
    row, column = opens.nonzero(as_tuple=True)
    piece = torch.full((given.packs, count), -1, device=row.device)
    piece[row, owner[row, column]] = given.piece[row, column]
    number = torch.arange(count, device=row.device).expand_as(piece)
    first = torch.ones_like(piece, dtype=torch.bool)
    first[:, 1:] = piece[:, 1:] != piece[:, :-1]
    return piece, number - torch.where(first, number, 0).cummax(dim=1).values
