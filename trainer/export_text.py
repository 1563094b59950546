"""The tokenizer of an export: the text tokenizer's own file, with markers and speech added.

Added tokens are special, so text never becomes one by chance, and they stand at the ids that the
model was trained with; an export where they would not is refused.
"""

import dataclasses
import json
import struct
from typing import Any

from trainer.pack import MARKERS, Vocabulary
from trainer.text import FileTokenizer

CONTROL = 3  # type of a SentencePiece piece that no text gives

SENTENCEPIECE_NOTE = (
    "The text tokenizer is a SentencePiece model. Two things differ in what `transformers` makes "
    "of it: it puts no `document` and `text` markers before a text, and it keeps runs of blanks "
    "that the model joins."
)


@dataclasses.dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Files of an exported tokenizer, and what its added tokens are called."""

    files: dict[str, bytes]
    markers: dict[str, str]
    speech: tuple[str, ...]
    note: str = ""  # for the folder's README


def marker_token(name: str) -> str:
    return f"<|speechloom-{name}|>"


def speech_tokens(vocabulary: Vocabulary) -> tuple[str, ...]:
    """In the order of ids: one per unit, or the one of all frames of several codebooks."""
    if vocabulary.codebooks > 1:
        return ("<|speechloom-frame|>",)
    return tuple(f"<|speechloom-unit-{unit}|>" for unit in range(vocabulary.levels))


def tokenizer_files(text: FileTokenizer, vocabulary: Vocabulary) -> TokenizerFiles:
    """Raises `ValueError` where the added tokens cannot stand at the model's ids."""
    markers = {name: marker_token(name) for name in MARKERS}
    speech = speech_tokens(vocabulary)
    added = (*markers.values(), *speech)
    note = ""
    if text.sentencepiece:
        note = SENTENCEPIECE_NOTE
        data, name = _with_pieces(text, added), "tokenizer.model"
        about: dict[str, Any] = {"tokenizer_class": "LlamaTokenizer", "legacy": False}
    else:
        data, name = _with_tokens(text, vocabulary, added), "tokenizer.json"
        about = {"tokenizer_class": "PreTrainedTokenizerFast"}
    about |= {
        "bos_token": markers["document"],
        "eos_token": markers["end"],
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
    }
    config = json.dumps(about, indent=2, sort_keys=True) + "\n"
    files = {name: data, "tokenizer_config.json": config.encode()}
    return TokenizerFiles(files, markers, speech, note)


def _with_tokens(text: FileTokenizer, vocabulary: Vocabulary, added: tuple[str, ...]) -> bytes:
    """A `tokenizer.json` with tokens added behind its own."""
    from tokenizers import AddedToken, Tokenizer, processors

    tokenizer: Any = Tokenizer.from_buffer(text.path.read_bytes())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in added])
    for place, token in enumerate(added):
        if tokenizer.token_to_id(token) != text.size + place:
            raise ValueError(
                f"{text.path}: {token} would get id {tokenizer.token_to_id(token)}, and the model "
                f"has it at {text.size + place}: the tokenizer's ids have holes or it knows the "
                "token already"
            )
    # what begins a text is what began it in training, not what another model was trained with
    first = (marker_token("document"), marker_token("text"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*first, "$A"],
        pair=[*first, "$A", "$B"],
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in first],
    )
    found: str = tokenizer.to_str()
    return found.encode()


def _with_pieces(text: FileTokenizer, added: tuple[str, ...]) -> bytes:
    """A SentencePiece model with control pieces added behind its own.

    A serialised protocol buffer ends nowhere: repeated fields may be appended (field 1 of the
    model: pieces of a text, a score and a type), so its library's own compiler is not needed.
    """

    def field(number: int, kind: int) -> bytes:
        return bytes([number << 3 | kind])

    found = [text.path.read_bytes()]
    for token in added:
        name = token.encode()
        piece = field(1, 2) + _varint(len(name)) + name
        piece += field(2, 5) + struct.pack("<f", 0.0) + field(3, 0) + _varint(CONTROL)
        found.append(field(1, 2) + _varint(len(piece)) + piece)
    return b"".join(found)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
