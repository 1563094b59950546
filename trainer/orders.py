"""How the codes of a frame become positions: `parallel`, `first`, `delay` or `flatten`.

An order is laid over a tokenizer's frames when they are read, part by part, so it holds for stored
tokens and for those made on the fly alike, and shards need not be written anew. With C codebooks
of L levels and n frames:

- `parallel`: n positions of C codes, all predicted at once. Shortest; the codes of a frame do not
  see each other (dMel, arXiv 2407.15835).
- `first`: n positions of the first codebook alone, units of the vocabulary. The rest is dropped:
  for codecs whose first codebook holds what was said.
- `delay`: n + C - 1 positions of C codes; codebook c is c positions late, so that each code of a
  frame sees those before it (MusicGen, arXiv 2306.05284). One more level fills the corners up; it
  is no target.
- `flatten`: n x C positions of one code each, frame by frame; codebook c has levels of its own,
  c x L to (c + 1) x L, in the vocabulary. Exact, and C times as long.

A part (a chunk, or words of one) is laid by itself: with `delay` each costs C - 1 more positions,
and no code of a frame ever stands in another part.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from schemas.token_frames import FrameGrid
from trainer.encoding import Codes, SpeechTokenizer

Order = Literal["parallel", "first", "delay", "flatten"]

ORDERS: tuple[str, ...] = get_args(Order)

MOST_LEVELS = 1 << 16  # that codes of several codebooks can be in a pack


class Laying:
    """A tokenizer seen through another way to make positions of its frames: `source` is read, and
    `lay` makes positions of the frames of a part."""

    __slots__ = ()

    by_content = False  # how many positions a part has depends on what it holds
    source: SpeechTokenizer

    def lay(self, codes: Codes) -> Codes:
        raise NotImplementedError


def laying(speech: object) -> Laying | None:
    """A tokenizer as such; None where its frames are its positions."""
    return speech if isinstance(speech, Laying) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Ordered(Laying):
    """A tokenizer seen through an order. `name` and `digest` are the source's: so are its tokens.

    `codebooks` and `levels` are of a position; `encode` gives frames as the source does, and
    `lay` makes positions of them.
    """

    source: SpeechTokenizer
    order: Literal["first", "delay", "flatten"]

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def digest(self) -> str:
        return self.source.digest

    @property
    def frames_per_second(self) -> float:
        """Positions per second of a long part."""
        many = self.source.codebooks if self.order == "flatten" else 1
        return self.source.frames_per_second * many

    @property
    def grid(self) -> FrameGrid | None:
        """How the source steps through samples: of frames, not of positions."""
        return getattr(self.source, "grid", None)

    @property
    def codebooks(self) -> int:
        return self.source.codebooks if self.order == "delay" else 1

    @property
    def levels(self) -> int:
        many = self.source.codebooks if self.order == "flatten" else 1
        return self.source.levels * many + (self.order == "delay")

    @property
    def pad(self) -> int | None:
        """The level that fills delayed frames up."""
        return self.source.levels if self.order == "delay" else None

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> Codes:
        """Frames [frames, codebooks of the source] of one chunk."""
        return self.source.encode(pcm, rate)

    def laid(self, frames: int) -> int:
        """Positions that a part of so many frames takes."""
        if self.order == "flatten":
            return frames * self.source.codebooks
        if self.order == "delay" and frames:
            return frames + self.source.codebooks - 1
        return frames

    def lay(self, codes: Codes) -> Codes:
        """Frames [frames, C] of one part to positions [laid(frames), codebooks]."""
        if self.order == "first":
            return codes[:, :1]
        frames, books = codes.shape
        if self.order == "flatten":
            first = np.arange(books, dtype=np.uint32) * np.uint32(self.source.levels)
            return (codes.astype(np.uint32) + first).reshape(-1, 1)
        found: npt.NDArray[np.uint16] = np.full((self.laid(frames), books), self.pad, np.uint16)
        for book in range(books):
            found[book : book + frames, book] = codes[:, book]
        return found


def ordered(speech: SpeechTokenizer, order: Order = "parallel") -> SpeechTokenizer:
    """A tokenizer seen through an order; itself where that changes nothing.

    Raises `ValueError` for an order there is none of, or one whose levels packs cannot hold.
    """
    if order not in ORDERS:
        raise ValueError(f"{order!r} is no order of codes; there are {', '.join(ORDERS)}")
    if isinstance(speech, Ordered):
        raise ValueError(f"tokenizer {speech.name} is already seen through order {speech.order}")
    if order == "parallel" or speech.codebooks == 1:
        return speech
    if order == "delay" and speech.levels >= MOST_LEVELS:
        raise ValueError(
            f"tokenizer {speech.name} has {speech.levels} levels; order delay needs one more, and "
            f"packs hold up to {MOST_LEVELS}. Use first or flatten"
        )
    return Ordered(speech, order)
