"""Which positions of a chunk begin a word or a silence, from the words' times.

A position belongs to the stretch that holds its centre, as everywhere (`schemas.token_frames`).
Only times say what is silence here: a word's own, or, where silence is merged into words, the
middles of the pauses between them, at which policies cut, too.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from schemas.records import Chunk, frames
from schemas.words import word_borders
from trainer.latent.patching import STRETCH, Flags, unit_flags

Border = Callable[[int, int, int], int]  # (sample, samples, rate) to positions before it


def unit_borders(
    chunks: Sequence[Chunk], rate: int, positions: Sequence[int], border: Border, merged: bool
) -> tuple[bytes, ...]:
    """Of each chunk of `positions`: a flag a position. All 0 for a chunk without timed words."""
    found = []
    for chunk, count in zip(chunks, positions, strict=True):
        low = frames(chunk.start, rate)
        size = frames(chunk.end, rate) - low
        if not chunk.words or not count:
            found.append(bytes(count))
            continue
        if merged:
            spans = list(itertools.pairwise(word_borders(chunk, rate)))
        else:
            spans = [(frames(word.start, rate), frames(word.end, rate)) for word in chunk.words]
        words = [(border(a - low, size, rate), border(b - low, size, rate)) for a, b in spans]
        found.append(unit_flags(words, count).tobytes())
    return tuple(found)


def part_borders(units: bytes | None, first: int, last: int, count: int) -> Flags:
    """Flags of frames [first, last) of a chunk in a pack, where they take `count` positions: a
    stretch begins with them. `units` None: words are not asked for."""
    if units is None or count != last - first:  # an order of codes with more positions than frames
        flags = np.zeros(count, np.uint8)
    else:
        flags = np.frombuffer(units, np.uint8)[first:last].copy()
    if count:
        flags[0] |= STRETCH
    return flags
