"""Where speech tokens lie in time: which positions of a stored array are which chunk and word.

Tokens are made chunk by chunk, so a position's place follows from the chunks' times and from how
the tokenizer steps through samples. It is computed here and stored nowhere: two truths could
differ. Whole numbers only, so every reader gets the same places.

A *frame* is one step of the tokenizer; a *position* is `stack` frames side by side, the last one
of a chunk filled up. Ranges are half-open. Every position of a chunk belongs to exactly one of any
stretches that tile the chunk: to the one that holds its centre.
"""

import bisect
import dataclasses
import itertools

from schemas.records import Document, frames
from schemas.words import Span, word_borders


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FrameGrid:
    """How a tokenizer steps through the samples of a chunk."""

    rate: int  # hertz, of what it hears; other rates are resampled
    hop: int  # of its samples, from one frame to the next
    stack: int = 1  # frames in a position
    centred: bool = False  # frame k is centred at sample k * hop; False: covers [k, k + 1) * hop

    def __post_init__(self) -> None:
        if min(self.rate, self.hop, self.stack) < 1:
            raise ValueError(f"rate, hop and stack are at least 1: {self}")

    @property
    def rate_hz(self) -> float:
        """Positions per second."""
        return self.rate / (self.hop * self.stack)

    def heard(self, samples: int, rate: int) -> int:
        """How many samples the tokenizer hears of `samples` at `rate` hertz."""
        return -(-samples * self.rate // rate)

    def frames(self, samples: int, rate: int) -> int:
        """Frames of a chunk of `samples` at `rate` hertz: 1 + floor or ceil; 0 of nothing."""
        heard = self.heard(samples, rate)
        if heard == 0:
            return 0
        return 1 + heard // self.hop if self.centred else -(-heard // self.hop)

    def positions(self, samples: int, rate: int) -> int:
        """Positions of a chunk of `samples` at `rate` hertz."""
        return -(-self.frames(samples, rate) // self.stack)

    def border(self, sample: int, samples: int, rate: int) -> int:
        """How many positions of a chunk of `samples` have their centre before its `sample`.

        0 at its first sample and all at its end: so borders that tile a chunk tile its positions.
        """
        count = self.positions(samples, rate)
        if sample <= 0:
            return 0
        if sample >= samples:
            return count
        # centre of position k: (2 k stack + edge) * hop / 2 of the tokenizer's samples
        edge = self.stack - 1 if self.centred else self.stack
        step = self.hop * rate
        before = -(-(2 * sample * self.rate - edge * step) // (2 * self.stack * step))
        return min(max(before, 0), count)


class Timeline:
    """The positions of one document's array by chunk, by word and by time."""

    def __init__(self, document: Document, grid: FrameGrid) -> None:
        self._document, self._grid = document, grid
        self._starts: list[int] = []  # of the chunks, in samples of the document
        self._sizes: list[int] = []
        found, at = [], 0
        for chunk in document.chunks:
            first = frames(chunk.start, document.rate)
            self._starts.append(first)
            self._sizes.append(frames(chunk.end, document.rate) - first)
            count = grid.positions(self._sizes[-1], document.rate)
            found.append((at, at + count))
            at += count
        self.chunks: tuple[Span, ...] = tuple(found)
        """Of each fine chunk; empty for a chunk that is text only."""
        self.total: int = at
        """Positions of the document: the rows of its stored array."""

    def at(self, seconds: float) -> int:
        """The first position of what begins at a time of the document."""
        sample = frames(seconds, self._document.rate)
        place = bisect.bisect_right(self._starts, sample) - 1
        inside = sample - self._starts[place]
        first = self.chunks[place][0]
        return first + self._grid.border(inside, self._sizes[place], self._document.rate)

    def span(self, start: float, end: float) -> Span:
        """The positions of [start, end) seconds: of a piece that a policy deals, of a coarse chunk.

        Pieces that tile a document share out its positions; one far shorter than a position may
        get none.
        """
        return self.at(start), self.at(end)

    def words(self, place: int) -> tuple[Span, ...]:
        """The positions of each word of a chunk, end to end; a pause is shared halfway.

        () for a chunk without timed words: all of it is a gap.
        """
        chunk = self._document.chunks[place]
        if not chunk.words:
            return ()
        rate = self._document.rate
        borders = [self.at(border / rate) for border in word_borders(chunk, rate)[:-1]]
        borders.append(self.chunks[place][1])
        return tuple(itertools.pairwise(borders))
