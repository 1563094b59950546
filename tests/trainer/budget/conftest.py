"""Shards with a held-out split, written once."""

from pathlib import Path

import pytest

from tests.trainer.data.made_sets import speech_documents, write_set


@pytest.fixture(scope="session")
def held_out_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty talks to train on and ten that are held out."""
    train = speech_documents("talk", 40, seed=1, chunks=(1, 4))
    valid = speech_documents("held", 10, seed=2, chunks=(1, 4), split="valid")
    return write_set(tmp_path_factory.mktemp("held"), [*train, *valid])
