"""One child for all tests of a file, as one serves all files of a worker."""

from collections.abc import Iterator

import pytest

from transforms.extract.extract import Extract, Extracting


@pytest.fixture(scope="module")
def model() -> Iterator[Extracting]:
    found = Extract(deadline_seconds=30.0).load()
    yield found
    found.close()
