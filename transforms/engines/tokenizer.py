"""Speech tokenizers: samples of one chunk in, whole numbers out.

A tokenizer is named `family` or `family/variant`: `dmel`, `dmel/20x4`, `kmeans/units.safetensors`,
`codec/./mimi@8`. It hears one chunk at a time and answers from that chunk alone, so tokens never
cross a chunk's border and do not change with what stands beside it. Models are read from local
files, never fetched.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.problems import nearest
from schemas.records import Document, frames
from schemas.shard_tokens import TokenizerEntry, Units, dtype_of
from schemas.token_frames import FrameGrid
from transforms.engines.dmel import DMel
from transforms.engines.hub_codec import HubCodec
from transforms.engines.kmeans import KMeans
from transforms.step import Pcm16


class SpeechTokenizer(Protocol):
    """An engine. Making one reads no weights: they are read when it first encodes."""

    name: str  # of its members in shards
    family: str
    levels: int  # entries of each codebook
    grid: FrameGrid  # how it steps through samples

    @property
    def codebooks(self) -> int:
        """Units per position. May read the weights, where nothing else tells."""
        ...

    @property
    def rate_hz(self) -> float:
        """Positions per second."""
        ...

    def digest(self) -> str:
        """The sha256 of all that decides its output: settings and model files, not libraries."""
        ...

    def encode(self, pcm: Pcm16, rate: int) -> npt.NDArray[Any]:
        """Units [positions, codebooks] of one chunk of samples [n] at `rate` hertz.

        As many positions as `grid.positions(n, rate)`, in the smallest unsigned type that holds
        `levels`; a function of these samples alone.
        """
        ...


class Family(Protocol):
    """What makes a tokenizer of a variant, and says beforehand whether there can be one."""

    def __call__(self, variant: str = "") -> SpeechTokenizer:
        """Raises `ValueError` for a variant that cannot be meant, `ModelError` for its files."""
        ...

    def parse(self, variant: str) -> Any:
        """Raises `ValueError` for a variant that cannot be meant. Looks at no file."""
        ...


FAMILIES: dict[str, Family] = {"dmel": DMel, "kmeans": KMeans, "codec": HubCodec}

# whose versions may change the last bits of what a family computes
LIBRARIES = {
    "dmel": ("numpy", "scipy", "soxr"),
    "kmeans": ("numpy", "scipy", "soxr", "torch", "transformers"),
    "codec": ("numpy", "soxr", "torch", "transformers"),
}


def parse(spec: str) -> tuple[str, str]:
    """Family and variant of a name in a recipe. Raises `ValueError`, looks at no file."""
    family, _, variant = spec.partition("/")
    if family not in FAMILIES:
        raise ValueError(
            f"{spec!r} is no speech tokenizer{nearest(family, FAMILIES)}; there are dmel, "
            "dmel/STRIDExSTACK, kmeans/FILE and codec/FOLDER"
        )
    FAMILIES[family].parse(variant)
    return family, variant


@functools.lru_cache(maxsize=16)
def load(spec: str) -> SpeechTokenizer:
    """The tokenizer of a name in a recipe, one per process. Raises `ValueError`, `ModelError`."""
    family, variant = parse(spec)
    return FAMILIES[family](variant)


def entry_of(tokenizer: SpeechTokenizer) -> TokenizerEntry:
    """A tokenizer as a manifest names it."""
    return TokenizerEntry(
        name=tokenizer.name,
        engine=tokenizer.family,
        digest=tokenizer.digest(),
        codebooks=tokenizer.codebooks,
        levels=tokenizer.levels,
        grid=tokenizer.grid,
    )


def encode_chunks(tokenizer: SpeechTokenizer, chunks: Sequence[Pcm16], rate: int) -> Units:
    """Units [positions, codebooks] of chunks end to end, each heard by itself.

    Raises `RuntimeError` where a tokenizer breaks its contract: its tokens would be misplaced.
    """
    dtype = dtype_of(tokenizer.levels)
    found: list[Units] = [np.zeros((0, tokenizer.codebooks), dtype)]
    for pcm in chunks:
        if not len(pcm):
            continue
        units = tokenizer.encode(pcm, rate)
        shape = (tokenizer.grid.positions(len(pcm), rate), tokenizer.codebooks)
        if units.shape != shape or units.dtype != dtype:
            raise RuntimeError(
                f"tokenizer {tokenizer.name} gave {units.dtype} {units.shape} for {len(pcm)} "
                f"samples at {rate} Hz, it promised {dtype} {shape}"
            )
        found.append(units)
    return np.concatenate(found)


def chunk_samples(document: Document, samples: Pcm16) -> Iterator[Pcm16]:
    """The samples of each chunk of a document; none for one that is text only."""
    for chunk in document.chunks:
        yield samples[frames(chunk.start, document.rate) : frames(chunk.end, document.rate)]


def encode_document(tokenizer: SpeechTokenizer, document: Document, samples: Pcm16) -> Units:
    """Units of a document from its samples: what a shard stores of it."""
    return encode_chunks(tokenizer, list(chunk_samples(document, samples)), document.rate)
