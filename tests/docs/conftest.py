"""One copy of the repository and one curated OUT for the commands of all documents.

Each test begins with the runs that the first command of the README left, as its reader would: a
`SHARDS=out` has to say which run where there are several.
"""

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


@pytest.fixture(autouse=True)
def first_runs(request: pytest.FixtureRequest) -> None:
    """Forget the names of the runs that other documents made; what they heard stays stored."""
    if "curated" not in request.fixturenames:
        return
    runs = request.getfixturevalue("curated")[0].folder / "out/runs"
    for path in runs.iterdir():
        if path.is_file() and path.name != "offline.json":
            path.unlink()
