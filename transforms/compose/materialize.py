"""Fix an interleaving in the shard: the audio of what is shown as text is left out.

Half the storage, for one policy and one draw: the price is that no other policy can be read from
the shard. Fine chunks stay fine chunks (a run of coarse text is several text chunks), so nothing
but the choice of sides is lost.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence

from schemas.records import Chunk, Document, frames, muted_seconds
from transforms.compose.policies import Piece, Policy, pieces

Groups = Sequence[range]


def materialized(
    document: Document, policy: Policy, groups: Groups, view: Sequence[Chunk], rng: random.Random
) -> Document:
    """`document` with the interleaving that `policy` draws over `view`, fixed.

    `groups` are the fine chunks behind each chunk of the view. A word-level policy is drawn over
    the fine chunks, whose words are the view's. A chunk that is shown as text has no audio and
    starts and ends at its place on the shorter time line; one that is shown as speech keeps its
    text for reference. Gaps still give each chunk's place in the recording, relative to the first.
    Raises `PolicyError` as `pieces` does.
    """
    if policy.by_words:
        dealt = list(pieces(document.chunks, policy, rng, document.rate))
    else:
        dealt = [
            dataclasses.replace(piece, chunk=place)
            for piece in pieces(view, policy, rng, document.rate)
            for place in groups[piece.chunk]
        ]
    return dataclasses.replace(document, chunks=tuple(_laid(document, dealt)))


def _laid(document: Document, dealt: Sequence[Piece]) -> Iterator[Chunk]:
    rate = document.rate
    origin = _origins(document)
    at = 0  # frames of the new time line
    end: int | None = None  # frames of the recording, from the start of the first chunk
    for piece in dealt:
        chunk = document.chunks[piece.chunk]
        cut = _cut(chunk, piece, rate)
        start = frames(cut.start, rate)
        length = frames(cut.end, rate) - start if piece.side == "speech" else 0
        place = origin[piece.chunk] + start - frames(chunk.start, rate)
        # only the first piece of a chunk stands after what was dropped before it
        first_of_chunk = start == frames(chunk.start, rate)
        yield dataclasses.replace(
            cut,
            start=at / rate,
            end=(at + length) / rate,
            words=tuple(
                dataclasses.replace(
                    word,
                    start=(at + frames(word.start, rate) - start) / rate,
                    end=(at + frames(word.end, rate) - start) / rate,
                )
                for word in cut.words
            ),
            gap=0.0 if end is None else (place - end) / rate,
            after_drop=chunk.after_drop and first_of_chunk,
            modality=piece.side,
        )
        at, end = at + length, place + length


def _origins(document: Document) -> list[int]:
    """Where each chunk starts in the recording, in frames from the start of the first."""
    found: list[int] = []
    end = 0
    for chunk in document.chunks:
        first, last = frames(chunk.start, document.rate), frames(chunk.end, document.rate)
        found.append(end + (frames(chunk.gap, document.rate) if found else 0))
        end = found[-1] + last - first
    return found


def _cut(chunk: Chunk, piece: Piece, rate: int) -> Chunk:
    """One side of a chunk, or of a run of its words, still on the old time line."""
    if piece.words is not None:
        low, high = frames(piece.start, rate), frames(piece.end, rate)
        first = frames(chunk.start, rate)
        chunk = dataclasses.replace(
            chunk,
            text=chunk.text[slice(*piece.characters)].strip(),
            start=piece.start,
            end=piece.end,
            audio=chunk.audio.cut(low - first, high - first) if chunk.audio else None,
            words=tuple(
                dataclasses.replace(
                    word,
                    start=min(max(word.start, piece.start), piece.end),
                    end=min(max(word.end, piece.start), piece.end),
                )
                for word in chunk.words[slice(*piece.words)]
            ),
        )
    if piece.side == "text":
        return dataclasses.replace(chunk, audio=None, words=(), times="none", muted=0.0, mutes=())
    return dataclasses.replace(chunk, muted=muted_seconds(chunk.audio, chunk.mutes))
