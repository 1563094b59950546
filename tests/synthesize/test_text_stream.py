"""Pages to text documents, from files to shards."""


import pytest

from tests.laws.runs import Ran
from tests.synthesize import runs


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("text")
    return runs.curate(runs.write(folder / "pages"), folder / "out", runs.recipe(text=runs.TEXT))


def test_each_text_is_one_document(ran: Ran) -> None:
    assert sum(entry.documents for entry in ran.result.shards) == 5
    print(ran.funnel)
