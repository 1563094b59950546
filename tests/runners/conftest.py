"""The corpus of the laws and an undisturbed run of it on this machine's own workers, once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.runners.engine import engine_of
from pipeline.runners.submit import Submitted
from tests.laws import made_corpus, runs
from tests.laws.runs import Ran
from tests.runners import engines


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_corpus.write_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return runs.curate(corpus, tmp_path_factory.mktemp("undisturbed") / "out")


@pytest.fixture(scope="session")
def prism() -> str:
    """`--prism_location=…`."""
    found = engines.prism()
    if found is None:
        pytest.skip("no Prism: `make engines` builds it where Go is installed")
    return f"--prism_location={found}"


@pytest.fixture
def on_prism(prism: str) -> Iterator[Callable[[Any], Submitted]]:
    """Workers on Prism, for `tests.laws.runs.curate`."""

    def workers(observe: Any) -> Submitted:
        return Submitted(engine_of("prism", prism, "out"), observe)

    yield workers
