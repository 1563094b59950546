"""Audio permuted across items: a control in which speech says nothing of the text around it.

The speech of a batch is taken out chunk by chunk, shuffled, and put back into the same positions.
Everything else stays as it was: the text, which positions are speech, and the speech itself, frame
for frame. A model that answers better than by chance after that has read its answer elsewhere.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.ids import rng
from trainer.pack import SPEECH, Pack


def permuted(packs: Sequence[Pack], seed: int, step: int) -> list[Pack]:
    """The packs of a step with their runs of speech in another order; a function of seed and step.

    Runs are as long as they are, so one may end inside the next position's run; no frame is lost
    or made. A single run stays where it is.
    """
    if not packs:
        return []
    spoken = [pack.modality == SPEECH for pack in packs]
    runs = [slice(a, b) for a, b in _runs(packs, spoken)]
    ids = np.concatenate([pack.ids[mask] for pack, mask in zip(packs, spoken, strict=True)])
    codes = np.concatenate([pack.codes[mask] for pack, mask in zip(packs, spoken, strict=True)])
    # where words begin goes with the speech; nothing where nobody cuts patches
    flags = [np.zeros(len(p.ids), np.uint8) if p.borders is None else p.borders for p in packs]
    borders = np.concatenate([own[mask] for own, mask in zip(flags, spoken, strict=True)])
    rng(seed, "permute_audio", str(step)).shuffle(runs)
    if runs:
        ids = np.concatenate([ids[run] for run in runs])
        codes = np.concatenate([codes[run] for run in runs])
        borders = np.concatenate([borders[run] for run in runs])
    found, at = [], 0
    for pack, mask, own_borders in zip(packs, spoken, flags, strict=True):
        count = int(mask.sum())
        own_ids, own_codes = pack.ids.copy(), pack.codes.copy()
        own_ids[mask], own_codes[mask] = ids[at : at + count], codes[at : at + count]
        if pack.borders is not None:
            own_borders = own_borders.copy()
            own_borders[mask] = borders[at : at + count]
            pack = dataclasses.replace(pack, borders=own_borders)
        found.append(dataclasses.replace(pack, ids=own_ids, codes=own_codes))
        at += count
    return found


def _runs(packs: Sequence[Pack], spoken: Sequence[npt.NDArray[np.bool_]]) -> list[tuple[int, int]]:
    """Runs of speech between other positions, as ranges of the batch's speech positions."""
    found, at = [], 0
    for pack, mask in zip(packs, spoken, strict=True):
        places = np.flatnonzero(mask)
        breaks = np.flatnonzero(
            (np.diff(places) > 1) | (pack.piece[places[1:]] != pack.piece[places[:-1]])
        )
        edges = [0, *(breaks + 1).tolist(), len(places)]
        found += [(at + a, at + b) for a, b in itertools.pairwise(edges) if a < b]
        at += len(places)
    return found
