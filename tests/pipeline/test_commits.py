from pathlib import Path

import pytest

from pipeline import commits, layout
from pipeline.commits import Content, Done, Tally, compact, ledger
from schemas.records import Drop, Word
from schemas.store import Store
from schemas.tables import arrow_schema

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def write(store: Store, part: str, *ids: str, seconds: float = 1.0, run: str = "r") -> bool:
    content = Content(
        done=tuple(Done(id=name, seconds=seconds) for name in ids),
        rows=tuple(Word(text=name, start=0.0, end=1.0) for name in ids),
    )
    return commits.write(store, "hear", "k", part, content, arrow_schema(Word), run)


def test_four_kinds_of_rows_come_back(store: Store) -> None:
    content = Content(
        done=(Done(id=A, seconds=2.5), Done(id=B, seconds=0.0)),
        rows=(Word(text="x", start=0.0, end=1.0), Word(text="y", start=1.0, end=1.5)),
        drops=(Drop(id=A, root=A, step="s", reason="r", seconds=1.25, score=0.5),),
        tallies=(
            Tally(
                root=A,
                step="s",
                items_in=2,
                items_out=1,
                seconds_in=2.5,
                seconds_out=1.25,
                compute_seconds=0.1,
            ),
        ),
        tar="d" * 64,
    )
    assert commits.write(store, "hear", "k", "p", content, arrow_schema(Word), "run 1")
    name = layout.commit_name("hear", "k", "p")
    assert tuple(commits.records(store, name, "done", Done)) == content.done
    assert tuple(commits.records(store, name, "row", Word)) == content.rows
    assert tuple(commits.records(store, name, "drop", Drop)) == content.drops
    assert tuple(commits.records(store, name, "tally", Tally)) == content.tallies
    assert commits.about(store, name) == {
        "format": commits.FORMAT,
        "tar": "d" * 64,
        "phase": "hear",
        "key": "k",
        "part": "p",
        "run": "run 1",
    }
    assert commits.column(store, name, "row", ["text"]).to_pylist() == [
        {"text": "x"},
        {"text": "y"},
    ]


def test_a_commit_of_nothing_but_done(store: Store) -> None:
    commits.write(
        store, "hear", "k", "p", Content(done=(Done(id=A, seconds=1),)), arrow_schema(Word), "r"
    )
    name = layout.commit_name("hear", "k", "p")
    assert commits.records(store, name, "row", Word) == []
    assert commits.records(store, name, "drop", Drop) == []
    assert ledger(store, "hear", "k").done == {A: name}


def test_the_first_commit_of_a_part_stands(store: Store) -> None:
    assert write(store, "p", A, run="first")
    assert not write(store, "p", A, B, run="second")
    assert commits.about(store, layout.commit_name("hear", "k", "p"))["run"] == "first"
    assert set(ledger(store, "hear", "k").done) == {A}


def test_a_ledger_of_nothing(store: Store) -> None:
    known = ledger(store, "hear", "k")
    assert (known.done, known.commits, known.uncovered) == ({}, (), ())


def test_one_commit_answers_for_an_id_that_two_hold(store: Store) -> None:
    write(store, "p2", A, B, seconds=2.0)
    write(store, "p1", A, seconds=1.0)
    for _ in range(2):
        known = ledger(store, "hear", "k")
        assert known.done[A] == layout.commit_name("hear", "k", "p1")
        assert known.done[B] == layout.commit_name("hear", "k", "p2")
        assert known.seconds == {A: 1.0, B: 2.0}
        assert known.commits_of([A, B, C]) == {
            layout.commit_name("hear", "k", "p1"): {A},
            layout.commit_name("hear", "k", "p2"): {B},
        }
        compact(store, "hear", "k")  # and says the same when it is read from manifests


def test_compaction_covers_new_commits_once(store: Store) -> None:
    write(store, "p1", A)
    compact(store, "hear", "k")
    compact(store, "hear", "k")
    assert len(store.list("hear/k/manifests")) == 1
    write(store, "p2", B)
    assert ledger(store, "hear", "k").uncovered == (layout.commit_name("hear", "k", "p2"),)
    compact(store, "hear", "k")
    assert len(store.list("hear/k/manifests")) == 2
    known = ledger(store, "hear", "k")
    assert set(known.done) == {A, B} and known.uncovered == ()


def test_a_manifest_does_not_bring_a_removed_commit_back(store: Store) -> None:
    write(store, "p1", A)
    write(store, "p2", B)
    compact(store, "hear", "k")
    store.delete(layout.commit_name("hear", "k", "p1"))
    assert set(ledger(store, "hear", "k").done) == {B}
