"""Shards that the runs of these tests read: noise whose loudness says nothing of its words."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.trainer.data.made_sets import speech_documents, text_documents, write_set


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("talk"), speech_documents("talk", 16, seed=1))


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("page"), text_documents("page", 20, seed=2))
