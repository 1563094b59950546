"""Where patches begin: pure functions of a pack's arrays, of settings, step and seed.

A *stretch* is speech that no patch may leave: a chunk, or the part of one that a policy deals out,
inside one piece. Static patches hold `size` positions, counted from the stretch's beginning; the
last one may be ragged. Aligned patches hold a word or a silence (LST, arXiv 2510.06195, section 3).

Beside where a patch begins stands where it is *known to be whole* without a look at what follows.
A static patch is known to be whole at its position number `size`, and a ragged one never: that the
speech ends there is what comes next. An aligned patch never is, for its border is a word's end. The
decoder may look at a patch from the position on where it is known to be whole, so that no logit
depends on what follows, whatever is cut anew there. All functions work on int and bool arrays
[length], and cost a few passes over them.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from schemas.ids import rng
from trainer.latent.settings import PatchSettings
from trainer.pack import SPEECH, Batch, Pack

STRETCH, UNIT = 1, 2  # flags of borders: a stretch begins here; a word or a silence does
BEGINS, WHOLE = 1, 2  # flags of a cut: a patch begins here; is known to be whole here

Flags = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def patches_of(positions: int, size: int) -> int:
    """Static patches of a stretch."""
    return -(-positions // size)


def unit_flags(words: list[tuple[int, int]], count: int) -> Flags:
    """Borders [count] of a chunk whose words hold the half-open ranges `words`: `UNIT` where a word
    begins and where a maximal run outside words does.

    Words that begin before the last one ends are cut short; one without a position has no patch.
    Without words there is no unit: the caller's stretch is then cut statically.
    """
    flags = np.zeros(count, np.uint8)
    at = 0
    for first, last in words:
        first, last = max(first, at), min(last, count)
        if first >= last:
            continue
        if first > at:
            flags[at] = UNIT
        flags[first] = UNIT
        at = last
    if 0 < at < count:
        flags[at] = UNIT
    return flags


def stretches(
    modality: npt.NDArray[np.integer], piece: npt.NDArray[np.integer], borders: Flags
) -> Mask:
    """Where a stretch begins: the first of a run of speech in a piece, or flagged `STRETCH`."""
    spoken = modality == SPEECH
    before = np.zeros_like(spoken)
    before[1:] = spoken[:-1] & (piece[1:] == piece[:-1])
    found: Mask = spoken & (~before | (borders & STRETCH > 0))
    return found


def _inside(first: Mask) -> npt.NDArray[np.int64]:
    """Places counted from the last of `first` at or before each position."""
    places = np.arange(len(first))
    found: npt.NDArray[np.int64] = places - np.maximum.accumulate(np.where(first, places, 0))
    return found


def static(spoken: Mask, first: Mask, size: int) -> Flags:
    """Patches of `size` positions from each stretch's beginning `first`, as flags of a cut."""
    inside = _inside(first) % size
    found: Flags = np.where(inside == 0, BEGINS, 0).astype(np.uint8)
    found |= np.where(inside == size - 1, WHOLE, 0).astype(np.uint8)
    found[~spoken] = 0
    return found


def aligned(spoken: Mask, first: Mask, borders: Flags, size: int) -> Flags:
    """A patch for each unit. Stretches without any unit (no word was timed) are cut statically."""
    number = np.cumsum(first)
    has = np.zeros(int(number[-1]) + 1 if len(number) else 1, np.bool_)
    unit = spoken & (borders & UNIT > 0)
    has[number[unit]] = True
    found: Flags = np.where(first | unit, BEGINS, 0).astype(np.uint8)
    found = np.where(has[number], found, static(spoken, first, size)).astype(np.uint8)
    found[~spoken] = 0
    return found


def aligned_share(settings: PatchSettings, step: int, steps: int) -> float:
    """The probability that a piece is aligned at update `step` of `steps` (from 0).

    Curriculum: 1 up to tau1, 0 from tau2 on, a line between them (LST, section 3.2).
    """
    if settings.cut == "curriculum":
        low, high = settings.begin * steps, settings.end * steps
        if step < low:
            return 1.0
        return 0.0 if step >= high else 1 - (step - low) / (high - low)
    return {"static": 0.0, "aligned": 1.0, "mixed": settings.share}[settings.cut]


def which_aligned(pack: Pack, settings: PatchSettings, seed: int, step: int, steps: int) -> Mask:
    """By piece: whether it is cut by words. A function of seed, step and the pack's number."""
    share = aligned_share(settings, step, steps)
    count = len(pack.documents)
    if share in (0.0, 1.0):
        return np.full(count, share == 1.0)
    chance = rng(seed, "patches", str(pack.number))
    return np.array([chance.random() < share for _ in range(count)], np.bool_)


def cut_batch(batch: Batch, settings: PatchSettings, seed: int, step: int, steps: int) -> Batch:
    """The packs of update `step` of `steps`, cut into patches."""
    packs = [
        dataclasses.replace(pack, patch=cut(pack, settings, seed, step, steps))
        for pack in batch.packs
    ]
    return dataclasses.replace(batch, packs=tuple(packs))


def cut(pack: Pack, settings: PatchSettings, seed: int = 0, step: int = 0, steps: int = 1) -> Flags:
    """Flags [length] of a pack's patches at an update. Raises `ValueError` for a pack without
    borders where words are asked for."""
    spoken = pack.modality == SPEECH
    borders = np.zeros(len(spoken), np.uint8) if pack.borders is None else pack.borders
    first = stretches(pack.modality, pack.piece, borders)
    found = static(spoken, first, settings.size)
    words = which_aligned(pack, settings, seed, step, steps)
    if not words.any():
        return found
    if pack.borders is None:
        raise ValueError(f"pack {pack.number}: no borders, so it cannot be cut by words")
    chosen = np.append(words, False)[pack.piece]  # padding is piece -1
    other = aligned(spoken, first, borders, settings.size)
    return np.where(chosen, other, found).astype(np.uint8)
