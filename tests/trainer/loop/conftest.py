"""Shards that the runs of these tests read, written once, and the runs themselves."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.trainer.data.made_sets import speech_documents, text_documents, write_set
from tests.trainer.loop.made_runs import config_of
from trainer.config import Config


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("talk"), speech_documents("talk", 24, seed=1))


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("page"), text_documents("page", 30, seed=2))


@pytest.fixture(scope="session")
def tiny(talk: Path, page: Path) -> Config:
    return config_of(talk, page)
