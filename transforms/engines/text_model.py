"""Language models that say how likely a text is: local files only, on the CPU, one text at a time.

`hf/FOLDER`: a causal language model with its tokenizer, as `transformers` reads them (safetensors,
no code from the folder). `arpa/FILE`: an n-gram model with backoff in the ARPA format (`.gz` too),
as KenLM and SRILM write it; read in Python, so meant for models up to some million n-grams. What
a model has not learnt it finds unlikely, good as it may be: the model decides what "good" means.
"""

import dataclasses
import gzip
import importlib.metadata
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from transforms.engines.local_model import LocalModel
from transforms.engines.models import ModelError, file_digest
from transforms.measure.wording import words_of

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)
WINDOW = 512  # tokens judged at once; a longer text is judged in windows, so memory is bounded
FORMS = "hf/FOLDER (a causal language model) or arpa/FILE (an n-gram model)"


@dataclasses.dataclass(frozen=True, slots=True)
class Likelihood:
    """Of one text: the sum of the natural logarithms of its tokens' probabilities, and how many."""

    log_probability: float
    tokens: int


class TextModel(Protocol):
    """Says how likely texts are. Answers depend on each text alone."""

    def judge(self, text: str) -> Likelihood | None:
        """None where the text holds no token."""
        ...


def parse(spec: str) -> tuple[str, Path]:
    """The family and the path of "hf/FOLDER" or "arpa/FILE". Raises `ValueError`."""
    family, slash, path = spec.partition("/")
    if family not in ("hf", "arpa") or not slash or not path:
        raise ValueError(f"{spec!r} names no language model: write {FORMS}")
    return family, Path(path).expanduser()


def fingerprint(spec: str) -> dict[str, str]:
    """What changes the answers: the files, and for a network its libraries."""
    family, path = parse(spec)
    if family == "arpa":
        if not path.is_file():
            raise ModelError("arpa", f"there is no n-gram model at {path}: correct the setting")
        return {"arpa": file_digest(path)}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    return {"files": TextFolder(path).digest(), **versions}


def load(spec: str) -> TextModel:
    """The model of a spec. Raises `ModelError` that says what is wrong with its files."""
    family, path = parse(spec)
    return Arpa(path) if family == "arpa" else Causal(path)


# Networks ----------------------------------------------------------------------------------------


class TextFolder(LocalModel):
    """A folder with a network for text and its tokenizer."""

    def __init__(
        self, folder: Path, family: str = "hf", kind: str = "AutoModelForCausalLM"
    ) -> None:
        super().__init__(folder, family)
        self._kind = kind
        self._files += [name for name in _TOKENIZER_FILES if (folder / name).is_file()]

    def network(self) -> Any:
        """The network with its weights, float32 on the CPU."""
        import torch

        options = {"use_safetensors": True, "dtype": torch.float32}
        return self._from(self._kind, **options).eval().requires_grad_(False)

    def tokenizer(self) -> Any:
        """The tokenizer beside it."""
        return self._from("AutoTokenizer")


class Causal:
    """A causal language model, on one thread and one window of one text at a time."""

    def __init__(self, folder: Path) -> None:
        files = TextFolder(folder)
        self._tokenizer, self._network = files.tokenizer(), files.network()
        settings = self._network.config
        most = getattr(settings, "max_position_embeddings", None) or WINDOW + 1
        self._window = max(1, min(WINDOW, int(most) - 1))
        first = self._tokenizer.bos_token_id
        self._first = self._tokenizer.eos_token_id if first is None else first

    def judge(self, text: str) -> Likelihood | None:
        tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if not tokens:
            return None
        total, count = 0.0, 0
        for at in range(0, len(tokens), self._window):
            window = tokens[at : at + self._window]
            # Without a token that begins texts, nobody knows how likely the first one is.
            ids = window if self._first is None else [self._first, *window]
            if len(ids) > 1:
                total += self._sum(ids)
                count += len(ids) - 1
        return Likelihood(total, count) if count else None

    def _sum(self, ids: Sequence[int]) -> float:
        import torch

        from transforms.engines.voice import one_thread

        with one_thread(), torch.inference_mode():
            given = torch.tensor([list(ids)])
            chances = torch.log_softmax(self._network(input_ids=given).logits[0, :-1], -1)
            picked = chances.gather(1, given[0, 1:, None])
        return math.fsum(picked[:, 0].tolist())


# n-grams -----------------------------------------------------------------------------------------

_SECTION = re.compile(r"\\(\d+)-grams:")
_LN10 = math.log(10)


class Arpa:
    """An n-gram model with backoff (Katz 1987), as its ARPA file has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chances: dict[tuple[str, ...], float] = {}
        self._backoffs: dict[tuple[str, ...], float] = {}
        self.order = 0
        try:
            self._read()
        except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
            raise ModelError(
                "arpa", f"the file {path} is no n-gram model in the ARPA format: {error}"
            ) from error
        if not self.order:
            raise ModelError("arpa", f"the file {path} holds no n-grams")
        # A model without <unk> says nothing of new words: as unlikely as the least likely it knows.
        least = min(value for gram, value in self._chances.items() if len(gram) == 1)
        self._unknown = self._chances.get(("<unk>",), least)

    def _read(self) -> None:
        size = 0
        for line in _lines(self._path):
            section = _SECTION.fullmatch(line)
            if section:
                size = int(section[1])
                self.order = max(self.order, size)
                continue
            if line.startswith("\\"):
                size = 0
            if not size or not line:
                continue
            parts = line.split("\t") if "\t" in line else line.split()
            chance, *rest = parts
            words = rest[0].split() if "\t" in line else rest[:size]
            more = rest[1:] if "\t" in line else rest[size:]
            if len(words) != size:
                raise ValueError(f"{line[:60]!r} is no {size}-gram")
            gram = tuple(words)
            self._chances[gram] = float(chance)
            if more:
                self._backoffs[gram] = float(more[0])

    def judge(self, text: str) -> Likelihood | None:
        words = words_of(text)
        if not words:
            return None
        history: list[str] = ["<s>"]
        logs: list[float] = []
        for word in [*words, "</s>"]:
            known = word if (word,) in self._chances else "<unk>"
            logs.append(
                self._log10(tuple(history[-(self.order - 1) :] if self.order > 1 else ()), known)
            )
            history.append(known)
        return Likelihood(math.fsum(logs) * _LN10, len(logs))

    def _log10(self, history: tuple[str, ...], word: str) -> float:
        penalty = 0.0
        while True:
            found = self._chances.get((*history, word))
            if found is not None:
                return penalty + found
            if not history:
                return penalty + self._unknown
            penalty += self._backoffs.get(history, 0.0)
            history = history[1:]


def _lines(path: Path) -> Iterator[str]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\r\n")
