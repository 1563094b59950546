"""The laws of streams of pages, synthetic speech included: same bytes, resumed, nothing lost."""

import random
import time
from pathlib import Path

import pytest

from pipeline.recipe import load_recipe
from tests.laws import made_pages, runs
from tests.laws.processes import start, stop_all, wait_for_parts
from tests.laws.runs import Ran
from tests.synthesize.documents import documents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
RECIPE = runs.HERE / "pages.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_pages.write(tmp_path_factory.mktemp("pages") / "data")


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    return runs.curate(data, out, recipe=load_recipe(RECIPE))


def test_two_workers_and_other_parts_give_the_same_bytes(
    data: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    runs.cli(data, tmp_path / "out", "--workers", "2", recipe=RECIPE, part="9s")
    assert runs.shard_digests(tmp_path / "out") == undisturbed.digests


def test_killed_while_it_speaks_it_finishes_with_the_same_bytes(
    data: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = runs.command(data, out, "--workers", "2", recipe=RECIPE, part="9s")
    process = start(arguments)
    assert wait_for_parts(process, out, set(), random.Random(3).randint(12, 20))
    time.sleep(0.02)
    stop_all(process)
    spoken = {path: path.stat().st_ino for path in out.glob("synthesize/*/commits/*.parquet")}
    done = runs.run_command(arguments)
    assert done.returncode == 0, done.stderr
    assert runs.shard_digests(out) == undisturbed.digests
    assert all(path.stat().st_ino == number for path, number in spoken.items())


def test_every_file_is_a_page_or_has_a_reason(undisturbed: Ran) -> None:
    row = {r.step: r for r in undisturbed.funnel if r.stream == "text"}
    assert row["crawl"].items_in == row["crawl"].items_out == 15
    assert row["extract"].items_in == 15
    assert row["extract"].items_out == 13  # the table holds two; the copy is one page more
    assert {d.reason for d in row["extract"].drops} == {"empty", "huge_word", "not_text"}
    assert row["pages"].drops[0].items == 1
    assert row["interleave"].items_out == 12


def test_a_page_is_in_one_split_of_all_streams(undisturbed: Ran) -> None:
    """What is held out as text is held out as speech, as a question and as spans."""
    split: dict[str, set[str]] = {}
    for stream in ("krist", "quest", "spans", "text"):
        for document in documents(undisturbed, stream):
            split.setdefault(document.recording, set()).add(document.split)
    assert all(len(found) == 1 for found in split.values())
    assert {one for found in split.values() for one in found} == {"train", "valid", "test"}


def test_no_word_is_lost_or_doubled_between_pages_and_documents(undisturbed: Ran) -> None:
    wanted = {" ".join(made_pages.text(number).split()) for number in range(12)}
    pages = {d.recording: d for d in documents(undisturbed, "text")}
    assert {" ".join("".join(c.text for c in d.chunks).split()) for d in pages.values()} == wanted
    for document in documents(undisturbed, "spans"):
        said = " ".join(chunk.text for chunk in document.chunks)
        page = "".join(chunk.text for chunk in pages[document.recording].chunks)
        assert said.split() == page.split()
        assert {chunk.modality for chunk in document.chunks} == {"both", "text"}
