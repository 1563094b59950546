import pytest

from pipeline.report.content import RunSummary
from tests.report.example import example


@pytest.fixture(scope="session")
def run() -> RunSummary:
    return example()
