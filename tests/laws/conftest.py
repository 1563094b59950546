"""One made corpus and one undisturbed run of it, shared by all laws: they compare with it."""

from pathlib import Path

import pytest

from tests.laws import made_corpus, runs
from tests.laws.runs import Ran


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of the made corpus. Nobody writes there."""
    return made_corpus.write_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run from nothing, one worker, nothing in its way. Nobody writes into its OUT."""
    return runs.curate(corpus, tmp_path_factory.mktemp("undisturbed") / "out")
