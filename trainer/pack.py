"""The contract between data, model and losses: what a training step is handed.

A *position* is the unit of mixture and budget: one text token, one marker, one speech unit or one
group of codec frames entering the decoder. A pack is a fixed number of positions of one set, made
of pieces: documents, or runs of whole chunks of one. Pieces never see each other: `piece` is the
mask, `place` restarts in each. Nothing is cropped; what is left at the end of a pack is padding.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.unsignedinteger[Any]]

TEXT, SPEECH, MARKER, PADDING = 0, 1, 2, 3  # modality of a position

FILLING = {"modality": PADDING, "piece": -1}  # of positions beyond a pack's end; 0 in other arrays

MARKERS = ("document", "speech", "text", "end")  # begins a piece, each run of a side, ends a piece


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """How ids are laid out: text, then markers, then speech.

    With one codebook, speech units extend the vocabulary: unit u is `speech_first + u`. With
    several (`codebooks` > 1: dMel is 80 x stack codebooks of 16 levels) every speech position bears
    the one id `speech_first`, and its content stands in `Pack.codes`.
    """

    text: int  # size of the text tokenizer
    codebooks: int = 1
    levels: int = 0  # entries of each codebook; 0: text only
    pad: int | None = None  # the level that only fills delayed frames up, and is never a target

    @property
    def markers_first(self) -> int:
        return self.text

    @property
    def speech_first(self) -> int:
        return self.text + len(MARKERS)

    @property
    def size(self) -> int:
        """Rows of the embedding and of the text head."""
        speech = 0 if not self.levels else (self.levels if self.codebooks == 1 else 1)
        return self.speech_first + speech

    @property
    def codes(self) -> np.dtype[Any]:
        """The type of `Pack.codes`: the smallest that holds the levels of several codebooks."""
        several = self.codebooks > 1 and self.levels > 1 << 8
        return np.dtype(np.uint16 if several else np.uint8)

    def marker(self, name: str) -> int:
        return self.markers_first + MARKERS.index(name)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pack:
    """One row of a batch: `length` positions of one set."""

    set_name: str
    number: int  # its place in the run's sequence of packs
    ids: npt.NDArray[np.int32]  # [length]
    codes: Codes  # [length, codebooks], of `Vocabulary.codes`; 0 where the position is not speech
    modality: npt.NDArray[np.int8]  # [length]
    piece: npt.NDArray[np.int32]  # [length]: which piece, from 0; -1 for padding
    place: npt.NDArray[np.int32]  # [length]: position inside the piece, from 0
    documents: tuple[str, ...]  # by piece: the document's id
    chunks: tuple[tuple[int, int], ...]  # by piece: [first, last) chunk of its document
    seconds: float  # of speech heard
    words: int  # of text read
    withheld: int  # positions of the other sides, which this draw does not show
    experiments: tuple[str, ...] = ()  # by piece: what inserted it, "" for none; (): no piece was
    # where chunks, words and silences begin, uint8 [length] (`trainer.latent.patching`); None:
    # nobody cuts patches
    borders: npt.NDArray[np.uint8] | None = None
    patch: npt.NDArray[np.uint8] | None = None  # [length]: how it is cut at this step


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Packs of one step of one rank, stacked. Arrays are [packs, length, ...]."""

    step: int
    packs: tuple[Pack, ...]

    def stacked(self, name: str) -> npt.NDArray[np.generic]:
        """An array of all packs. Where packs are counted in patches they differ in length: those
        that are shorter are filled up with padding."""
        arrays = [getattr(pack, name) for pack in self.packs]
        longest = max(map(len, arrays))
        if all(len(array) == longest for array in arrays):
            return np.stack(arrays)
        shape = (len(arrays), longest, *arrays[0].shape[1:])
        found = np.full(shape, FILLING.get(name, 0), arrays[0].dtype)
        for row, array in zip(found, arrays, strict=True):
            row[: len(array)] = array
        return found


def targets(pack: Pack) -> npt.NDArray[np.bool_]:
    """Which positions predict their successor, [length]: the next one is of the same piece."""
    same = np.zeros(len(pack.ids), np.bool_)
    same[:-1] = (pack.piece[:-1] == pack.piece[1:]) & (pack.piece[:-1] >= 0)
    return same


def check(pack: Pack, vocabulary: Vocabulary, length: int) -> None:
    """Refuse a pack that breaks the contract. Raises ValueError."""
    shapes: Sequence[tuple[str, tuple[int, ...]]] = (
        ("ids", (length,)),
        ("codes", (length, vocabulary.codebooks)),
        ("modality", (length,)),
        ("piece", (length,)),
        ("place", (length,)),
    )
    for name, shape in shapes:
        if getattr(pack, name).shape != shape:
            raise ValueError(
                f"pack {pack.number}: {name} is {getattr(pack, name).shape}, not {shape}"
            )
    padding = pack.modality == PADDING
    if not np.array_equal(padding, pack.piece < 0):
        raise ValueError(f"pack {pack.number}: padding and pieces disagree")
    if padding.any() and not padding[np.argmax(padding) :].all():
        raise ValueError(f"pack {pack.number}: padding stands before a piece")
    if int(pack.ids.max(initial=0)) >= vocabulary.size or int(pack.ids.min(initial=0)) < 0:
        raise ValueError(f"pack {pack.number}: an id is outside the vocabulary")
    if vocabulary.codebooks > 1 and pack.codes[pack.modality != SPEECH].any():
        raise ValueError(f"pack {pack.number}: codes where no speech is")
