"""Shingles of texts by the block: runs of n words or n characters, as 64-bit hashes, in numpy.

A block of texts becomes one array of code points, so that no Python object is made per word or
shingle. Texts are spelled as `same_text` does; characters of scripts without spaces between words
(Han, kana) count as words, as everywhere else.

The hash of a word is the polynomial of its code points c_i, sum (c_i + 1) * B^i mod 2^64, through
the finalizer of MurmurHash3 (Appleby); that of a shingle is the same over the hashes of its words
with another base. Polynomials mod 2^64 have known collisions (Thue-Morse strings), of words longer
than a thousand letters: whoever writes such a text can only lose his own.
"""

import dataclasses
import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.measure.wording import LOGOGRAPHIC
from transforms.select.same_text import same_text

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_LETTER_BASE = 0x9E3779B97F4A7C15  # odd, so that no power of it is zero mod 2^64
_WORD_BASE = 0xD1B54A32D192ED03
_MASK = (1 << 64) - 1
_SIGN = re.compile(f"([{LOGOGRAPHIC}])")


@dataclasses.dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths: row i is `values[offsets[i] : offsets[i + 1]]`."""

    values: npt.NDArray[np.generic]
    offsets: I64  # [rows + 1]

    @property
    def lengths(self) -> I64:
        return np.diff(self.offsets)

    def take(self, rows: I64) -> "Ragged":
        """Some rows, in the order asked for."""
        lengths = self.lengths[rows]
        offsets = ends(lengths)
        at = np.arange(offsets[-1], dtype=np.int64)
        at += np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[at], offsets)


def ends(lengths: I64) -> I64:
    """Offsets [n + 1] of rows with these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def mixed(values: U64) -> U64:
    """The 64-bit finalizer of MurmurHash3: every bit of the input moves every bit of the result."""
    out = values ^ (values >> np.uint64(33))
    out *= np.uint64(0xFF51AFD7ED558CCD)
    out ^= out >> np.uint64(33)
    out *= np.uint64(0xC4CEB9FE1A85EC53)
    out ^= out >> np.uint64(33)
    return out


def plain(text: str) -> str:
    """The spelling that is cut into words: `same_text`, with signs of Han and kana set apart."""
    found = same_text(text)
    return found if found.isascii() else " ".join(_SIGN.sub(r" \1 ", found).split())


_LOWER = np.full(256, 32, np.uint8)
for _code in (*range(48, 58), *range(97, 123)):
    _LOWER[_code] = _code
for _code in range(65, 91):
    _LOWER[_code] = _code + 32
for _code in b"'`":
    _LOWER[_code] = 0  # an apostrophe vanishes, any other mark is a space: see `same_text`


def _characters(texts: pa.Array) -> tuple[U64, I64]:
    """Code points of all texts, each with one space behind it, and the row that each is of."""
    if len(texts) and pc.min(pc.string_is_ascii(texts)).as_py():
        raw = np.frombuffer(pc.binary_join(_one_list(texts), " ")[0].as_buffer(), np.uint8)
        lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64) + 1
        lower = np.append(_LOWER[raw], np.uint8(32))
        row = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
        stays = lower != 0
        return lower[stays].astype(np.uint64), row[stays]
    spelled = [plain(text) for text in texts.to_pylist()]
    lengths = np.fromiter((len(text) + 1 for text in spelled), np.int64, len(spelled))
    joined = "".join(f"{text} " for text in spelled)
    codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32).astype(np.uint64)
    return codes, np.repeat(np.arange(len(spelled), dtype=np.int64), lengths)


def _one_list(texts: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)


def _powers(base: int, count: int) -> U64:
    found = np.empty(max(1, count), np.uint64)
    found[0] = 1
    found[1:] = np.uint64(base)
    return np.cumprod(found, dtype=np.uint64)


def words(texts: pa.Array) -> Ragged:
    """The hashes of the words of each text, in their order; texts without null."""
    codes, row = _characters(texts)
    counts = np.zeros(len(texts), np.int64)
    letter = codes != 32
    starts = np.flatnonzero(letter & np.append(True, ~letter[:-1])) if len(letter) else letter
    if not len(starts):
        return Ragged(np.empty(0, np.uint64), ends(counts))
    at = np.flatnonzero(letter)
    kept = codes[at]
    first = np.searchsorted(at, starts)  # place of each word's first letter among the letters
    lengths = np.diff(np.append(first, len(at)))
    inside = np.arange(len(at)) - np.repeat(first, lengths)
    powers = _powers(_LETTER_BASE, int(lengths.max()))
    hashes = mixed(np.add.reduceat((kept + np.uint64(1)) * powers[inside], first))
    counts = np.bincount(row[starts], minlength=len(texts)).astype(np.int64)
    return Ragged(hashes, ends(counts))


def characters(texts: pa.Array) -> Ragged:
    """The hashes of the characters of each text as it is spelled for comparing."""
    spelled = [plain(text) for text in texts.to_pylist()]
    lengths = np.fromiter(map(len, spelled), np.int64, len(spelled))
    codes = np.frombuffer("".join(spelled).encode("utf-32-le"), np.uint32).astype(np.uint64)
    return Ragged(mixed(codes + np.uint64(1)), ends(lengths))


def shingles(units: Ragged, size: int) -> Ragged:
    """The hashes of all runs of `size` units of each row; a shorter row is one shingle by itself,
    an empty one has none. In the order of the text, repeats included."""
    values = units.values.astype(np.uint64)
    lengths = units.lengths
    counts = np.where(lengths >= size, lengths - size + 1, np.minimum(lengths, 1))
    offsets = ends(counts)
    start = np.arange(offsets[-1], dtype=np.int64)
    start += np.repeat(units.offsets[:-1] - offsets[:-1], counts)
    left = np.repeat(np.minimum(lengths, size), counts)
    found = np.zeros(len(start), np.uint64)
    for place in range(size):
        # Place is raised to a power and unit hashes are odd-weighted: "a b" is not "b a".
        power = np.uint64(pow(_WORD_BASE, place, 1 << 64) & _MASK)
        if len(values):
            unit = values[np.minimum(start + place, len(values) - 1)]
            found += np.where(place < left, unit * power, np.uint64(0))
    return Ragged(mixed(found), offsets)


def distinct(rows: Ragged) -> Ragged:
    """Each row as a set of 32-bit hashes, ascending. Two of a hundred shingles fall together by
    chance once in a million texts."""
    owner = np.repeat(np.arange(len(rows.offsets) - 1, dtype=np.uint64), rows.lengths)
    packed = np.sort((owner << np.uint64(32)) | (rows.values.astype(np.uint64) >> np.uint64(32)))
    packed = packed[np.append(True, packed[1:] != packed[:-1])] if len(packed) else packed
    counts = np.bincount(
        (packed >> np.uint64(32)).astype(np.int64), minlength=len(rows.offsets) - 1
    )
    return Ragged((packed & np.uint64(0xFFFFFFFF)).astype(np.uint32), ends(counts))
