"""A decoder that begins as a text model: the weights of a local Hugging Face folder, extended.

Rows of text are taken over; rows of markers and speech are new. They are Xavier-normal, as one
matrix of new rows (SpeLangy), or the mean of the text rows. Our own exports go on with markers, and
with speech where the tokenizer is the same.
"""

import dataclasses
import math
from pathlib import Path
from typing import Literal

import torch

from trainer.model import Decoder, drawn, drawn_rows
from trainer.pack import Vocabulary
from trainer.text import FILES, FileTokenizer, load_text_tokenizer
from trainer.weight_files import InitializationError, read_json, tensors_of, weights_of
from trainer.weight_names import CODES, LAYOUT, SPEECH_DIGEST, hugging_face_name
from trainer.weight_settings import settings_from

__all__ = ["InitializationError", "NewEmbeddings", "initialized", "settings_from"]

NewEmbeddings = Literal["xavier", "mean"]


def initialized(
    folder: Path | str,
    vocabulary: Vocabulary,
    seed: int,
    *,
    new_embeddings: NewEmbeddings = "xavier",
    text: FileTokenizer | None = None,
    speech: str | None = None,
    attention: Literal["sdpa", "flex"] = "sdpa",
) -> Decoder:
    """The decoder of a folder's weights, for a vocabulary whose text ids are the folder's.

    Rows of the folder beyond `vocabulary.text` (many models round their number up) are left out.
    Of our own exports markers are taken over too, and speech where its tokenizer is the run's.
    `text`: the run's tokenizer, to be compared with the folder's own, where it has one; `speech`:
    the digest of the run's speech tokenizer. Weights are float32. Raises `InitializationError`.
    """
    folder = Path(folder)
    before = _exported(folder, vocabulary)
    if text is not None:
        _same_tokenizer(folder, text, before)
    kept = vocabulary.text if before is None else before.rows(vocabulary, speech)
    model = Decoder(settings_from(folder, attention), vocabulary, seed)
    read, names = weights_of(folder)
    ours = [(name, hugging_face_name(name)) for name, _ in model.named_parameters()]
    _check_names(folder, names, {theirs for _, theirs in ours if theirs is not None}, model)
    codes = tensors_of(folder / CODES) if kept == vocabulary.size and model.code_heads else {}
    with torch.no_grad():
        for (name, theirs), weight in zip(ours, model.parameters(), strict=True):
            where = f"{folder}: {theirs or name}"
            if theirs is None:
                if name in codes:
                    _take(where, weight, codes[name])
                else:
                    _new_codes(name, weight, vocabulary, seed)
            elif name in ("embedding.weight", "text_head.weight"):
                _take_rows(where, weight, read(theirs), kept)
                new = _new_rows(name, weight, vocabulary, seed, new_embeddings)
                weight[kept:] = new[kept - vocabulary.text :]
            else:
                _take(where, weight, read(theirs))
    return model


@dataclasses.dataclass(frozen=True, slots=True)
class _Exported:
    """What one of our own exports says of itself."""

    vocabulary: Vocabulary
    text: str  # digest
    speech: str | None  # digest

    def rows(self, vocabulary: Vocabulary, speech: str | None) -> int:
        """How many rows mean the same in a vocabulary whose speech has this digest."""
        same = self.vocabulary == vocabulary and self.speech is not None and self.speech == speech
        return vocabulary.size if same else vocabulary.speech_first


def _exported(folder: Path, vocabulary: Vocabulary) -> _Exported | None:
    path = folder / LAYOUT
    if not path.is_file():
        return None
    layout = read_json(path)
    try:
        found = _Exported(
            Vocabulary(**layout["vocabulary"]),
            str(layout["text_tokenizer"]),
            layout.get(SPEECH_DIGEST),
        )
    except (KeyError, TypeError) as error:
        raise InitializationError(f"{path} is not as an export writes it: {error!r}") from error
    if found.vocabulary.text != vocabulary.text:
        raise InitializationError(
            f"{path}: trained with {found.vocabulary.text} text ids, the run's tokenizer has "
            f"{vocabulary.text}. Give the tokenizer that it was trained with"
        )
    return found


def _check_names(folder: Path, names: list[str], expected: set[str], model: Decoder) -> None:
    missing = sorted(expected - set(names))
    others = [name for name in sorted(set(names) - expected) if not _needless(name, model)]
    if missing or others:
        raise InitializationError(
            f"{folder}: its weights are not those its config.json describes: missing "
            f"{missing[:4] or 'none'}, unknown {others[:4] or 'none'}"
        )


def _take(where: str, weight: torch.Tensor, given: torch.Tensor) -> None:
    if given.shape != weight.shape:
        raise InitializationError(
            f"{where} is {tuple(given.shape)}, its configuration makes it {tuple(weight.shape)}"
        )
    weight.copy_(given)


def _take_rows(where: str, weight: torch.Tensor, given: torch.Tensor, rows: int) -> None:
    if given.ndim != 2 or given.shape[1] != weight.shape[1] or len(given) < rows:
        raise InitializationError(
            f"{where} is {tuple(given.shape)}; the run's tokenizers have {rows} ids that it "
            f"should know: ({rows}, {weight.shape[1]}) at least. Is it this model's tokenizer?"
        )
    weight[:rows].copy_(given[:rows])


def _new_rows(
    name: str, weight: torch.Tensor, vocabulary: Vocabulary, seed: int, kind: NewEmbeddings
) -> torch.Tensor:
    """Rows of markers and speech, [new, width]."""
    rows, width = weight.shape
    new = rows - vocabulary.text
    if kind == "mean":
        return weight[: vocabulary.text].mean(dim=0).expand(new, width)
    only_new = drawn_rows(seed, name, vocabulary, width)[vocabulary.text :]
    return only_new * math.sqrt(2 / (new + width))


def _new_codes(name: str, weight: torch.Tensor, vocabulary: Vocabulary, seed: int) -> None:
    """Tables and heads of codes: each channel Xavier-normal by itself; tables are narrower by
    sqrt(codebooks), because a frame is the sum of all of them."""
    std = math.sqrt(2 / (vocabulary.levels + weight.shape[1]))
    if name == "code_tables.weight":
        std /= math.sqrt(vocabulary.codebooks)
    weight.copy_(drawn(seed, name, tuple(weight.shape)) * std)


def _needless(name: str, model: Decoder) -> bool:
    """Weights that a folder may hold and nobody needs."""
    return name.endswith("rotary_emb.inv_freq") or (
        name == "lm_head.weight" and model.text_head is None
    )


def _same_tokenizer(folder: Path, text: FileTokenizer, before: _Exported | None) -> None:
    if before is not None:
        if before.text != text.digest:
            raise InitializationError(
                f"{folder} was trained with the text tokenizer {before.text[:12]}; the run's is "
                f"{text.path} ({text.digest[:12]}). Give the file that it was trained with"
            )
        return
    if not any((folder / name).is_file() for name in FILES):
        return
    own = load_text_tokenizer(folder)
    if own.sentencepiece == text.sentencepiece and own.digest != text.digest:
        raise InitializationError(
            f"{folder} was trained with {own.path.name} ({own.digest[:12]}); the run's text "
            f"tokenizer is {text.path} ({text.digest[:12]}). Its ids would mean other words"
        )
