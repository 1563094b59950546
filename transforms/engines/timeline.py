"""A channel as a model hears it: stored speech on one line, cut into windows that overlap.

Only stretches of speech are stored. Put end to end, sentences that lie minutes apart would run
into each other, and a model that looks for changes of speaker would find one at every joint; put
at their true places, a ten-hour recording with an hour of speech would cost ten hours. So
stretches keep their distance up to `LONGEST_GAP` of silence, and longer gaps are cut to it: a
window of 10 s still sees an honest pause. Places are whole frames at the recording's rate, so the
way back is exact.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from transforms.engines.turns import Stretches
from transforms.engines.voice import Float32
from transforms.step import Pcm16

RATE = 16_000  # hertz, of what every diarizer's model hears
LONGEST_GAP = 2.0  # seconds of silence between two stretches on the line


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """One stretch and its place on the line, all in frames."""

    start: int  # in the channel
    end: int
    place: int  # on the line, of its first frame

    @property
    def until(self) -> int:
        """The frame of the line after its last."""
        return self.place + self.end - self.start


def laid_out(stretches: Stretches, rate: int) -> list[Piece]:
    """The stretches on their line, which begins with the first and ends with the last."""
    most = round(LONGEST_GAP * rate)
    pieces: list[Piece] = []
    for start, end in stretches:
        place = 0
        if pieces:
            place = pieces[-1].until + min(most, start - pieces[-1].end)
        pieces.append(Piece(start=start, end=end, place=place))
    return pieces


def within(pieces: Sequence[Piece], first: int, last: int) -> Iterator[Piece]:
    """What of the pieces lies in [first, last) of the line, in order."""
    index = bisect.bisect_right(pieces, first, key=lambda piece: piece.until)
    for piece in pieces[index:]:
        if piece.place >= last:
            return
        begin, end = max(first, piece.place), min(last, piece.until)
        yield Piece(
            start=piece.start + begin - piece.place,
            end=piece.start + end - piece.place,
            place=begin,
        )


def windows(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Ranges of the line, at most `size` long, that cover it and share `overlap` frames each.

    Of nearly equal length, so that none is a short rest. Raises `ValueError` where the windows
    could not move forward.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"windows of {size} frames cannot overlap by {overlap}")
    if length <= size:
        return [(0, length)] if length else []
    count = -(-(length - overlap) // (size - overlap))
    starts = [number * (length - overlap) // count for number in range(count + 1)]
    return [(a, b + overlap) for a, b in itertools.pairwise(starts)]


def border(pieces: Sequence[Piece], first: int, last: int) -> int:
    """Where in [first, last] of the line one window's answer ends and the next one's begins.

    In the pause nearest to the middle, else in the middle: a border inside a sentence is where
    two answers are most likely to differ.
    """
    middle = (first + last) // 2
    inside = list(within(pieces, first, last))
    pauses = [(a.until + b.place) // 2 for a, b in itertools.pairwise(inside)]
    return min(pauses, key=lambda place: abs(place - middle), default=middle)


def heard(samples: Pcm16, rate: int) -> Float32:
    """Samples in -1..1 at 16 kHz; n of them become round(n * 16000 / rate)."""
    floats = samples.astype(np.float32) / np.float32(32768)
    if rate == RATE:
        return floats
    import soxr

    wanted = round(len(floats) * RATE / rate)
    resampled = soxr.resample(floats, rate, RATE, quality="HQ")[:wanted]
    return np.pad(resampled, (0, wanted - len(resampled)))
