"""What a worker tells of its own commits is what the driver would read from them."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import commits, layout, notes
from pipeline.commits import Content, Done, Tally, compact, ledger
from pipeline.folding import folded
from schemas.ids import digest_of
from schemas.records import Drop, Word
from schemas.store import Store
from schemas.tables import arrow_schema


@pytest.fixture(autouse=True)
def telling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(notes, "_on", True)
    monkeypatch.setattr(notes, "_waiting", {})
    monkeypatch.setattr(notes, "COMMITS", 3)
    yield


def commit(store: Store, number: int, run: str = "r") -> bool:
    root = digest_of("root", number)
    tally = Tally(
        root=root,
        step="gate",
        items_in=3,
        items_out=1,
        seconds_in=number / 3,
        seconds_out=number / 7,
        compute_seconds=0.0,
    )
    drop = Drop(id=root, root=root, step="gate", reason="low", seconds=number / 3 - number / 7)
    done = Done(id=root, seconds=number / 3, dead=number % 2 == 0)
    content = Content(done=(done,), drops=(drop,), tallies=(tally,))
    part = digest_of("part", number)
    return commits.write(store, "hear", "k", part, content, arrow_schema(Word), run)


def manifests(store: Store) -> list[str]:
    return [entry.name for entry in store.list("hear/k/manifests")]


def test_a_ledger_of_notes_is_the_ledger_of_commits(tmp_path: Path) -> None:
    told, read = Store(tmp_path / "told"), Store(tmp_path / "read")
    for number in range(7):
        assert commit(told, number)
    assert len(manifests(told)) == 2  # of three commits each
    assert ledger(told, "hear", "k").uncovered == [layout.commit_name("hear", "k", _seventh())]
    notes.flush(notes.LEAST)
    assert len(manifests(told)) == 2
    notes.flush()
    assert len(manifests(told)) == 3 and not ledger(told, "hear", "k").uncovered
    notes._on = False
    for number in range(7):
        commit(read, number)
    a, b = ledger(told, "hear", "k"), compact(read, "hear", "k")
    assert (a.done, a.seconds, a.dead) == (dict(b.done), dict(b.seconds), set(b.dead))
    assert len(a.dead) == 4
    roots = [digest_of("root", number) for number in range(7)]
    assert folded(told, a, roots) == folded(read, b, roots)
    assert folded(told, a, roots[:4]) == folded(read, b, roots[:4])


def _seventh() -> str:
    return digest_of("part", 6)


def test_who_lost_tells_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert commit(store, 1, "first")
    notes._waiting.clear()  # that one died with what it had to tell
    assert not commit(store, 1, "second")
    notes.flush()
    assert manifests(store) == []
    assert len(ledger(store, "hear", "k").uncovered) == 1


def test_manifests_of_workers_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "COMMITS", 1)
    store = Store(tmp_path)
    for number in range(30):
        commit(store, number)
    assert len(manifests(store)) == 30
    known = compact(store, "hear", "k")
    (merged,) = manifests(store)
    assert pq.ParquetFile(str(store.local(merged))).metadata.num_rows == len(known.done) == 30
    roots = [digest_of("root", number) for number in range(30)]
    for name in known.commits:
        store.replace(name, b"whoever reads this fails")
    assert folded(store, ledger(store, "hear", "k"), roots).taken["gate"].items_in == 90
