"""An endpoint for each test that asks for one."""

from collections.abc import Callable, Iterator

import pytest

from tests.generate.endpoint import Answers, Mock, mocks


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Mock]]:
    """Start endpoints; all are closed after the test."""
    with mocks() as start:
        yield start
