"""What a reader is shown of a document: its view, and one draw of the policy, in positions.

A draw is a pure function of (seed, epoch, document, first chunk): it is made once to plan packs and
again to fill one, and nothing of it is stored. Lengths come from texts and times alone, so planning
decodes no audio.
"""

import dataclasses
import itertools
import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.ids import rng
from schemas.records import Chunk, Document, frames
from trainer.data_settings import DataError
from trainer.encoding import Positions, TextTokenizer
from trainer.shard_sets import View
from transforms.compose.chunks import groups, merge
from transforms.compose.policies import (
    Asr,
    LstSpans,
    Piece,
    PolicyError,
    Side,
    Stochastic,
    Tts,
    WordSpans,
    pieces,
    stored,
)

EDGES = 2  # markers of a piece: "document" before it, "end" after it
AHEAD = 1.25  # of the chunks that fill a pack on average are drawn before more are


class _Never(random.Random):
    """The chance of policies that take none: asked all the same, it says so."""

    def random(self) -> float:
        raise RuntimeError("a policy that was thought to take no chance draws; seed it")

    def getrandbits(self, k: int) -> int:
        raise RuntimeError("a policy that was thought to take no chance draws; seed it")


_NEVER = _Never()


class Part(NamedTuple):
    """Frames [first, last) of one fine chunk's tokens. Tokens are never made across chunks."""

    chunk: int
    first: int
    last: int


class Shown(NamedTuple):
    """One side of a chunk, or of a run of its words, as it enters a pack. A tuple, as `Part`: there
    are several of them for each chunk that is read."""

    side: Side
    chunk: int  # of the view
    positions: int
    withheld: int  # positions of the same content on the other side, where that is not shown
    ids: tuple[int, ...]  # of text; () for speech
    parts: tuple[Part, ...]  # of speech; () for text
    seconds: float
    words: int


class Prepared:
    """One document, ready to be drawn from: its view, and lengths that are worked out when needed.

    `chunk_frames` are the PCM frames at which the fine chunks begin, and the end of the last.
    """

    def __init__(self, document: Document, view: View) -> None:
        self.id, self.rate = document.id, document.rate
        fine = document.chunks
        if view.policy is None or not view.policy.by_words:
            # words weigh most, and only policies by words look at them
            fine = tuple(
                dataclasses.replace(chunk, words=()) if chunk.words else chunk for chunk in fine
            )
        if view.coarse is None:
            self.groups = tuple(range(place, place + 1) for place in range(len(fine)))
            self.view: tuple[Chunk, ...] = fine
        else:
            self.groups = tuple(groups(fine, *view.coarse))
            self.view = tuple(merge([fine[place] for place in group]) for group in self.groups)
        ends = [frames(chunk.end, self.rate) for chunk in fine]
        self.chunk_frames = (0, *ends)
        self.materialised = all(chunk.modality != "both" for chunk in fine)
        self.texts: dict[tuple[int, tuple[int, int]], tuple[int, ...]] = {}
        self.positions: dict[int, int] = {}  # frames of whole fine chunks
        self.sides: dict[tuple[int, Side], Shown] = {}  # of whole chunks of the view

    def fine(self, first: int, last: int) -> tuple[int, int]:
        """The fine chunks behind chunks [first, last) of the view."""
        return self.groups[first].start, self.groups[last - 1].stop


