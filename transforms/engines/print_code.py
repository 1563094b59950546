"""The written form of an acoustic fingerprint: a short string, so that it fits a score column.

Base64 of little-endian bytes: the number of words and of landmarks (uint32 each), the words
(uint16), and per landmark its key (uint32), its frame (uint16) and its least sure bit (uint8).
Zero bytes fill it up to a multiple of three, so that the strings of a whole column, one behind the
other, are the base64 of all their bytes, and a column is decoded at once.
"""

import base64
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]

FRAME_SECONDS = 0.032
WORD_FRAMES = 2  # a word is kept of every second frame
BITS = 15  # of a word that say something of the sound
QUIET = 1 << BITS  # the sixteenth: there is next to no sound, so the others mean nothing

_HEAD = 8


class PrintError(ValueError):
    """A string is no fingerprint of this version."""


@dataclasses.dataclass(frozen=True, slots=True)
class Print:
    """A fingerprint: words for verifying (one per `WORD_FRAMES` frames), landmarks for finding."""

    words: U16  # [words]
    keys: U32  # [landmarks]
    frames: U16  # [landmarks]
    weak: U8  # [landmarks]


def to_code(found: Print) -> str:
    """A fingerprint as ASCII."""
    head = np.array([len(found.words), len(found.keys)], "<u4").tobytes()
    data = b"".join(
        [
            head,
            found.words.astype("<u2").tobytes(),
            found.keys.astype("<u4").tobytes(),
            found.frames.astype("<u2").tobytes(),
            found.weak.tobytes(),
        ]
    )
    return base64.b64encode(data + bytes(-len(data) % 3)).decode("ascii")


def from_codes(codes: Sequence[str]) -> list[Print]:
    """The fingerprints of a column. Raises `PrintError`."""
    sizes = [len(code) // 4 * 3 for code in codes]
    try:
        data = base64.b64decode("".join(codes).encode("ascii"), validate=True)
    except ValueError as error:
        raise PrintError(f"not the base64 of fingerprints: {error}") from None
    if len(data) != sum(sizes):
        raise PrintError("a fingerprint is cut off; measure again")
    found = []
    at = 0
    for size in sizes:
        found.append(_print(data[at : at + size]))
        at += size
    return found


def _print(data: bytes) -> Print:
    words, marks = np.frombuffer(data, "<u4", 2).tolist() if len(data) >= _HEAD else (0, -1)
    whole = _HEAD + 2 * words + 7 * marks
    if marks < 0 or len(data) != whole + -whole % 3:
        raise PrintError(f"a fingerprint of {len(data)} bytes does not hold what it says it does")
    keys_at = _HEAD + 2 * words
    frames_at = keys_at + 4 * marks
    return Print(
        words=np.frombuffer(data, "<u2", words, _HEAD),
        keys=np.frombuffer(data, "<u4", marks, keys_at),
        frames=np.frombuffer(data, "<u2", marks, frames_at),
        weak=np.frombuffer(data, np.uint8, marks, frames_at + 2 * marks),
    )
