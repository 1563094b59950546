"""Text tokenizers from files: `tokenizers` JSON, SentencePiece models, and a byte-level BPE.

A file is used as it is, with three exceptions, so that nothing is lost or made up: no token is put
before or after a text, nothing is cut or padded, and text that spells a special token (`</s>`) is
read as text. Tokenizers travel to workers as the path of their file and are read there.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FILES = ("tokenizer.json", "tokenizer.model")  # of a model's folder, the first that is there


@dataclasses.dataclass(frozen=True, slots=True)
class FileTokenizer:
    """A text tokenizer in a file, by `trainer.encoding.TextTokenizer`. Made by
    `load_text_tokenizer`."""

    path: Path
    digest: str  # sha256 of the file
    size: int  # ids are below it: the highest id + 1

    def encode(self, text: str) -> list[int]:
        return _engine(self.path, self.digest).encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids below `size`; special tokens are spelt out."""
        return _engine(self.path, self.digest).decode(list(ids))

    @property
    def sentencepiece(self) -> bool:
        return self.path.suffix != ".json"


def load_text_tokenizer(path: Path | str) -> FileTokenizer:
    """The tokenizer of a `tokenizer.json`, a SentencePiece `.model`, or a folder with either.

    Raises `ValueError` for a file that is neither, `FileNotFoundError` for none.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in FILES if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(f"{path} holds neither {FILES[0]} nor {FILES[1]}")
        path = found[0]
    if path.suffix not in (".json", ".model"):
        raise ValueError(
            f"{path} is no text tokenizer: give a tokenizer.json, a SentencePiece .model, or the "
            "folder of one"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path = path.resolve()
    return FileTokenizer(path, digest, _engine(path, digest).size)


class _Json:
    def __init__(self, path: Path, data: bytes) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_buffer(data)
        except Exception as error:  # the library raises no narrower class
            raise ValueError(f"{path} is no tokenizer of `tokenizers`: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self.size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def encode(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def decode(self, ids: list[int]) -> str:
        found: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return found


class _SentencePiece:
    def __init__(self, path: Path, data: bytes) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise ValueError(
                f"{path} needs the package sentencepiece: pip install 'speechloom[train]'"
            ) from error
        self._processor: Any = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(data)
        except RuntimeError as error:
            raise ValueError(f"{path} is no SentencePiece model: {error}") from error
        self.size = int(self._processor.GetPieceSize())

    def encode(self, text: str) -> list[int]:
        found: list[int] = self._processor.EncodeAsIds(text)
        return found

    def decode(self, ids: list[int]) -> str:
        found: str = self._processor.DecodeIds(ids)
        return found


@functools.lru_cache(maxsize=8)
def _engine(path: Path, digest: str) -> _Json | _SentencePiece:
    """The file, read once in each process. Raises `ValueError` where it was changed since."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"{path} has changed since the run began: its sha256 is not {digest}")
    return _Json(path, data) if path.suffix == ".json" else _SentencePiece(path, data)


def train_bpe(texts: Iterable[str], size: int, *, at_most: bool = False) -> str:
    """A byte-level BPE of `size` ids trained on texts, as the content of a `tokenizer.json`.

    Every text can be encoded, and decoding gives it back. The same texts in the same order give the
    same bytes. Words are split as by GPT-2; there are no special tokens, for markers belong to the
    vocabulary. Raises `ValueError` where the texts have fewer than `size` distinct pieces, unless
    `at_most` takes what there is.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if size < len(alphabet):
        raise ValueError(f"a byte-level BPE has at least {len(alphabet)} ids, not {size}")
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() < size and not at_most:
        raise ValueError(
            f"these texts give a byte-level BPE of {tokenizer.get_vocab_size()} ids and no more: "
            f"ask for at most that, or give more text than {size} needs"
        )
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, indent=1) + "\n"
