"""An endpoint for each test that asks for one."""

from collections.abc import Callable, Iterator

import pytest

from tests.generate.endpoint import Answers, Mock


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Mock]]:
    """Start endpoints; all are closed after the test."""
    running: list[Mock] = []

    def start(answers: Answers) -> Mock:
        running.append(Mock(answers))
        return running[-1]

    yield start
    for mock in running:
        mock.close()
