"""The speech tokenizer of a run: what `trainer.data` is handed to read or to make tokens with.

Stored tokens are preferred; whether a set has them is decided by digest, so a tokenizer is named in
a config as it was in the recipe, and both name the same files. Engines live in
`transforms.engines.tokenizer`; here they get the shape that reading asks for.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.shard_tokens import TokenizerEntry
from schemas.token_frames import FrameGrid
from trainer.contrastive.waveform import Waveform
from trainer.encoding import Codes, SpeechTokenizer, StoredOnly
from trainer.pack import Vocabulary
from transforms.engines import tokenizer


@dataclasses.dataclass(frozen=True, slots=True)
class Encoder:
    """A tokenizer by its name in a recipe. Travels to workers as that name; models load there."""

    spec: str

    @property
    def _engine(self) -> tokenizer.SpeechTokenizer:
        return tokenizer.load(self.spec)

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def digest(self) -> str:
        return self._engine.digest()

    @property
    def frames_per_second(self) -> float:
        """Positions per second."""
        return self._engine.rate_hz

    @property
    def grid(self) -> FrameGrid:
        return self._engine.grid

    @property
    def codebooks(self) -> int:
        return self._engine.codebooks

    @property
    def levels(self) -> int:
        return self._engine.levels

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> Codes:
        """Units [positions, codebooks] of one chunk."""
        return self._engine.encode(pcm, rate)


def speech_tokenizer(spec: str, stored: Sequence[TokenizerEntry] = ()) -> SpeechTokenizer:
    """The tokenizer of a config: `dmel/20x4`, or the name of stored tokens (`kmeans-1a2b3c4d`).

    `stored`: what the manifests of the sets name. A tokenizer known by its stored tokens alone can
    be read and not computed, so its model need not be here. Raises `ValueError` for a name that is
    neither, or that two sets use for different tokenizers; `ModelError` where files are missing.
    """
    if spec == "waveform":  # samples as they are, for models with an encoder of their own
        return Waveform()
    named = {entry.digest: entry for entry in stored if entry.name == spec}
    if len(named) > 1:
        raise ValueError(
            f"the sets store {len(named)} different tokenizers as {spec!r}; name one by its files"
        )
    try:
        tokenizer.parse(spec)
    except ValueError as error:
        if not named:
            there = ", ".join(sorted({entry.name for entry in stored})) or "none"
            raise ValueError(f"{error}; stored in the sets: {there}") from error
        return StoredOnly(next(iter(named.values())))
    return Encoder(spec)


def vocabulary(text: int, speech: SpeechTokenizer | None) -> Vocabulary:
    """How ids are laid out for a text tokenizer of `text` ids and a speech tokenizer, if any.

    Raises `ValueError` where several codebooks have more levels than a pack can hold.
    """
    if speech is None:
        return Vocabulary(text=text)
    if speech.codebooks > 1 and speech.levels > 1 << 16:
        raise ValueError(
            f"tokenizer {speech.name} has {speech.levels} levels; packs hold up to 65,536"
        )
    return Vocabulary(
        text=text,
        codebooks=speech.codebooks,
        levels=speech.levels,
        pad=getattr(speech, "pad", None),
    )


def deduplicated(units: Codes) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Runs of equal positions as one each, and how long each was; `np.repeat` gives them back.

    Stored tokens are never deduplicated: a position's place in time follows from its number.
    """
    if not len(units):
        return units, np.zeros(0, np.int64)
    first = np.flatnonzero(np.r_[True, (units[1:] != units[:-1]).any(axis=1)])
    return units[first], np.diff(np.r_[first, len(units)])