class Drawing:
    """Draws the documents of one set. `explicit`: the policy was asked for, not the set's own."""

    def __init__(
        self,
        view: View,
        explicit: bool,
        seed: int,
        text: TextTokenizer,
        speech: Positions | None,
        lead: str,
    ) -> None:
        self._view, self._explicit, self._seed = view, explicit, seed
        self._text, self._speech, self._lead = text, speech, lead
        # the draw of a run of chunks begins as the draw of any longer run from the same chunk
        self.steady = view.policy is None or not view.policy.by_words
        self._repeats = isinstance(view.policy, Asr | Tts)  # nothing is withheld

    def prepare(self, document: Document) -> Prepared:
        return Prepared(document, self._view)

    def draw(self, prepared: Prepared, epoch: int, copy: int, first: int, last: int) -> list[Shown]:
        """What is shown of chunks [first, last) of the view, when a piece begins at `first`.

        Raises `DataError` where the policy cannot be applied or needs a tokenizer that is missing.
        """
        chunks = prepared.view[first:last]
        try:
            dealt = self._dealt(prepared, chunks, epoch, copy, first)
        except PolicyError as error:
            raise DataError(error.code, f"document {prepared.id}: {error}") from error
        return [self._shown(prepared, piece, first + piece.chunk) for piece in dealt]

    def weight(self, prepared: Prepared) -> int:
        """About how many positions a draw of the whole document takes: the mean of both sides."""
        total = EDGES + sum(
            self._laid(self._whole(prepared, fine))
            for fine in range(len(prepared.chunk_frames) - 1)
        )
        for place, chunk in enumerate(prepared.view):
            total += len(self._ids(prepared, place, (0, len(chunk.text))))
        return max(total // 2, 1)

    def _dealt(
        self, prepared: Prepared, chunks: Sequence[Chunk], epoch: int, copy: int, first: int
    ) -> Sequence[Piece]:
        policy = self._view.policy
        if policy is None or (prepared.materialised and not self._explicit):
            return stored(chunks)
        chance: random.Random = _NEVER
        if isinstance(policy, Stochastic | WordSpans | LstSpans):  # a generator is dear to seed
            chance = rng(self._seed, f"interleave/{epoch}/{copy}", f"{prepared.id}/{first}")
        return pieces(chunks, policy, chance, prepared.rate, epoch)

    def _shown(self, prepared: Prepared, piece: Piece, place: int) -> Shown:
        if piece.words is not None:
            return self._measured(prepared, piece, place)
        found = prepared.sides.get((place, piece.side))
        if found is None:
            found = self._measured(prepared, piece, place)
            prepared.sides[place, piece.side] = found
        return found

    def _measured(self, prepared: Prepared, piece: Piece, place: int) -> Shown:
        chunk = prepared.view[place]
        hidden = chunk.modality == "both" and not self._repeats
        ids: tuple[int, ...] = ()
        parts: tuple[Part, ...] = ()
        if piece.side == "text" or hidden:
            ids = self._ids(prepared, place, piece.characters)
        if piece.side == "speech" or hidden:
            parts = self._parts(prepared, place, piece)
        spoken = sum(self._laid(part.last - part.first) for part in parts)
        if piece.side == "text":
            words = len(chunk.text[slice(*piece.characters)].split())
            return Shown("text", place, len(ids), spoken, ids, (), 0.0, words)
        if self._speech is None:
            raise DataError(
                "no_tokenizer",
                f"document {prepared.id}: its speech is to be read and no speech tokenizer was "
                "given; give one, or the policy text_only",
            )
        seconds = piece.end - piece.start
        return Shown("speech", place, spoken, len(ids) if hidden else 0, (), parts, seconds, 0)

    def _ids(self, prepared: Prepared, place: int, characters: tuple[int, int]) -> tuple[int, ...]:
        key = (place, characters)
        if key not in prepared.texts:
            text = prepared.view[place].text[slice(*characters)].strip()
            ids = self._text.encode(self._lead + text) if text else ()
            prepared.texts[key] = tuple(ids)
        return prepared.texts[key]

    def _parts(self, prepared: Prepared, place: int, piece: Piece) -> tuple[Part, ...]:
        if self._speech is None:
            return ()
        low, high = frames(piece.start, prepared.rate), frames(piece.end, prepared.rate)
        found = []
        for fine in prepared.groups[place]:
            start, end = prepared.chunk_frames[fine : fine + 2]
            a, b = max(low, start) - start, min(high, end) - start
            if a >= b:
                continue
            if (a, b) == (0, end - start):
                part = Part(fine, 0, self._whole(prepared, fine))
            else:
                size = end - start
                border = self._speech.border
                part = Part(fine, border(a, size, prepared.rate), border(b, size, prepared.rate))
            if part.first < part.last:
                found.append(part)
        return tuple(found)

    def _laid(self, frames: int) -> int:
        return 0 if self._speech is None else self._speech.laid(frames)

    def _whole(self, prepared: Prepared, fine: int) -> int:
        if fine not in prepared.positions:
            start, end = prepared.chunk_frames[fine : fine + 2]
            count = 0 if self._speech is None else self._speech.of(end - start, prepared.rate)
            prepared.positions[fine] = count
        return prepared.positions[fine]

    def starts(self, prepared: Prepared) -> npt.NDArray[np.int64]:
        """Where each fine chunk begins in the document's stored tokens, and their number."""
        counts = [self._whole(prepared, fine) for fine in range(len(prepared.chunk_frames) - 1)]
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def lengths(shown: Sequence[Shown], first: int, last: int) -> list[int]:
    """Positions of pieces that hold chunks [first, first + 1), ... [first, last), with markers."""
    total, side, at = EDGES, None, 0
    found = []
    for chunk in range(first, last):
        while at < len(shown) and shown[at].chunk == chunk:
            one = shown[at]
            if one.positions:
                total += one.positions + (one.side != side)
                side = one.side
            at += 1
        found.append(total)
    return found


class Rest:
    """A document to be packed: how long the pieces are that begin at any of its chunks."""

    def __init__(
        self, drawing: Drawing, prepared: Prepared, epoch: int, copy: int, length: int
    ) -> None:
        self._drawing, self._prepared = drawing, prepared
        self._epoch, self._copy, self._length = epoch, copy, length
        self.count = len(prepared.view)
        self.weight = drawing.weight(prepared)
        self._ahead = math.ceil(AHEAD * length * self.count / self.weight)
        self._known: tuple[int, list[int]] = (-1, [])

    @property
    def name(self) -> str:
        return self._prepared.id

    def prefixes(self, first: int) -> list[int]:
        """Positions of the first chunk after `first`, the first two, ... up to the end, or to more
        than a pack. With policies by words a shorter piece is drawn anew: see `exact`."""
        if self._known[0] != first:
            last = self.count
            if self._drawing.steady:
                for turn in itertools.count():
                    last = min(first + (self._ahead << turn), self.count)
                    found = self._lengths(first, last)
                    if last == self.count or found[-1] > self._length:
                        break
            else:
                found = self._lengths(first, last)
            self._known = (first, found)
        return self._known[1]

    def exact(self, first: int, last: int) -> int:
        """Positions of the piece of chunks [first, last)."""
        if self._drawing.steady or last == self.count:
            return self.prefixes(first)[last - first - 1]
        return self._lengths(first, last)[-1]

    def _lengths(self, first: int, last: int) -> list[int]:
        shown = self._drawing.draw(self._prepared, self._epoch, self._copy, first, last)
        return lengths(shown, first, last)
