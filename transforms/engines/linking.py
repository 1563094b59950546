"""Speakers of one window are speakers of another: who is who across a long recording.

A model that hears a long recording window by window names the speakers of each window anew. Three
kinds of evidence join the names, strongest first:

1. windows overlap, so neighbours label the same frames: two names that mean nearly the same
   frames there are one speaker;
2. two speakers of one window were told apart by the model that heard both: they are never joined,
   neither directly nor through others;
3. mean voice embeddings, most similar pair first (average linkage, weighted by seconds of
   speech), down to a threshold.

The threshold is a cosine between *means* over a window, where the scatter of single embeddings has
averaged out; it depends on the embedding, not on the recording. An embedding that is missing, zero
or not a number is no evidence: such a speaker is linked by the overlap or stays alone.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

# Seconds of the overlap that two names must share, and the share of what either says there. Less
# is weaker than the voices: at 2 s and a half, one word of a speaker that a window had split in two
# gave the whole rest of the recording to the wrong half (5 % of it; benchmarks/diarization.py).
LEAST_SHARED = 5.0
_MOST_OF_BOTH = 0.8


@dataclasses.dataclass(frozen=True)
class Window:
    """The speakers of one window, k of them."""

    embeddings: Float64  # mean embedding of each, [k, d]; any length, NaN where there is none
    seconds: Float64  # of speech of each, [k]


def linked(
    windows: Sequence[Window],
    shared: Sequence[Float64],
    *,
    similarity: float,
    most: int | None = None,
) -> list[list[int]]:
    """For each window the speaker of the recording, from 0, that each of its speakers is.

    `shared[i]`: seconds of the overlap of windows i and i+1 in which speaker a of the one and
    speaker b of the other are named, [k_i, k_i+1]. `similarity`: cosine of two means from which
    they are one speaker. `most`: the most similar are joined until so many are left, even if a
    window told them apart. Numbers follow first appearance.
    """
    nodes = [(w, s) for w, window in enumerate(windows) for s in range(len(window.seconds))]
    if not nodes:
        return [[] for _ in windows]
    place = {node: index for index, node in enumerate(nodes)}
    parts = [[index] for index in range(len(nodes))]  # of each group, its first member first
    totals = np.stack([_weighted(windows[w], s) for w, s in nodes])
    held = np.zeros((len(nodes), len(windows)), dtype=np.int64)  # group x window
    held[range(len(nodes)), [w for w, _ in nodes]] = 1

    def join(first: int, second: int) -> None:
        nonlocal totals, held
        first, second = min(first, second), max(first, second)
        parts[first] += parts.pop(second)
        totals[first] += totals[second]
        held[first] += held[second]
        totals, held = np.delete(totals, second, axis=0), np.delete(held, second, axis=0)

    for _, left, right in sorted(_matches(shared)):
        first, second = (
            next(i for i, part in enumerate(parts) if place[node] in part) for node in (left, right)
        )
        if first != second and not held[first] @ held[second]:
            join(first, second)

    while len(parts) > 1:
        lengths = np.linalg.norm(totals, axis=1)
        unit = totals / np.where(lengths > 0, lengths, 1.0)[:, None]
        likeness = unit @ unit.T
        likeness[np.tril_indices(len(parts))] = -np.inf
        allowed = np.where(held @ held.T > 0, -np.inf, likeness)
        crowded = most is not None and len(parts) > most
        if crowded and not np.isfinite(allowed).any():
            allowed = likeness
        first, second = divmod(int(np.argmax(allowed)), len(parts))
        if not crowded and not allowed[first, second] >= similarity:
            break
        join(first, second)

    group = {index: part[0] for part in ([min(part), *part] for part in parts) for index in part}
    seen = {
        key: number for number, key in enumerate(dict.fromkeys(group[i] for i in sorted(group)))
    }
    answers = iter(seen[group[index]] for index in range(len(nodes)))
    return [[next(answers) for _ in window.seconds] for window in windows]


def _matches(
    shared: Sequence[Float64],
) -> list[tuple[float, tuple[int, int], tuple[int, int]]]:
    """Pairs of names of neighbouring windows that mean one speaker, most shared time first."""
    found = []
    for index, seconds in enumerate(shared):
        for a, b in np.argwhere(seconds >= LEAST_SHARED):
            own = float(seconds[a, b])
            rivals = max(float(seconds[a].sum()), float(seconds[:, b].sum()))
            if own > _MOST_OF_BOTH * rivals:
                found.append((-own, (index, int(a)), (index + 1, int(b))))
    return found


def _weighted(window: Window, speaker: int) -> Float64:
    """The speaker's mean embedding as a vector as long as the seconds it speaks; zero: unknown."""
    vector = np.asarray(window.embeddings[speaker], dtype=np.float64)
    length = float(np.linalg.norm(vector)) if np.isfinite(vector).all() else 0.0
    if length == 0.0:
        return np.zeros_like(vector)
    return vector * (float(window.seconds[speaker]) / length)
