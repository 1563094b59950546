"""explain, gc, retry, forget and plan on streams of pages."""

import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import dead, forgetting, purge, reach
from pipeline.curate import Options
from pipeline.forecast import forecast
from pipeline.lookup import find
from pipeline.pointers import read_pointers
from pipeline.verdicts import tables
from pipeline.view import View
from pipeline.walk import Walk
from schemas.store import Store
from tests.laws.runs import Ran
from tests.synthesize import runs
from tests.synthesize.documents import documents
from transforms import step


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    made = runs.recipe(krist=runs.KRIST, text=runs.TEXT)
    return runs.curate(runs.write(folder / "pages"), folder / "out", made)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of this folder, where commands look steps up by name."""
    steps = {**step.registry(), **runs.MADE}
    for module in ("pipeline.view", "pipeline.funnel"):
        monkeypatch.setattr(f"{module}.registry", lambda: steps)


def told(ran: Ran, query: str, stream: str = "krist") -> str:
    (pointer,) = read_pointers(ran.store)
    view = View(ran.store, pointer, stream)
    (hit,) = find([view], query)
    return "\n".join(Walk(view).tell(hit))


@pytest.mark.usefixtures("known")
def test_a_page_is_walked_from_its_file_to_its_documents(ran: Ran) -> None:
    loaf = next(d for d in documents(ran, "krist") if "loaf" in d.chunks[0].text)
    said = told(ran, loaf.recording)
    for words in ("two.txt", "extract ", "text_rate.words", "speak ", "in document " + loaf.id):
        assert words in said, said
    assert "synthesize  (page " in said
    text = told(ran, loaf.recording, "text")
    assert "select and compose" in text and "synthesize" not in text


@pytest.mark.usefixtures("known")
def test_a_page_that_was_not_spoken_says_why(ran: Ran) -> None:
    said = told(ran, "three.txt")
    assert "select, before it would be spoken" in said
    assert "DROPPED by filter: where, 0.000 s; score 2" in said


@pytest.mark.usefixtures("known")
def test_a_clip_is_walked_back_to_its_page(ran: Ran) -> None:
    loaf = next(d for d in documents(ran, "krist") if "loaf" in d.chunks[0].text)
    said = told(ran, loaf.chunks[0].clip)
    assert "two.txt" in said and f"page {loaf.recording}" in said
    assert "clip 1 of its page" in said and "loudness.lufs" in said
    assert f"chunk 1 of {len(loaf.chunks)}" in said
    assert f"document {loaf.id}" in told(ran, loaf.id)


def test_nothing_of_a_run_is_garbage_and_all_of_a_forgotten_one(ran: Ran, folder: Path) -> None:
    small = {"notes of attempts", "old locks", "spilled duplicates"}
    assert set(reach.garbage(ran.store).by_kind()) <= small
    names = {item.name for item in reach.garbage(ran.store, forget=["made"]).items}
    assert any(name.startswith("synthesize/") and name.endswith(".tar") for name in names)
    assert any(name.startswith("extract/") for name in names)
    assert dead.dead_letters(ran.store) == []


def test_the_ledger_adds_up_to_the_funnel(ran: Ran) -> None:
    rows = pa.concat_tables(tables(ran.store, ran.result))
    left = rows.filter(pc.invert(rows["kept"]))
    counted: Counter[tuple[str, str, str]] = Counter()
    for stream, name, reason in zip(
        *(left[c].to_pylist() for c in ("stream", "step", "reason")), strict=True
    ):
        counted[stream, name, reason] += 1
    assert counted == {
        (row.stream, row.step, drop.reason): drop.items for row in ran.funnel for drop in row.drops
    }
    kept = rows.filter(rows["kept"])["stream"].to_pylist()
    held = [c for s in ("krist", "text") for d in documents(ran, s) for c in d.chunks]
    assert len(kept) == len({(c.clip, c.modality == "text") for c in held})


def test_a_plan_after_a_run_has_nothing_to_do(ran: Ran, folder: Path) -> None:
    plan = forecast(
        runs.recipe(krist=runs.KRIST, text=runs.TEXT),
        Options(data=str(folder / "pages"), out=str(folder / "out"), part_seconds=20.0),
    )
    for stream in plan.streams:
        names = [phase.phase for phase in stream.phases]
        assert names.count("select") == (2 if stream.name == "krist" else 1)
        assert all(not phase.parts for phase in stream.phases), stream


def test_a_plan_before_a_run_guesses_by_size(folder: Path, ran: Ran) -> None:
    made = runs.recipe(krist=runs.KRIST, text=runs.TEXT)
    plan = forecast(made, Options(data=str(folder / "pages"), out=str(folder / "none")))
    (spoken,) = [p for s in plan.streams for p in s.phases if p.phase == "synthesize"]
    assert spoken.items == 5
    assert spoken.seconds == pytest.approx(sum(map(len, runs.PAGES.values())) / 15, rel=0.2)


def test_what_is_forgotten_is_nowhere_any_more(ran: Ran, folder: Path) -> None:
    """A page that stands in another file too stays with that file."""
    out = folder / "purged"
    shutil.copytree(folder / "out", out)
    store = Store(out)
    loaf = next(d for d in documents(ran, "krist") if "loaf" in d.chunks[0].text)
    river = next(d for d in documents(ran, "text") if "river" in d.chunks[0].text)
    for name in ("two.txt", "one.txt"):
        lines = forgetting.entries_of(store, name, since=0)
        files = frozenset(line.value for line in lines if line.kind == "recording")
        assert len(files) == 1
        gone = purge.planned(store, purge.Gone(bytes=files))
        assert (loaf.recording in gone.tasks) == (name == "two.txt")
        assert river.recording not in gone.tasks
        purge.purge(store, gone)
    for path in out.rglob("*"):
        if path.is_file():
            assert b"this stays written" not in path.read_bytes(), path
    held = [path.read_bytes() for path in out.rglob("*.tar")]
    assert any(b"Boats go there" in data for data in held)
