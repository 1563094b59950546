"""The packs of a step while they are written: runs of one kind, laid out position by position.

An array operation costs about as much as a hundred positions of its work, so what is known per run
(kind, id, piece) is written per run and spread over the positions once, for all packs of a step.
Packs are then views of the same arrays.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.drawing import Ids
from trainer.encoding import Codes
from trainer.latent.patching import Flags
from trainer.pack import MARKER, MARKERS, PADDING, SPEECH, TEXT, Vocabulary

HEARD = (MARKER, MARKER, SPEECH, MARKER)  # a piece that is one run of speech


class Sheet:
    """The runs of packs of `length` positions, piece by piece; `arrays` makes packs of them."""

    def __init__(self, length: int, vocabulary: Vocabulary, cuts: bool = False) -> None:
        """`cuts`: patches will be cut, so `borders` are wanted."""
        self._length, self._vocabulary, self._cuts = length, vocabulary, cuts
        self._markers = _marker_ids(vocabulary.markers_first)
        self._unit = vocabulary.speech_first
        self._document, self._speech, self._end = (
            self._markers[name] for name in ("document", "speech", "end")
        )
        self.kinds: list[int] = []
        self.lengths: list[int] = []
        self._values: list[int] = []  # the id of every position; 0 for text
        self._texts: list[Ids] = []
        self._codes: list[Codes] = []  # of all speech, end to end
        self._borders: list[Flags] = []  # of all speech, end to end; none where nobody cuts
        self._rooms: list[int] = []  # what each run takes in its pack: positions, or patches
        self._begun = (0, 0)  # runs and texts before the piece that is being written
        # pieces and paddings, in a row
        self._sizes: list[int] = []  # positions of each
        self._numbers: list[int] = []  # of a piece in its pack; -1: padding
        self._next = 0
        self._room = length  # that is left in the pack
        self._ends: list[int] = []  # how many of `_sizes` there are before each pack's end
        self.highest = 0
        """The highest level of all codes, once there are `arrays`."""

    def marker(self, name: str) -> None:
        self.kinds.append(MARKER)
        self.lengths.append(1)
        self._rooms.append(1)
        self._values.append(self._markers[name])

    def text(self, positions: int, ids: Ids) -> None:
        self.kinds.append(TEXT)
        self.lengths.append(positions)
        self._rooms.append(positions)
        self._values.append(0)
        self._texts.append(ids)

    def speech(self, positions: int, room: int) -> None:
        """So many positions, whose codes come with `end`, and what they take in the pack."""
        self.kinds.append(SPEECH)
        self.lengths.append(positions)
        self._rooms.append(room)
        self._values.append(self._unit)

    def begin(self) -> None:
        self._begun = (len(self.kinds), len(self._texts))
        self.marker("document")

    def end(self, codes: Iterable[Codes], borders: Iterable[Flags] | None = None) -> int:
        """The piece is whole, and this is its speech, with where its patches may begin.

        What it takes in the pack.
        """
        self._codes += codes
        self._borders += borders or ()
        begun = self._begun[0]
        return self._piece(sum(self.lengths[begun:]), sum(self._rooms[begun:]))

    def heard(
        self, positions: int, room: int, codes: Iterable[Codes], borders: Iterable[Flags] | None
    ) -> int:
        """A whole piece, not begun, that is one run of speech; what it takes in the pack."""
        self.kinds += HEARD
        self.lengths += (1, 1, positions, 1)
        self._rooms += (1, 1, room, 1)
        self._values += (self._document, self._speech, self._unit, self._end)
        self._codes += codes
        self._borders += borders or ()
        return self._piece(positions + 3, room + 3)

    def drop(self) -> None:
        """Take the piece back that was begun and not ended, if there is one."""
        runs, texts = self._begun
        del self.kinds[runs:], self.lengths[runs:], self._values[runs:], self._texts[texts:]
        del self._rooms[runs:]

    def close(self) -> None:
        """The pack is whole: what room is left is padding.

        So a pack is as long as it was asked for where it is counted in positions, and longer where
        it is counted in patches.
        """
        if self._room:
            self.kinds.append(PADDING)
            self.lengths.append(self._room)
            self._rooms.append(self._room)
            self._values.append(0)
            self._sizes.append(self._room)
            self._numbers.append(-1)
        self._ends.append(len(self._sizes))
        self._room, self._next = self._length, 0
        self._begun = (len(self.kinds), len(self._texts))

    def arrays(self) -> list[dict[str, npt.NDArray[Any]]]:
        """`ids`, `codes`, `modality`, `piece`, `place` and `borders` of each pack."""
        lengths, books = np.array(self.lengths, np.int64), self._vocabulary.codebooks
        edges = [0, *itertools.accumulate(self._sizes)]  # of pieces and paddings
        total = edges[-1]
        modality = np.array(self.kinds, np.int8).repeat(lengths)
        ids = np.array(self._values, np.int32).repeat(lengths)
        piece = np.array(self._numbers, np.int32).repeat(self._sizes)
        place = self._places()
        if self._texts:
            ids[modality == TEXT] = np.frombuffer(b"".join(self._texts), np.intc)
        if books == 1:
            codes: Codes = np.zeros((total, 1), self._vocabulary.codes)
            if self._codes:
                units = np.concatenate(self._codes)[:, 0]
                self.highest = int(units.max(initial=0))
                ids[modality == SPEECH] += units.astype(np.int32)
        else:
            codes = np.empty((total, books), self._vocabulary.codes)
            self._lay(codes)
            self.highest = int(codes.max(initial=0))
        found = {"ids": ids, "codes": codes, "modality": modality, "piece": piece, "place": place}
        if self._cuts:
            borders = np.zeros(total, np.uint8)
            if self._borders:
                borders[modality == SPEECH] = np.concatenate(self._borders)
            found["borders"] = borders
        return _cut(found, [0, *[edges[end] for end in self._ends]])

    def _places(self) -> npt.NDArray[np.int32]:
        """Positions inside the pieces; 0 of paddings."""
        ramp, flat = _ramp(max([self._length, *self._sizes]))
        each = zip(self._numbers, self._sizes, strict=True)
        return np.concatenate([(flat if n < 0 else ramp)[:size] for n, size in each] or [flat])

    def _piece(self, positions: int, room: int) -> int:
        self._sizes.append(positions)
        self._numbers.append(self._next)
        self._next += 1
        self._room -= room
        self._begun = (len(self.kinds), len(self._texts))
        return room

    def _lay(self, codes: Codes) -> None:
        """All codes in their places, 0 where no speech is."""
        at = cleared = 0
        left = iter(self._codes)
        for kind, length in zip(self.kinds, self.lengths, strict=True):
            if kind == SPEECH and length:
                codes[cleared:at] = 0
                cleared = at + length
                while at < cleared:
                    own = next(left)
                    codes[at : at + len(own)] = own
                    at += len(own)
            else:
                at += length
        codes[cleared:] = 0


@functools.cache
def _marker_ids(first: int) -> dict[str, int]:
    return {name: first + number for number, name in enumerate(MARKERS)}


@functools.lru_cache(maxsize=64)
def _ramp(length: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """0 to `length`, and as many zeros."""
    return np.arange(length, dtype=np.int32), np.zeros(length, np.int32)


def _cut(
    arrays: dict[str, npt.NDArray[Any]], borders: Sequence[int]
) -> list[dict[str, npt.NDArray[Any]]]:
    """The arrays of each pack, views of those of all."""
    spans = itertools.pairwise(borders)
    return [{name: array[a:b] for name, array in arrays.items()} for a, b in spans]
