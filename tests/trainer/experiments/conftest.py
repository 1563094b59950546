"""Small shard sets and runs, shared with the tests of the trainer's data and loop."""

from pathlib import Path

import pytest

from tests.trainer.data.conftest import page_set, pages, talk_set, talks
from tests.trainer.data.made_sets import document_of, speech_documents, write_set
from tests.trainer.loop.conftest import page, talk, tiny

__all__ = ["page", "page_set", "pages", "talk", "talk_set", "talks", "tiny"]


@pytest.fixture(scope="session")
def facts_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short texts."""
    return write_set(
        tmp_path_factory.mktemp("facts"),
        [document_of("facts", n, [1.5, 2.5], modality="text") for n in range(3)],
    )


@pytest.fixture(scope="session")
def songs_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short recordings."""
    documents = speech_documents("songs", 2, seed=12, chunks=(1, 2))
    return write_set(tmp_path_factory.mktemp("songs"), documents)
