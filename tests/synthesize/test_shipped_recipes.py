"""The recipes of the papers, run through: with small models of ours where theirs are not here."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import all_streams
from pipeline.recipe import load_recipe
from tests.generate.endpoint import Mock
from tests.laws import runs
from tests.synthesize.documents import documents

pytestmark = pytest.mark.slow
RECIPES = runs.ROOT / "recipes"
SAMPLES = runs.ROOT / "samples"


@pytest.fixture
def mock() -> Iterator[Mock]:
    found = Mock(all_streams.by_rules)
    yield found
    found.close()


def wrong(ran: runs.Ran, name: str, data: Path) -> list[str]:
    return all_streams.shown(name, data, Path(ran.store.url))


@pytest.mark.skipif(
    importlib.util.find_spec("lightning") is None,
    reason="pyannote.audio is an extra that is not installed",
)
def test_spelangy_makes_a_shard_set_of_every_stream(
    tmp_path: Path, mock: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wants of a hub or of a hosted model stands in; all else is as it ships."""
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "0")
    monkeypatch.syspath_prepend(str(runs.ROOT / "tests" / "engines"))
    monkeypatch.chdir(runs.ROOT)
    data = tmp_path / "data"
    shutil.copytree(SAMPLES / "pages", data / "pages")
    shutil.copytree(SAMPLES / "clips", data / "clips")
    replaced = all_streams.stand_ins(tmp_path, mock.url)
    recipe = load_recipe(
        RECIPES / "spelangy.yaml", [f"{one.setting}={one.value}" for one in replaced]
    )
    ran = runs.curate(data, tmp_path / "out", recipe=recipe)
    assert wrong(ran, "spelangy", data) == []
    assert {entry.stream for entry in ran.result.shards} == {"web", "krist", "quest", "text"}
    asked = len(mock.asked)
    assert asked > 4
    for document in documents(ran, "quest"):
        assert len({chunk.speaker for chunk in document.chunks if chunk.speaker}) == 2
    again = runs.curate(data, tmp_path / "out", recipe=recipe)
    assert len(mock.asked) == asked and again.digests == ran.digests
    assert all(replacement.setting.split(".")[0] in recipe.streams for replacement in replaced)


def test_zeng_speaks_a_share_of_the_words_and_loses_none(tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(SAMPLES / "pages", data)
    ran = runs.curate(data, tmp_path / "out", recipe=load_recipe(RECIPES / "zeng.yaml"))
    assert wrong(ran, "zeng", data) == []
    texts = {document.recording: document for document in documents(ran, "text")}
    spoken = whole = 0
    for document in documents(ran, "spans"):
        words = [len(chunk.text.split()) for chunk in document.chunks]
        whole += sum(words)
        spoken += sum(
            count for count, c in zip(words, document.chunks, strict=True) if c.end > c.start
        )
    said = sum(len(c.text.split()) for d in texts.values() for c in d.chunks)
    assert whole == said  # nothing of them was misheard, so nothing left
    assert 0.3 <= spoken / whole < 0.4  # eta, and the last span of each page


@pytest.mark.corpus
def test_real_pages_in_several_languages_are_spoken(shared_corpus: Path, tmp_path: Path) -> None:
    """Web pages, and one text in English and Chinese: markup is gone, no voice is too slow."""
    data = tmp_path / "data"
    shutil.copytree(shared_corpus / "text" / "html", data / "html")
    (data / "udhr").mkdir()
    for name in ("eng.txt", "cmn_hans.txt", "arb.txt"):
        shutil.copyfile(shared_corpus / "text" / "udhr" / name, data / "udhr" / name)
    recipe = load_recipe(RECIPES / "zeng.yaml", ["verify.share=0.0"])
    ran = runs.curate(data, tmp_path / "out", recipe=recipe)
    assert wrong(ran, "zeng", data) == []
    drops = {(row.step, drop.reason) for row in ran.funnel for drop in row.drops}
    assert drops <= {("extract", "wrong_language"), ("extract", "not_text")}
    found = documents(ran, "spans")
    assert {document.language for document in found} == {"en", "zh"}
    assert not [c for d in found for c in d.chunks if "<div" in c.text or "</" in c.text]
