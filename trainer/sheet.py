"""A pack while it is written: runs of one kind, laid out at the end, position by position.

An array operation costs about as much as a hundred positions of its work, so what is known per run
(kind, id, piece) is written per run and spread over the positions once per pack.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.drawing import Ids
from trainer.encoding import Codes
from trainer.latent.patching import Flags
from trainer.pack import MARKER, MARKERS, PADDING, SPEECH, TEXT, Vocabulary


class Sheet:
    """The runs of a pack of `length` positions, piece by piece; `arrays` makes a pack of them."""

    def __init__(self, length: int, vocabulary: Vocabulary, cuts: bool = False) -> None:
        """`cuts`: patches will be cut, so `borders` are wanted."""
        self._length, self._vocabulary, self._cuts = length, vocabulary, cuts
        self._markers = {name: vocabulary.markers_first + n for n, name in enumerate(MARKERS)}
        self._unit = vocabulary.speech_first
        self.kinds: list[int] = []
        self.lengths: list[int] = []
        self._values: list[int] = []  # the id of every position; 0 for text
        self._texts: list[Ids] = []
        self._codes: list[Codes] = []  # of all speech, end to end
        self._pieces: list[int] = []  # positions of each
        self._rooms: list[int] = []  # what each run takes in the pack: positions, or patches
        self._borders: list[Flags] = []  # of all speech, end to end; none where nobody cuts
        self._begun = (0, 0)

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

    def room(self) -> int:
        """What the piece that was begun takes in the pack."""
        return sum(self._rooms[self._begun[0] :])

    def end(self, codes: Iterable[Codes], borders: Iterable[Flags] | None = None) -> None:
        """The piece is whole, and this is its speech, with where its patches may begin."""
        self._codes += codes
        self._borders += borders or ()
        self._pieces.append(sum(self.lengths[self._begun[0] :]))

    def drop(self) -> None:
        """Take the piece back that was begun and not ended."""
        runs, texts = self._begun
        del self.kinds[runs:], self.lengths[runs:], self._values[runs:], self._texts[texts:]
        del self._rooms[runs:]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """`ids`, `codes`, `modality`, `piece`, `place` and `borders` of the pack.

        What room is left is padding: the arrays are as long as the pack where it is counted in
        positions, and longer where it is counted in patches.
        """
        end, books = sum(self._pieces), self._vocabulary.codebooks
        length = end + self._length - sum(self._rooms)
        modality, ids = np.empty(length, np.int8), np.empty(length, np.int32)
        piece, place = np.empty(length, np.int32), np.empty(length, np.int32)
        modality[end:], ids[end:], piece[end:], place[end:] = PADDING, 0, -1, 0
        lengths = np.array(self.lengths, np.int64)
        modality[:end] = np.array(self.kinds, np.int8).repeat(lengths)
        ids[:end] = np.array(self._values, np.int32).repeat(lengths)
        places, at = np.arange(max(self._pieces, default=0), dtype=np.int32), 0
        for number, positions in enumerate(self._pieces):
            piece[at : at + positions] = number
            place[at : at + positions] = places[:positions]
            at += positions
        if self._texts:
            ids[modality == TEXT] = np.frombuffer(b"".join(self._texts), np.intc)
        if books == 1:
            codes: Codes = np.zeros((length, 1), self._vocabulary.codes)
            if self._codes:
                units = np.concatenate(self._codes)[:, 0]
                ids[modality == SPEECH] += units.astype(np.int32)
        else:
            codes = np.empty((length, books), self._vocabulary.codes)
            self._lay(codes)
        found = {"ids": ids, "codes": codes, "modality": modality, "piece": piece, "place": place}
        if self._cuts:
            borders = np.zeros(length, np.uint8)
            if self._borders:
                borders[modality == SPEECH] = np.concatenate(self._borders)
            found["borders"] = borders
        return found

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
