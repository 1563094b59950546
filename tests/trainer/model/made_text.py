"""Text tokenizers trained on made-up words, for the tests."""

import io
import random
from pathlib import Path

from trainer.text import FileTokenizer, load_text_tokenizer, train_bpe


def made_texts(count: int = 200, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    syllables = ["ba", "lo", "mi", "né", "ru", "ti", "sho", "ka"]
    return [
        " ".join("".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(30))
        for _ in range(count)
    ]


def bpe_file(folder: Path, size: int = 320) -> FileTokenizer:
    path = folder / "tokenizer.json"
    path.write_text(train_bpe(made_texts(), size), encoding="utf-8")
    return load_text_tokenizer(path)


def sentencepiece_file(folder: Path, kind: str = "bpe") -> FileTokenizer:
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(made_texts()),
        model_writer=made,
        vocab_size=320,
        model_type=kind,
        byte_fallback=True,
        num_threads=1,
        minloglevel=2,
    )
    path = folder / "tokenizer.model"
    path.write_bytes(made.getvalue())
    return load_text_tokenizer(path)
