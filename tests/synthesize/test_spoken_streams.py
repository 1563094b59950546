"""Pages to spoken documents, several streams of one DATA at once."""

import numpy as np
import pytest

from pipeline.summary import summarize
from schemas.records import frames
from tests.laws.runs import Ran
from tests.synthesize import runs
from tests.synthesize.documents import documents, samples
from transforms import flac


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("spoken")
    made = runs.recipe(krist=runs.KRIST, quest=runs.QUEST, text=runs.TEXT)
    return runs.curate(runs.write(folder / "pages"), folder / "out", made)


def test_pages_are_judged_before_they_are_spoken(ran: Ran) -> None:
    rows = {(row.step, row.phase): row for row in ran.funnel if row.stream == "krist"}
    judged = rows["filter", "select"]
    assert (judged.items_in, judged.items_out, judged.noun_in) == (5, 4, "pages")
    assert rows["chunk", "synthesize"].items_in == 4
    said = rows["speak", "synthesize"]
    assert said.items_in - said.items_out == 1
    assert [(d.reason, d.items) for d in said.drops] == [("no_speech", 1)]
    assert said.seconds_in == said.seconds_out
    assert said.seconds_out is not None and said.seconds_out > 5


def test_text_between_speech_stays_where_it_stands(ran: Ran) -> None:
    loaf = next(d for d in documents(ran, "krist") if "loaf" in d.chunks[0].text)
    assert [(c.text, c.modality) for c in loaf.chunks] == [
        ("A loaf needs flour.", "both"),
        ("~And this stays written.", "text"),
        ("It needs salt and time.", "both"),
    ]
    assert loaf.chunks[1].start == loaf.chunks[1].end == loaf.chunks[0].end


def test_each_script_of_a_page_is_a_document(ran: Ran) -> None:
    found = documents(ran, "quest")
    asked = [d for d in found if d.chunks[0].speaker == "made asker"]
    assert sorted(len(d.chunks) for d in asked) == [1, 2, 2, 2]  # one answer cannot be said
    assert {d.chunks[1].speaker for d in asked if len(d.chunks) > 1} == {"made answerer"}
    assert {d.quality for d in asked} == {"smoke"}
    drops = {d.reason for row in ran.funnel if row.step == "question" for d in row.drops}
    assert drops == {"nothing_to_ask"}


def test_the_samples_of_a_document_are_what_was_spoken(ran: Ran) -> None:
    for sample in samples(ran, "krist"):
        pcm = flac.decode(sample.flac, 0, frames(sample.document.seconds, sample.document.rate))
        for chunk in sample.document.chunks:
            first, last = (frames(at, sample.document.rate) for at in (chunk.start, chunk.end))
            if chunk.modality == "both":
                assert last - first == 50 * len(chunk.text) * sample.document.rate // 1000
                assert np.abs(pcm[first:last]).max() > 7000


def test_a_dropped_utterance_ends_its_document(ran: Ran) -> None:
    texts = [d.chunks[0].text for d in documents(ran, "krist")]
    assert "But this can be said well." in texts


def test_streams_share_what_they_have_in_common(ran: Ran) -> None:
    """Three streams of one DATA read its files once."""
    assert ran.phases()["extract"] == 1


def test_a_policy_that_its_documents_refuse_is_told_and_ends_no_run(
    ran: Ran, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The voice gives no word times: a policy by words cannot cut its chunks."""
    made = runs.recipe(["krist.interleave.policy=word_spans"], krist=runs.KRIST)
    folder = tmp_path_factory.mktemp("words")
    spans = runs.curate(runs.write(folder / "pages"), folder / "out", made)
    summary = summarize(spans.store, spans.result, "", spans.funnel)
    (notice,) = [one for one in summary.notices if one.startswith("krist: ")]
    assert "the policy word_spans cannot deal out its documents" in notice
    assert len(summary.documents) > 0
