"""Text tokenizers: nothing added, nothing cut, and the same file gives the same ids."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.model.made_text import bpe_file, made_texts, sentencepiece_file
from trainer.encoding import TextTokenizer
from trainer.text import FileTokenizer, load_text_tokenizer, train_bpe


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> FileTokenizer:
    return bpe_file(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> FileTokenizer:
    return sentencepiece_file(tmp_path_factory.mktemp("pieces"))


@given(text=st.text(max_size=60))
@settings(max_examples=60)
def test_bytes_give_any_text_back(bpe: FileTokenizer, text: str) -> None:
    ids = bpe.encode(text)
    assert all(0 <= one < bpe.size for one in ids)
    assert bpe.decode(ids) == text


def test_a_trained_bpe_joins_what_is_frequent(bpe: FileTokenizer) -> None:
    text = made_texts(1, seed=9)[0]
    assert bpe.size == 320
    assert len(bpe.encode(text)) < 0.7 * len(text.encode())
    assert isinstance(bpe, TextTokenizer)


def test_training_gives_the_same_file_on_any_number_of_threads(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.trainer.model.made_text import bpe_file; from pathlib import Path;"
        "print(bpe_file(Path(sys.argv[1]), 400).digest)"
    )
    found = set()
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder)],
            env={**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("size", "said"), [(100, "at least 256 ids, not 100"), (100_000, "ids and no more")]
)
def test_sizes_that_cannot_be_are_refused(size: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        train_bpe(made_texts(5), size)


def test_a_folder_gives_its_tokenizer(bpe: FileTokenizer, pieces: FileTokenizer) -> None:
    assert load_text_tokenizer(bpe.path.parent) == bpe
    assert load_text_tokenizer(str(pieces.path.parent)) == pieces
    assert (bpe.sentencepiece, pieces.sentencepiece) == (False, True)
    assert bpe.digest != pieces.digest


def test_sentencepiece_gives_text_back(pieces: FileTokenizer) -> None:
    text = made_texts(1, seed=5)[0] + " 漢"
    ids = pieces.encode(text)
    assert pieces.decode(ids) == text
    assert max(ids) < pieces.size == 320
    assert pieces.encode(" " + text) == ids  # a lead in data costs nothing


def test_workers_read_the_file_again(bpe: FileTokenizer, pieces: FileTokenizer) -> None:
    for one in (bpe, pieces):
        data = pickle.dumps(one)
        assert len(data) < 1000
        assert pickle.loads(data).encode("balo mi") == one.encode("balo mi")


def test_what_a_file_adds_or_cuts_is_left_out(tmp_path: Path, bpe: FileTokenizer) -> None:
    """Markers belong to the vocabulary; a text that spells a special token is text."""
    content = json.loads(bpe.path.read_text("utf-8"))
    content["added_tokens"] = [
        {
            "id": 320,
            "content": "</s>",
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
    ]
    content["truncation"] = {
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
        "direction": "Right",
    }
    content["padding"] = {
        "strategy": {"Fixed": 50},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "!",
    }
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "</s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [320], "tokens": ["</s>"]}},
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    found = load_text_tokenizer(path)
    text = made_texts(1, seed=3)[0] + " </s>"
    assert found.size == 321
    assert found.encode(text) == bpe.encode(text)
    assert found.digest != bpe.digest


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    held = bpe_file(tmp_path)
    held.path.write_text(train_bpe(made_texts(seed=2), 300), encoding="utf-8")
    fresh = pickle.loads(pickle.dumps(held))
    assert fresh.encode("balo") == held.encode("balo")  # this process has read it
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer).encode('balo'))"
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(held), capture_output=True
    )
    assert done.returncode == 1
    assert b"has changed since the run began" in done.stderr


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("tokenizer.json", b"{}", "is no tokenizer of `tokenizers`"),
        ("tokenizer.model", b"not a model", "is no SentencePiece model"),
        ("vocab.txt", b"a\nb\n", "is no text tokenizer: give a tokenizer.json"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=said):
        load_text_tokenizer(path)


def test_a_folder_without_any_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        load_text_tokenizer(tmp_path)
