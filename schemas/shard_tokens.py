"""Speech tokens in shards: what made them, and how an array stands in a member.

An array is `[positions]` for one codebook and `[positions, codebooks]` for several, chunks end to
end, in the smallest unsigned type: `<key>.<tokenizer>.npy`. The header is written by hand, and read
by comparing it with the one that would be written: no library version changes a byte, and nothing
is ever unpickled.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.records import Document
from schemas.shard import ShardError
from schemas.token_frames import FrameGrid, Timeline

Units = npt.NDArray[np.unsignedinteger[Any]]  # [positions, codebooks]

TOKENIZER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,23}")
SHA256 = re.compile(r"[0-9a-f]{64}")
LARGEST = 1 << 32  # levels
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([|<]u[124])', 'fortran_order': False, 'shape': \((\d+)(?:,|, (\d+))\), \} *\n"
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerEntry:
    """A tokenizer as the manifest names it: enough to read its tokens and to refuse another's."""

    name: str  # of the members: <key>.<name>.npy
    engine: str  # family and what tells two of one family apart: "dmel", "kmeans"
    digest: str  # sha256 of all that decides its output
    codebooks: int
    levels: int  # entries of each codebook
    grid: FrameGrid
    deduplicated: bool = False  # always: repeats are stored, so that places follow from times

    def __post_init__(self) -> None:
        if not TOKENIZER_NAME.fullmatch(self.name) or not SHA256.fullmatch(self.digest):
            raise ValueError(f"tokenizer {self.name!r}: name or digest {self.digest!r} is none")
        if self.codebooks < 1 or not 2 <= self.levels <= LARGEST or self.deduplicated:
            raise ValueError(f"tokenizer {self.name!r} cannot be stored: {self}")

    @property
    def rate_hz(self) -> float:
        """Positions per second."""
        return self.grid.rate_hz

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtype_of(self.levels)

    def row(self) -> dict[str, Any]:
        """The entry as plain JSON."""
        found = dataclasses.asdict(self)
        return {**found, "rate_hz": self.rate_hz, "dtype": self.dtype.name}

    @staticmethod
    def of(row: Mapping[str, Any]) -> "TokenizerEntry":
        """The entry of plain JSON. Raises KeyError, TypeError or ValueError for anything else."""
        own = {name: row[name] for name in ("name", "engine", "digest", "codebooks", "levels")}
        kinds = {"name": str, "engine": str, "digest": str, "codebooks": int, "levels": int}
        grid = {name: row["grid"][name] for name in ("rate", "hop", "stack", "centred")}
        kinds_of_grid = {"rate": int, "hop": int, "stack": int, "centred": bool}
        for values, types in ((own, kinds), (grid, kinds_of_grid)):
            wrong = [name for name, kind in types.items() if type(values[name]) is not kind]
            if wrong:
                raise TypeError(f"{wrong} of tokenizer {row['name']!r:.40}")
        entry = TokenizerEntry(**own, grid=FrameGrid(**grid), deduplicated=row["deduplicated"])
        if entry.row() != dict(row):
            raise ValueError(f"tokenizer {entry.name}: {dict(row)} contradicts itself")
        return entry


def dtype_of(levels: int) -> np.dtype[Any]:
    """The smallest unsigned type that holds 0 .. levels - 1."""
    return np.dtype("u1" if levels <= 1 << 8 else "<u2" if levels <= 1 << 16 else "<u4")


def npy_bytes(units: Units) -> bytes:
    """An array [positions, codebooks] as a .npy file of version 1.0."""
    if units.ndim != 2 or units.dtype not in (np.uint8, np.uint16, np.uint32):
        raise ValueError(f"tokens are unsigned [positions, codebooks], not {units.dtype} "
                         f"{units.shape}")  # fmt: skip
    kept = units[:, 0] if units.shape[1] == 1 else units
    data = np.ascontiguousarray(kept, units.dtype.newbyteorder("<"))
    return _header(_spelt(units.dtype), data.shape) + data.tobytes()


def _spelt(dtype: np.dtype[Any]) -> str:
    return "|u1" if dtype.itemsize == 1 else f"<u{dtype.itemsize}"


def _header(descr: str, shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode("ascii")
    padding = b" " * (-(len(_MAGIC) + 2 + len(text) + 1) % 64) + b"\n"
    return _MAGIC + (len(text) + len(padding)).to_bytes(2, "little") + text + padding


def read_npy(data: bytes, where: str) -> Units:
    """The array [positions, codebooks] of a member, a view of its bytes. Raises `ShardError`."""
    length = 10 + int.from_bytes(data[8:10], "little")
    head = _read_header(bytes(data[:length]))
    if head is None:
        raise ShardError(
            "bad_tokens", f"{where}: no array of tokens as format 1 begins it: {data[:48]!r}"
        )
    dtype, shape = head
    if len(data) != length + shape[0] * shape[1] * dtype.itemsize:
        raise ShardError(
            "bad_tokens", f"{where}: {len(data) - length} bytes for {shape} of {dtype}"
        )
    return np.frombuffer(data, dtype, shape[0] * shape[1], length).reshape(shape)


@functools.lru_cache(maxsize=4096)  # arrays of one length have one header
def _read_header(head: bytes) -> tuple[np.dtype[Any], tuple[int, int]] | None:
    """Type and shape [positions, codebooks] of all that stands before an array's values; None where
    it is not, to the byte, what `npy_bytes` writes."""
    found = _HEADER.fullmatch(head[10:])
    if found is None:
        return None
    descr, *sizes = found.groups()
    shape = tuple(int(size) for size in sizes if size is not None)
    if head != _header(descr.decode(), shape) or shape[1:] == (1,):
        return None
    return np.dtype(descr.decode()), (shape[0], shape[1] if len(shape) == 2 else 1)


@functools.lru_cache(maxsize=4096)
def npy_head(dtype: np.dtype[Any], positions: int, codebooks: int) -> bytes:
    """What `npy_bytes` writes before the values of an array [positions, codebooks]."""
    return _header(_spelt(dtype), (positions,) if codebooks == 1 else (positions, codebooks))


def check_units(document: Document, entry: TokenizerEntry, units: Units, where: str) -> None:
    """Raise `ShardError` unless an array is, by shape, type and range, a document's tokens."""
    shape = (Timeline(document, entry.grid).total, entry.codebooks)
    if units.shape != shape or units.dtype != entry.dtype:
        raise ShardError(
            "bad_tokens",
            f"{where}: tokens of {entry.name} are {units.dtype} {units.shape}; its chunks' times "
            f"and the tokenizer ask for {entry.dtype} {shape}",
        )
    highest = int(units.max(initial=0))
    if highest >= entry.levels:
        raise ShardError(
            "bad_tokens", f"{where}: {entry.name} has {entry.levels} levels, there is {highest}"
        )
