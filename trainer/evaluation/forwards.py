"""Many short pieces in one forward: packed into rows that the document mask keeps apart.

An option is a few dozen positions; alone in a row it would leave the processor idle. Pieces of one
item stay in one forward (a divergence needs two answers side by side), rows are filled first fit,
and only the scores come out, so what shares a row is a matter of speed alone: float32 scores move
by less than 1e-5.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from trainer.evaluation.laying import Laid
from trainer.latent.patching import STRETCH
from trainer.pack import PADDING, Batch, Pack, Vocabulary

STEP = 64  # rows are multiples of this long, so that shapes repeat


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    """Where a piece lies in a forward."""

    row: int
    begin: int


@dataclasses.dataclass(frozen=True, slots=True)
class Forward:
    """Some items' pieces as a batch. `bundles`: item number and its pieces with their spots."""

    batch: Batch
    bundles: tuple[tuple[int, tuple[tuple[Laid, Spot], ...]], ...]


def forwards(
    bundles: Iterable[tuple[int, Sequence[Laid]]], words: Vocabulary, budget: int, context: int
) -> Iterator[Forward]:
    """Bundles of pieces of at most `context` positions, about `budget` positions a forward.

    Order in, order out; a bundle is never split.
    """
    held: list[tuple[int, Sequence[Laid]]] = []
    positions = 0
    for number, pieces in bundles:
        own = sum(map(len, pieces))
        if held and positions + own > budget:
            yield _forward(held, words, context)
            held, positions = [], 0
        held.append((number, pieces))
        positions += own
    if held:
        yield _forward(held, words, context)


def _forward(
    held: Sequence[tuple[int, Sequence[Laid]]], words: Vocabulary, context: int
) -> Forward:
    pieces = [piece for _, own in held for piece in own]
    longest = max(map(len, pieces), default=1)
    if longest > context:
        raise ValueError(f"a piece of {longest} positions; the context is {context}")
    length = max(min(-(-max(longest, 4 * STEP) // STEP) * STEP, context), longest)
    spots = _fit([len(piece) for piece in pieces], length)
    rows = 1 + max((spot.row for spot in spots), default=0)
    batch = Batch(
        step=0, packs=tuple(_pack(row, pieces, spots, words, length) for row in range(rows))
    )
    found, at = [], 0
    for number, own in held:
        both = zip(own, spots[at : at + len(own)], strict=True)
        found.append((number, tuple(both)))
        at += len(own)
    return Forward(batch=batch, bundles=tuple(found))


def _fit(sizes: Sequence[int], length: int) -> list[Spot]:
    """First fit, longest first; equal lengths in their order."""
    used: list[int] = []
    spots: list[Spot | None] = [None] * len(sizes)
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        size = sizes[place]
        row = next((row for row, full in enumerate(used) if full + size <= length), len(used))
        if row == len(used):
            used.append(0)
        spots[place] = Spot(row, used[row])
        used[row] += size
    return [spot for spot in spots if spot is not None]


def _pack(
    row: int, pieces: Sequence[Laid], spots: Sequence[Spot], words: Vocabulary, length: int
) -> Pack:
    ids = np.zeros(length, np.int32)
    codes = np.zeros((length, words.codebooks), np.uint16)
    modality = np.full(length, PADDING, np.int8)
    piece = np.full(length, -1, np.int32)
    place = np.zeros(length, np.int32)
    borders = np.zeros(length, np.uint8)
    own = _of_row(row, pieces, spots)
    for number, (begin, laid) in enumerate(own):
        span = slice(begin, begin + len(laid))
        ids[span], codes[span], modality[span] = laid.ids, laid.codes, laid.modality
        piece[span], place[span] = number, np.arange(len(laid))
        if laid.begins is not None:
            borders[span] = np.where(laid.begins, STRETCH, 0)
    return Pack(
        set_name="evaluation",
        number=row,
        ids=ids,
        codes=codes,
        modality=modality,
        piece=piece,
        place=place,
        documents=tuple(str(number) for number in range(len(own))),
        chunks=((0, 1),) * len(own),
        seconds=0.0,
        words=0,
        withheld=0,
        borders=borders,
    )


def _of_row(row: int, pieces: Sequence[Laid], spots: Sequence[Spot]) -> list[tuple[int, Laid]]:
    own = [(spot.begin, laid) for laid, spot in zip(pieces, spots, strict=True) if spot.row == row]
    return sorted(own, key=lambda one: one[0])
