"""Law 2: the same bytes, whoever works, in whatever order, wherever and whenever."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.laws import made_corpus, runs
from tests.laws.runs import Ran


def test_one_worker_again_gives_the_same_bytes(
    corpus: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    again = runs.curate(corpus, tmp_path / "out")
    assert again.digests == undisturbed.digests
    assert len(again.digests) > 10  # several shards of every split, not one


@pytest.mark.timeout(180)
def test_two_worker_processes_give_the_same_bytes(
    corpus: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    runs.cli(corpus, tmp_path / "out", "--workers", "2")
    assert runs.shard_digests(tmp_path / "out") == undisturbed.digests


def test_rows_of_the_table_in_another_order(undisturbed: Ran, tmp_path: Path) -> None:
    table = made_corpus.rows()
    random.Random(5).shuffle(table)
    data = made_corpus.write_corpus(tmp_path / "data", table=table)
    assert runs.curate(data, tmp_path / "out").digests == undisturbed.digests


def test_files_written_in_another_order(undisturbed: Ran, tmp_path: Path) -> None:
    names = list(made_corpus.files())
    random.Random(6).shuffle(names)
    data = made_corpus.write_corpus(tmp_path / "data", names, made_corpus.rows())
    assert runs.curate(data, tmp_path / "out").digests == undisturbed.digests


def test_data_in_another_place(corpus: Path, undisturbed: Ran, tmp_path: Path) -> None:
    shutil.copytree(corpus.parent, tmp_path / "moved away")
    data = tmp_path / "moved away" / corpus.name
    assert runs.curate(data, tmp_path / "out").digests == undisturbed.digests


@pytest.mark.parametrize("seconds", [3.0, 7.0, 1000.0])
def test_other_part_sizes(corpus: Path, undisturbed: Ran, tmp_path: Path, seconds: float) -> None:
    ran = runs.curate(corpus, tmp_path / "out", part_seconds=seconds)
    assert ran.phases()["hear"] != undisturbed.phases()["hear"]  # it did cut in other places
    assert ran.digests == undisturbed.digests


def test_the_seed_of_the_recipe_counts(corpus: Path, undisturbed: Ran, tmp_path: Path) -> None:
    """What the other tests compare would differ if anything had changed."""
    other = runs.curate(corpus, tmp_path / "out", ["seed=8"])
    assert other.digests.keys() != undisturbed.digests.keys()  # other splits


@pytest.fixture(scope="session")
def another_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that moves the date of any process that loads it."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C compiler to make another date with")
    library = tmp_path_factory.mktemp("later") / "later.so"
    source = runs.HERE / "later.c"
    command = [compiler, "-x", "c", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


LATER = {
    "SPEECHLOOM_LATER": "100000000",
    "TZ": "Asia/Kathmandu",
    "PYTHONHASHSEED": "4711",
    "LC_ALL": "tr_TR.UTF-8",
}
EARLIER = {
    "SPEECHLOOM_LATER": "-100000000",
    "TZ": "America/St_Johns",
    "PYTHONHASHSEED": "1",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "OMP_NUM_THREADS": "4",
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("changes", "years"),
    [
        pytest.param(LATER, 3, id="three years later in Kathmandu"),
        pytest.param(EARLIER, -3, id="three years ago with plain ASCII"),
    ],
)
def test_other_surroundings(
    corpus: Path,
    undisturbed: Ran,
    tmp_path: Path,
    another_day: Path,
    changes: dict[str, str],
    years: int,
) -> None:
    """Another date, time zone, locale and hash seed in every process of the run."""
    env = runs.environment(LD_PRELOAD=str(another_day), **changes)
    runs.cli(corpus, tmp_path / "out", "--workers", "1", env=env)
    assert runs.shard_digests(tmp_path / "out") == undisturbed.digests
    (log,) = (tmp_path / "out" / "logs").glob("*.jsonl")
    year = time.gmtime().tm_year
    assert int(log.name[:4]) - year in {years, years - 1, years + 1}  # the day did arrive
