"""Turns in frames: what every diarizer does with the stretches it was given, and with its answer.

Pure arithmetic on whole frames, so that no engine can lose one: a stretch is covered by runs of
labels, short runs go to their longer neighbour, and labels become names by first appearance.
"""

import dataclasses
from collections.abc import Sequence

from schemas.records import Turn

Stretches = Sequence[tuple[int, int]]  # frames [start, end), ascending, disjoint, not empty
Run = tuple[int, int, int]  # (label, first frame, frame after the last)
NOBODY = ""  # the speaker of a turn in which the engine heard no voice; its label is `NO_LABEL`
NO_LABEL = -1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Spoken(Turn):
    """A turn by an engine that hears several voices at once."""

    # Frames [start, end) of the channel, ascending, disjoint, inside the turn, in which others
    # speak too.
    overlaps: tuple[tuple[int, int], ...] = ()


def checked(stretches: Stretches) -> Stretches:
    """The stretches. Raises `ValueError` where they are empty, overlap or are out of order."""
    reached = 0
    for start, end in stretches:
        if start < reached or end <= start:
            raise ValueError(f"stretch {start}..{end} is empty or begins before {reached}")
        reached = end
    return stretches


def merged(runs: Sequence[Run]) -> list[Run]:
    """Neighbours of one label as one; empty ones left out."""
    result: list[Run] = []
    for label, start, end in runs:
        if result and result[-1][0] == label and result[-1][2] == start:
            result[-1] = (label, result[-1][1], end)
        elif end > start:
            result.append((label, start, end))
    return result


def without_short(runs: Sequence[Run], least: int) -> list[Run]:
    """Touching runs of one label each, none shorter than `least` frames unless it is alone.

    The shortest run goes first, to its longer neighbour (the earlier of two equal ones).
    """
    left = merged(runs)
    while len(left) > 1:
        index = min(range(len(left)), key=lambda i: left[i][2] - left[i][1])
        _, start, end = left[index]
        if end - start >= least:
            break
        sides = [i for i in (index - 1, index + 1) if 0 <= i < len(left)]
        host = max(sides, key=lambda i: left[i][2] - left[i][1])
        left[index] = (left[host][0], start, end)
        left = merged(left)
    return left


def names(labels: Sequence[int]) -> dict[int, str]:
    """spk0, spk1, ... in order of first appearance; `NO_LABEL` is nobody."""
    found = [label for label in dict.fromkeys(labels) if label != NO_LABEL]
    return {NO_LABEL: NOBODY} | {label: f"spk{place}" for place, label in enumerate(found)}
