"""What reading needs of tokenizers: two protocols, so that any engine can be handed in.

Packs are planned before any audio is decoded, so the number of frames of a stretch must follow from
its length alone. A tokenizer whose count depends on content (deduplicated units) can only be read
from stored tokens; one that breaks its promise is caught when the stretch is encoded.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from schemas.shard_tokens import TokenizerEntry
from schemas.token_frames import FrameGrid

Codes = npt.NDArray[np.unsignedinteger[Any]]  # [frames, codebooks]


@runtime_checkable
class TextTokenizer(Protocol):
    """Text to ids below `size`. No markers: those are the vocabulary's."""

    @property
    def size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...


@runtime_checkable
class SpeechTokenizer(Protocol):
    """Mono PCM16 to codes below `levels`, `[frames, codebooks]`, one row per position."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...  # of everything that decides its output
    @property
    def frames_per_second(self) -> float: ...
    @property
    def codebooks(self) -> int: ...
    @property
    def levels(self) -> int: ...

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> Codes: ...


class Positions:
    """How many positions a tokenizer gives for a stretch, and where one begins, by lengths alone.

    A tokenizer with a `grid` (`schemas.token_frames.FrameGrid`) is asked through it, so that
    stored tokens and those encoded anew lie alike; one with `frames(samples, rate)` is asked that;
    any other encodes silence of that length, once per length. These count frames; one with
    `laid(frames)` (`trainer.orders`) says how many positions a part of so many takes.
    """

    def __init__(self, tokenizer: Any, grid: FrameGrid | None = None) -> None:
        self._tokenizer = tokenizer
        self._grid: FrameGrid | None = grid or getattr(tokenizer, "grid", None)
        self._asked: Any = getattr(tokenizer, "frames", None)
        self._laid: Any = getattr(tokenizer, "laid", None)
        self._known: dict[tuple[int, int], int] = {}

    def of(self, samples: int, rate: int) -> int:
        """Positions of a chunk of `samples` at `rate` hertz."""
        if samples <= 0:
            return 0
        if self._grid is not None:
            return self._grid.positions(samples, rate)
        if self._asked is not None:
            return int(self._asked(samples, rate))
        if (samples, rate) not in self._known:
            silence = np.zeros(samples, np.int16)
            self._known[samples, rate] = len(self._tokenizer.encode(silence, rate))
        return self._known[samples, rate]

    def each(self, samples: npt.NDArray[np.int64], rates: npt.NDArray[np.int64]) -> list[int]:
        """`of` many chunks at once."""
        grid = self._grid
        if grid is None:
            pairs = zip(samples.tolist(), rates.tolist(), strict=True)
            return [self.of(size, rate) for size, rate in pairs]
        heard = -(-samples * grid.rate // rates)
        steps = heard // grid.hop + 1 if grid.centred else -(-heard // grid.hop)
        found: list[int] = np.where(heard > 0, -(-steps // grid.stack), 0).tolist()
        return found

    @property
    def as_frames(self) -> bool:
        """Whether a part of so many frames takes as many positions."""
        return self._laid is None

    def laid(self, frames: int) -> int:
        """Positions of a part of `frames`, in the order of its codes: as many, if none is set."""
        return frames if self._laid is None else int(self._laid(frames))

    def border(self, sample: int, samples: int, rate: int) -> int:
        """Positions of a chunk of `samples` that lie before its `sample`: 0 to all of them."""
        if self._grid is not None:
            return self._grid.border(sample, samples, rate)
        if samples <= 0:
            return 0
        return self.of(samples, rate) * min(max(sample, 0), samples) // samples


class StoredOnly:
    """A tokenizer known only by its entry in a manifest: its stored tokens can be read."""

    def __init__(self, entry: TokenizerEntry) -> None:
        self.name, self.digest, self.grid = entry.name, entry.digest, entry.grid
        self.codebooks, self.levels = entry.codebooks, entry.levels
        self.frames_per_second = entry.rate_hz

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> Codes:
        raise ValueError(
            f"tokenizer {self.name} is known by its stored tokens alone: it cannot encode"
        )


def encoded(
    tokenizer: SpeechTokenizer, pcm: npt.NDArray[np.int16], rate: int, frames: int, where: str
) -> Codes:
    """Codes of a stretch, checked: `[frames, codebooks]`, unsigned, below `levels`."""
    codes = np.asarray(tokenizer.encode(pcm, rate))
    if codes.ndim == 1:
        codes = codes[:, None]
    if codes.shape != (frames, tokenizer.codebooks) or codes.dtype.kind != "u":
        raise ValueError(
            f"tokenizer {tokenizer.name} gave {codes.dtype} {codes.shape} for {len(pcm)} samples "
            f"of {where}; expected unsigned {(frames, tokenizer.codebooks)}. A count that depends "
            "on content can only be read from stored tokens"
        )
    # beyond levels there is no embedding row; 65,536 levels cannot be exceeded in 16 bits
    if frames and tokenizer.levels <= np.iinfo(codes.dtype).max:
        highest = int(codes.max())
        if highest >= tokenizer.levels:
            raise ValueError(
                f"tokenizer {tokenizer.name} gave code {highest} for {where}; it has "
                f"{tokenizer.levels} levels"
            )
    return codes
