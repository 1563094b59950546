"""How prompts and answers become positions: laid out exactly as `trainer.filling` lays documents.

A piece begins with the marker `document`; each run of a side begins with that side's marker; every
chunk of text is encoded apart with the run's lead (a blank) before it, every chunk of speech is
tokenised apart. Nothing closes a piece here: the marker `end` would be scored as part of the last
option, and causality makes what follows without effect.
"""

import collections
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.encoding import Codes, Positions, SpeechTokenizer, TextTokenizer, encoded
from trainer.evaluation.errors import EvaluationError
from trainer.orders import laying
from trainer.pack import MARKER, SPEECH, TEXT, Vocabulary
from trainer.tokens import vocabulary


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One chunk of a side, and whether its positions are scored."""

    content: tuple[int, ...] | Codes  # ids of text, or codes [frames, codebooks]
    scored: bool = False

    @property
    def side(self) -> str:
        return "text" if isinstance(self.content, tuple) else "speech"

    def __len__(self) -> int:
        return len(self.content)

    def asked(self) -> "Run":
        """The same content, scored."""
        return dataclasses.replace(self, scored=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Laid:
    """One piece: positions as in `trainer.pack.Pack`, and which of them are scored."""

    ids: npt.NDArray[np.int32]  # [positions]
    codes: npt.NDArray[np.uint16]  # [positions, codebooks]
    modality: npt.NDArray[np.int8]  # [positions]
    scored: npt.NDArray[np.bool_]  # [positions]; never the first
    # [positions]: where chunks of speech begin, which no patch crosses; None: at sides alone
    begins: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def lay(runs: Iterable[Run], words: Vocabulary) -> Laid:
    """The piece of these chunks. Positions: one marker, then each chunk, a marker at each switch.

    A run of text that is empty still switches sides: an answer prefix may be no words at all.
    """
    ids: list[npt.NDArray[np.int32]] = []
    codes: list[npt.NDArray[np.uint16]] = []
    modality: list[int] = []
    scored: list[bool] = []
    begins: list[int] = []

    def add(found: npt.NDArray[np.int32], what: int, asked: bool, own: Codes | None = None) -> None:
        ids.append(found)
        empty = np.zeros((len(found), words.codebooks), np.uint16)
        codes.append(empty if own is None else own.astype(np.uint16))
        modality.extend([what] * len(found))
        scored.extend([asked] * len(found))

    def mark(name: str) -> None:
        add(np.array([words.marker(name)], np.int32), MARKER, False)

    mark("document")
    side = ""
    for run in runs:
        if run.side != side:
            side = run.side
            mark(side)
        if run.side == "speech" and len(run):
            begins.append(len(modality))
        if isinstance(run.content, tuple):
            add(np.array(run.content, np.int32), TEXT, run.scored)
        elif words.codebooks == 1:
            units = run.content[:, 0].astype(np.int32) + np.int32(words.speech_first)
            add(units, SPEECH, run.scored)
        else:
            frames = np.full(len(run.content), words.speech_first, np.int32)
            add(frames, SPEECH, run.scored, run.content)
    return Laid(
        ids=np.concatenate(ids),
        codes=np.concatenate(codes),
        modality=np.array(modality, np.int8),
        scored=np.array(scored, np.bool_),
        begins=np.isin(np.arange(len(modality)), begins),
    )


class Tokenizers:
    """The tokenizers of a run, as evaluation needs them. Keeps what it encoded, up to a limit, so
    that a set asked at many steps is decoded once."""

    def __init__(
        self,
        text: TextTokenizer,
        speech: SpeechTokenizer | None = None,
        *,
        lead: str = " ",
        words: Vocabulary | None = None,
        cache_bytes: int = 256 << 20,
    ) -> None:
        """`lead`: `text_lead` of the run's data. `speech`: with the run's order, where it has one
        (`trainer.orders.ordered`). `words`: the model's vocabulary; None: what these give."""
        self.text, self.speech, self.lead = text, speech, lead
        self.words = vocabulary(text.size, speech) if words is None else words
        self._order = laying(speech)
        self._source = speech if self._order is None else self._order.source
        self._positions = None if self._source is None else Positions(self._source)
        self._kept: collections.OrderedDict[Path, Codes] = collections.OrderedDict()
        self._room = cache_bytes

    def read(self, text: str) -> Run:
        """A chunk of text. Raises `EvaluationError` where it gives no tokens."""
        ids = tuple(self.text.encode(self.lead + text.strip()))
        if not ids:
            raise EvaluationError(f"the text tokenizer gives no tokens for {text!r}")
        return Run(ids)

    def prefix(self, text: str) -> Run:
        """As `read`; may be empty."""
        return self.read(text) if text.strip() else Run(())

    def hear(self, file: Path) -> Run:
        """A chunk of speech, from a mono FLAC or WAV. Raises `EvaluationError`."""
        found = self._kept.get(file)
        if found is None:
            found = self._encode(file)
            self._room -= found.nbytes
            self._kept[file] = found
            while self._room < 0 and len(self._kept) > 1:
                self._room += self._kept.popitem(last=False)[1].nbytes
        else:
            self._kept.move_to_end(file)
        return Run(found)

    def _encode(self, file: Path) -> Codes:
        import soundfile

        if self._source is None or self._positions is None:
            raise EvaluationError(f"{file}: is to be heard, and no speech tokenizer was given")
        try:
            pcm, rate = soundfile.read(file, dtype="int16")
        except soundfile.LibsndfileError as error:
            raise EvaluationError(f"{file}: {error}") from error
        if pcm.ndim != 1:
            raise EvaluationError(f"{file}: {pcm.shape[1]} channels; needs mono")
        frames = self._positions.of(len(pcm), rate)
        try:
            found = encoded(self._source, pcm, rate, frames, str(file))
        except ValueError as error:
            raise EvaluationError(str(error)) from error
        if not frames:
            raise EvaluationError(f"{file}: {len(pcm)} samples give no position of speech")
        return found if self._order is None else self._order.lay(found)
