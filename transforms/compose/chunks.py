"""Views of a document's chunks: fine as they are stored, coarse by merging neighbours.

Shards store fine chunks only; a coarse view is a pure function of them, so one curated set serves
both, over the same audio. SpeLangy merges all consecutive segments of a speaker (mean 19.2 s,
fine 5.2 s; methods a.2); the bounds here are ours, because a chunk is also the longest stretch
that a policy shows on one side.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from schemas.records import Chunk, TimesOrigin, Word

CERTAINTY: tuple[TimesOrigin, ...] = ("none", "estimated", "measured")
SLACK = 1e-9  # seconds: far below a frame, above what float addition loses


def groups(chunks: Sequence[Chunk], max_gap: float, max_chunk: float) -> Iterator[range]:
    """The places of the chunks that a coarse view merges, as consecutive ranges that cover all.

    Merged are neighbours of one speaker and one modality with at most `max_gap` seconds of the
    recording left out between them, never across a dropped clip, up to `max_chunk` seconds of
    stored audio. A longer fine chunk stays by itself.
    """
    first = 0
    for place in range(1, len(chunks) + 1):
        if place < len(chunks):
            before, chunk = chunks[place - 1], chunks[place]
            if (
                chunk.speaker == before.speaker
                and chunk.modality == before.modality
                and not chunk.after_drop
                and chunk.gap <= max_gap + SLACK
                and chunk.end - chunks[first].start <= max_chunk + SLACK
            ):
                continue
        yield range(first, place)
        first = place


def coarse(chunks: Sequence[Chunk], max_gap: float, max_chunk: float) -> tuple[Chunk, ...]:
    """The coarse view: see `groups`. A merged chunk bears the first one's clip and gap."""
    return tuple(merge([chunks[i] for i in group]) for group in groups(chunks, max_gap, max_chunk))


def merge(parts: Sequence[Chunk]) -> Chunk:
    """One chunk over neighbours that lie end to end; texts joined by a blank."""
    if len(parts) == 1:
        return parts[0]
    for before, after in itertools.pairwise(parts):
        if before.end != after.start:
            raise ValueError(f"chunks to merge do not touch: {before.end} and {after.start}")
    words: list[Word] = [word for part in parts for word in part.words]
    return dataclasses.replace(
        parts[0],
        end=parts[-1].end,
        text=" ".join(part.text for part in parts if part.text),
        words=tuple(words),
        times=min((part.times for part in parts), key=CERTAINTY.index),
        masked=",".join(part.masked for part in parts if part.masked),
        muted=sum(part.muted for part in parts),
        mutes=(),
        audio=None,  # several stored ranges; a view is for reading, never for writing
    )
