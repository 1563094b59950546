"""Pages to text documents, from files to shards."""

import pytest

from tests.laws.runs import Ran
from tests.synthesize import runs
from tests.synthesize.documents import documents, samples

WHOLE = {text for name in runs.PAGES for text in runs.PAGES[name].split("\n===\n")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("text")
    return runs.curate(runs.write(folder / "pages"), folder / "out", runs.recipe(text=runs.TEXT))


def test_each_text_is_one_document_and_not_a_character_is_lost(ran: Ran) -> None:
    found = documents(ran, "text")
    assert {"".join(chunk.text for chunk in d.chunks) for d in found} == {
        text.strip() for text in WHOLE if text.strip()
    }
    assert len(found) == 5


def test_a_document_of_text_is_json_alone_and_a_chunk_a_paragraph(ran: Ran) -> None:
    for sample in samples(ran, "text"):
        assert sample.flac is None
        assert {chunk.modality for chunk in sample.document.chunks} == {"text"}
        assert sample.document.seconds == 0.0
    river = next(d for d in documents(ran, "text") if "river" in d.chunks[0].text)
    assert [chunk.text for chunk in river.chunks] == [
        "The river is long. It ends in the sea.\n\n",
        "Boats go there every day.",
    ]
    assert {entry.name.split("/")[1].split("-")[0] for entry in ran.result.shards} == {"text"}


def test_a_document_names_its_page_and_where_it_lay(ran: Ran) -> None:
    river = next(d for d in documents(ran, "text") if "river" in d.chunks[0].text)
    assert river.source in ("copy.txt#0", "one.txt#0")
    assert river.language == "en"
    assert {chunk.clip for chunk in river.chunks} == {river.recording}


def test_the_funnel_counts_files_pages_copies_and_what_left(ran: Ran) -> None:
    steps = [row.step for row in ran.funnel]
    assert len(steps) == len(set(steps))  # what extract drops is told once
    row = {row.step: row for row in ran.funnel}
    assert (row["crawl"].items_in, row["crawl"].items_out) == (5, 5)
    assert (row["extract"].items_in, row["extract"].items_out) == (5, 6)
    assert [(d.reason, d.items) for d in row["extract"].drops] == [("no_text", 1)]
    assert [(d.reason, d.items) for d in row["pages"].drops] == [("copy", 1)]
    assert (row["interleave"].items_in, row["interleave"].items_out) == (5, 5)
