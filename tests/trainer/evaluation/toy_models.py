"""Sets and models of a few bytes, small enough to work out by hand what they must score."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from tests.trainer.data.made_sets import RATE, ByteText, Energy
from trainer.evaluation.laying import Tokenizers
from trainer.evaluation.layout import EvalSet, write_set
from trainer.pack import SPEECH, Vocabulary
from trainer.tensors import Inputs

__all__ = ["RATE", "ByteText", "Energy"]


def tokenizers(codebooks: int = 1, **more: Any) -> Tokenizers:
    """Bytes, and the mean level of each hop in 64 steps."""
    return Tokenizers(ByteText(), Energy(codebooks), **more)


def flac(seed: int, hops: int = 3, folder: Path | None = None) -> bytes:
    """`hops` hops of noise whose loudness says the seed."""
    import io

    rng = np.random.default_rng(seed)
    levels = rng.integers(40, 900, hops).repeat(200)
    pcm = np.clip(rng.normal(0, 1, hops * 200) * levels, -32768, 32767).astype(np.int16)
    sink = io.BytesIO()
    soundfile.write(sink, pcm, RATE, format="FLAC")
    return sink.getvalue()


def made_set(folder: Path, items: Sequence[Mapping[str, Any]], sounds: int = 0) -> EvalSet:
    """A set whose audio is `audio/0.flac` up to `sounds`, each of its own length."""
    audio = {f"audio/{k}.flac": flac(k, 2 + k % 5) for k in range(sounds)}
    return write_set(folder, items, audio)


def cloze(number: int, options: Sequence[str], answer: int, **more: Any) -> dict[str, Any]:
    """A question that is spoken and written."""
    question = {"text": f"question {number}?", "audio": f"audio/{number}.flac"}
    found = {"kind": "cloze", "id": f"q{number}", "question": question}
    return {**found, "options": list(options), "answer": answer, **more}


def lines(folder: Path, *rows: Any) -> Path:
    """A folder with these lines as its items: texts as they are, all else as JSON."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    (folder / "audio" / "a.flac").write_bytes(flac(1))
    (folder / "audio" / "b.flac").write_bytes(flac(2))
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (folder / "items.jsonl").write_text(text, encoding="utf-8")
    return folder


class Bigram:
    """The next id depends on the present one alone: logits are rows of a table."""

    def __init__(self, words: Vocabulary, seed: int | None = 0, spread: float = 1.0) -> None:
        """`seed` None: all logits 0, a uniform model."""
        self.vocabulary = words
        shape = (words.size, words.size)
        codes = (words.size, words.codebooks * max(words.levels, 1))
        if seed is None:
            self.table, self.frames = torch.zeros(shape), torch.zeros(codes)
        else:
            chance = torch.Generator().manual_seed(seed)
            self.table = spread * torch.randn(shape, generator=chance)
            self.frames = spread * torch.randn(codes, generator=chance)

    def __call__(self, given: Inputs) -> torch.Tensor:
        return torch.nn.functional.one_hot(given.ids, self.vocabulary.size).float()

    def text_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden @ self.table

    def code_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        found = hidden @ self.frames
        return found.unflatten(-1, (self.vocabulary.codebooks, self.vocabulary.levels))

    def chain(self, before: int, ids: Sequence[int]) -> float:
        """log p(ids) after `before`, in float64."""
        table = self.table.double().log_softmax(-1)
        return sum(float(table[a, b]) for a, b in zip([before, *ids[:-1]], ids, strict=True))


class Oracle:
    """Knows what follows: a function from what a piece begins with to the ids it expects next.

    `knows(ids, spoken)`: ids of the piece up to here, and whether speech is among them.
    """

    def __init__(
        self, words: Vocabulary, knows: Callable[[tuple[int, ...], bool], int | None]
    ) -> None:
        self.vocabulary, self._knows = words, knows

    def __call__(self, given: Inputs) -> torch.Tensor:
        hidden = torch.zeros(given.packs, given.length, self.vocabulary.size)
        for pack in range(given.packs):
            for position in range(given.length):
                own = given.piece[pack, : position + 1] == given.piece[pack, position]
                ids = tuple(given.ids[pack, : position + 1][own].tolist())
                heard = bool((given.modality[pack, : position + 1][own] == SPEECH).any())
                expected = self._knows(ids, heard)
                if expected is not None:
                    hidden[pack, position, expected] = 1.0
        return hidden

    def text_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return 20.0 * hidden

    def code_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        raise AssertionError("one codebook")
