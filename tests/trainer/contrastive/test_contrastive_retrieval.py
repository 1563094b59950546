"""Retrieval: what a model that knows finds, and what one that does not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.evaluation.toy_models import made_set, tokenizers
from tests.trainer.loop.made_runs import config_of
from trainer.__main__ import main
from trainer.contrastive.retrieval import retrieve
from trainer.evaluation.errors import EvaluationError
from trainer.loop import train
from trainer.model import Decoder, ModelSettings
from trainer.pack import SPEECH
from trainer.tensors import Inputs


class Knowing(torch.nn.Module):
    """States of one piece point where its length says: a text has one position (its blank) more
    than its own speech."""

    def __init__(self, vocabulary: Any) -> None:
        super().__init__()
        self.settings = ModelSettings(depth=1, width=64)
        self.vocabulary = vocabulary
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def states(self, given: Inputs) -> Any:
        yield torch.ones(*given.ids.shape, 3)
        found = torch.zeros(*given.ids.shape, 32)
        for pack in range(given.packs):
            for piece in set(given.piece[pack].tolist()) - {-1}:
                own = given.piece[pack] == piece
                heard = bool((given.modality[pack][own] == SPEECH).any())
                size = int(own.sum()) - 1 + heard
                found[pack][own] = torch.eye(32)[size]
        yield found


def items(texts: tuple[str, ...] = ("aa", "bbb", "cccc", "ddddd")) -> list[dict[str, Any]]:
    """Text k has 2 + k letters (and its blank), audio k has 2 + k hops."""
    chunks = [{"text": text, "audio": f"audio/{k}.flac"} for k, text in enumerate(texts)]
    return [
        {"kind": "gap", "id": f"g{k}", "speaker": "s", "chunks": [chunk, {"text": "what follows"}]}
        for k, chunk in enumerate(chunks)
    ]


@pytest.fixture
def spoken(tmp_path: Path) -> Any:
    return made_set(tmp_path / "set", items(), sounds=5)


@pytest.mark.parametrize("similarity", ["cosine", "wasserstein"])
def test_a_model_that_knows_finds_all(spoken: Any, similarity: Any) -> None:
    words = tokenizers()
    found = retrieve(Knowing(words.words), words, spoken, similarity=similarity)
    assert (found.spoken, found.texts, found.chance) == (4, 4, 0.25)
    blind, knowing = found.layers
    assert (knowing.speech_to_text, knowing.text_to_speech) == (1.0, 1.0)
    assert knowing.reciprocal_rank == 1.0
    # all states alike: every text ties, and a tie is no find
    assert (blind.speech_to_text, blind.reciprocal_rank) == (0.0, 0.25)


def test_what_shares_a_forward_changes_nothing(spoken: Any) -> None:
    words = tokenizers()
    model = Decoder(ModelSettings(depth=2, width=32, heads=2, initial_std=0.3), words.words)
    one = retrieve(model, words, spoken, budget=1)
    assert one == retrieve(model, words, spoken)
    assert [layer.layer for layer in one.layers] == [0, 1, 2]
    assert [layer.layer for layer in retrieve(model, words, spoken, [2]).layers] == [2]
    json.dumps(one.as_json())


def test_equal_texts_are_one_candidate(tmp_path: Path) -> None:
    words = tokenizers()
    same = made_set(tmp_path / "set", items(("aa", "bbb", "bbb")), sounds=3)
    found = retrieve(Knowing(words.words), words, same)
    assert (found.spoken, found.texts) == (3, 2)


def test_a_set_without_pairs_is_refused(tmp_path: Path) -> None:
    words = tokenizers()
    alone = made_set(tmp_path / "set", items(("aa",)), sounds=1)
    with pytest.raises(EvaluationError, match="two different chunks"):
        retrieve(Knowing(words.words), words, alone)


def test_the_command_asks_a_run(talk: Path, page: Path, tmp_path: Path, capsys: Any) -> None:
    config = config_of(talk, page)
    train(config, tmp_path / "run", until=1)
    made_set(tmp_path / "set", items(), sounds=5)
    command = ["retrieval", str(tmp_path / "run"), "--evalset", str(tmp_path / "set")]
    assert main([*command, "--similarity", "wasserstein"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["set"], found["texts"], found["chance"], found["step"]) == ("set", 4, 0.25, 1)
    assert [one["layer"] for one in found["layers"]] == [0, 1, 2]
    assert all(0 <= one["speech_to_text"] <= 1 for one in found["layers"])
