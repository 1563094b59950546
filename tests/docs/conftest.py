"""One copy of the repository and one curated OUT for the commands of all documents."""

import shutil

import pytest
from copies import Copy, make_copy


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    if shutil.which("make") is None:
        pytest.skip("no make here")
    return make_copy(tmp_path_factory.mktemp("documents") / "speechloom")


@pytest.fixture(scope="session")
def curated(copy: Copy) -> tuple[Copy, str]:
    """The copy after the first command of the README, and what that printed."""
    done = copy.run("make curate DATA=samples")
    assert done.returncode == 0, done.stdout
    return copy, done.stdout
