"""The sets that the tests of the trainer's data read, written once."""

from pathlib import Path

import pytest

from schemas.records import Document
from tests.trainer.data.made_sets import Energy, speech_documents, text_documents, write_set

TALKS = speech_documents("talk", 60, seed=1, speakers=2)
PAGES = text_documents("page", 50, seed=2)


@pytest.fixture(scope="session")
def talks() -> dict[str, Document]:
    return {document.id: document for document in TALKS}


@pytest.fixture(scope="session")
def pages() -> dict[str, Document]:
    return {document.id: document for document in PAGES}


@pytest.fixture(scope="session")
def talk_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("talk"), TALKS)


@pytest.fixture(scope="session")
def page_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("page"), PAGES)


@pytest.fixture(scope="session")
def token_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The talks with their energies stored beside the FLACs."""
    return write_set(tmp_path_factory.mktemp("tokens"), TALKS, tokens=Energy())
