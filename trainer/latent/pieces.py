"""SentencePiece units over speech units: LST's baseline "BPE SpeechLLM" (arXiv 2510.06195, 4.1).

Frequent runs of units become one position each, as words become tokens. How many positions a chunk
then has depends on what it holds, so its stored tokens are read when packs are planned; units made
from FLAC while reading cannot be planned, and are refused. Units are spelt as characters of a
private area, one each, and every unit is a piece by itself, so nothing is unknown.

A model of pieces is one JSON file: the SentencePiece model, which tokenizer's units it is over, and
whether runs of one unit are taken as one first. Its sha256 is part of a run.
"""

import base64
import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.token_frames import FrameGrid
from trainer.encoding import Codes, SpeechTokenizer
from trainer.orders import Laying
from trainer.tokens import deduplicated

FIRST = 0xF0000  # of a private area of 65,534 characters: unit u is chr(FIRST + u)
FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class PieceModel:
    """What a file of pieces holds."""

    path: Path
    digest: str  # sha256 of the file
    size: int  # pieces
    source: str  # digest of the tokenizer whose units these are of
    levels: int  # of that tokenizer
    deduplicated: bool
    proto: bytes  # the SentencePiece model

    def encode(self, units: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint16]:
        """Units [positions] as pieces [fewer positions]."""
        found = _processor(self.digest, self.proto).EncodeAsIds(spelt(units))
        return np.array(found, np.uint16)

    def decode(self, pieces: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """The units that pieces stand for: those encoded, or one of each run of them."""
        text: str = _processor(self.digest, self.proto).DecodeIds(pieces.tolist())
        return np.array([ord(one) - FIRST for one in text], np.int64)


def spelt(units: npt.NDArray[np.integer[Any]]) -> str:
    return "".join(map(chr, (np.asarray(units, np.int64) + FIRST).tolist()))


@functools.lru_cache(maxsize=4)
def _processor(digest: str, proto: bytes) -> Any:
    from sentencepiece import SentencePieceProcessor

    found = SentencePieceProcessor()
    found.LoadFromSerializedProto(proto)
    return found


def write_pieces(path: Path, proto: bytes, about: dict[str, Any]) -> None:
    """`about`: size, source, levels, deduplicated, and how it was trained."""
    whole = {"format": FORMAT, **about, "model": base64.b64encode(proto).decode()}
    path.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", "utf-8")


def read_pieces(path: Path | str) -> PieceModel:
    """A file that `write_pieces` wrote. Raises `ValueError` for any other, `FileNotFoundError`."""
    path = Path(path)
    data = path.read_bytes()
    try:
        whole = json.loads(data)
        if whole["format"] != FORMAT:
            raise ValueError(f"format {whole['format']!r}")
        return PieceModel(
            path=path.resolve(),
            digest=hashlib.sha256(data).hexdigest(),
            size=int(whole["size"]),
            source=str(whole["source"]),
            levels=int(whole["levels"]),
            deduplicated=bool(whole["deduplicated"]),
            proto=base64.b64decode(whole["model"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no file of pieces ({error!r}); make one with python -m "
            "trainer.latent.pieces_fit"
        ) from error


@dataclasses.dataclass(frozen=True, slots=True)
class Pieces(Laying):
    """A tokenizer of one codebook seen through a model of pieces."""

    source: SpeechTokenizer
    model: PieceModel

    by_content = True

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def digest(self) -> str:
        """Of the units and of the pieces."""
        return hashlib.sha256(f"{self.source.digest} {self.model.digest}".encode()).hexdigest()

    @property
    def frames_per_second(self) -> float:
        """Units per second: pieces are fewer, and how many fewer their content says."""
        return self.source.frames_per_second

    @property
    def grid(self) -> FrameGrid | None:
        return getattr(self.source, "grid", None)

    @property
    def codebooks(self) -> int:
        return 1

    @property
    def levels(self) -> int:
        return self.model.size

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> Codes:
        """Units [positions, 1] of one chunk."""
        return self.source.encode(pcm, rate)

    def lay(self, codes: Codes) -> Codes:
        """Units [positions, 1] of one part to pieces [fewer, 1]."""
        units = deduplicated(codes)[0] if self.model.deduplicated else codes
        return self.model.encode(units[:, 0])[:, None]


def in_pieces(speech: SpeechTokenizer, path: str) -> Pieces:
    """A tokenizer through the pieces of a file. Raises `ValueError` where they do not belong
    together."""
    model = read_pieces(path)
    if speech.codebooks != 1:
        raise ValueError(
            f"{path}: pieces are of units, and {speech.name} has {speech.codebooks} codebooks"
        )
    if model.source != speech.digest:
        raise ValueError(
            f"{path} was trained on units of another tokenizer ({model.source[:12]}) than "
            f"{speech.name} ({speech.digest[:12]})"
        )
    return Pieces(speech, model)
