"""Real OUTs of a few seconds of made sound. The shared ones are only read; tests change copies."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.made import RECIPE, Made, write_data


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One finished run."""
    folder = tmp_path_factory.mktemp("commands")
    recipe = folder / "fast.yaml"
    recipe.write_text(RECIPE)
    found = Made(write_data(folder / "data"), recipe, folder / "out")
    found.curate()
    return found


@pytest.fixture(scope="session")
def grown(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same with a later run of another filter, and a run of another recipe."""
    folder = tmp_path_factory.mktemp("grown")
    found = dataclasses.replace(made, out=folder / "out")
    shutil.copytree(made.out, found.out)
    found.curate("--set", "filter.min_words=1")
    other = folder / "other.yaml"
    other.write_text(RECIPE.replace("name: fast", "name: other"))
    dataclasses.replace(found, recipe=other).curate("--set", "segment.pad_seconds=0.2")
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Made], Made]:
    """A copy of an OUT that a test may change."""

    def copy(made: Made) -> Made:
        shutil.copytree(made.out, tmp_path / "out")
        return dataclasses.replace(made, out=tmp_path / "out")

    return copy
