"""Nested subsets: a smaller part is inside every larger one, whatever else is there."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Document
from tests.trainer.data.made_sets import speech_documents, write_set
from tests.trainer.data.reading import opened, packs_of, settings_of
from trainer.data import DataError, DataSettings, SetSettings
from trainer.shard_sets import ShardSet, subset_of

SHARES = (0.1, 0.35, 0.8, 1.0)


def kept(folder: Path, **values: float) -> set[str]:
    settings = SetSettings.model_validate({"shards": str(folder), **values})
    one = ShardSet("one", settings, DataSettings(sets={"one": settings}))
    rows = [row.key for shard in range(len(one.entries)) for _, row in one.rows(shard)]
    assert one.documents == len(rows) == len(set(rows))
    return set(rows)


def test_each_subset_is_inside_the_next_and_all_is_all(
    talk_set: Path, talks: dict[str, Document]
) -> None:
    found = [kept(talk_set, subset=share) for share in SHARES]
    for smaller, larger in itertools.pairwise(found):
        assert smaller < larger
    assert found[-1] == set(talks)
    assert found[1] == {key for key in talks if subset_of(key) < SHARES[1]}


def test_a_document_is_in_a_subset_whatever_stands_beside_it(tmp_path: Path) -> None:
    """Other shards, other neighbours: membership is of the document alone."""
    documents = speech_documents("other", 30, seed=5, chunks=(1, 2))
    whole = write_set(tmp_path / "whole", documents, per_shard=30)
    parts = write_set(tmp_path / "parts", documents[:17], per_shard=3)
    there = {document.id for document in documents[:17]}
    assert kept(parts, subset=0.5) == kept(whole, subset=0.5) & there


def test_caps_are_taken_of_the_subset(talk_set: Path) -> None:
    some = kept(talk_set, subset=0.5)
    for most in (1, 5, 12):
        capped = kept(talk_set, subset=0.5, max_documents=most)
        assert len(capped) == most and capped <= some
    assert kept(talk_set, subset=0.5, max_documents=5) < kept(
        talk_set, subset=0.5, max_documents=12
    )


def test_a_subset_of_nothing_is_told(talk_set: Path) -> None:
    with pytest.raises(DataError, match="no document fits its subset"):
        kept(talk_set, subset=1e-9)


def test_a_run_reads_its_subset_and_nothing_else(talk_set: Path) -> None:
    data = opened(settings_of(talk={"shards": talk_set, "subset": 0.4, "epochs": 1}, packs=1))
    read = {name for pack in packs_of(data) for name in pack.documents}
    assert read == kept(talk_set, subset=0.4)


@given(st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_nesting_holds_for_any_document_and_shares(key: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= subset_of(key) < 1
    assert not subset_of(key) < low or subset_of(key) < high


def test_parts_are_about_as_large_as_asked() -> None:
    keys = [f"document {n}" for n in range(20_000)]
    for share in (0.01, 0.1):
        part = sum(subset_of(key) < share for key in keys) / len(keys)
        assert part == pytest.approx(share, rel=0.1)
