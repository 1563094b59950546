"""Curricula: easy before hard where it was asked for, and nothing lost or read twice."""

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Document
from tests.trainer.data.reading import opened, packs_of, settings_of
from trainer.curriculum import Curriculum
from trainer.data import DataError
from trainer.data_settings import Curriculum as Settings

ITEMS = st.lists(st.integers(0, 20), min_size=1, max_size=40)


def arranged(hard: list[int], part: float, **values: Any) -> list[int]:
    order = sorted(range(len(hard)), key=lambda n: (n * 7919) % 101)  # any order
    own = Curriculum(Settings(by="words", **values), "made")
    return own.arranged(order, [float(one) for one in hard], part, "made")


@given(ITEMS, st.floats(0, 1), st.sampled_from(["sorted", "annealed"]))
def test_every_item_comes_once(hard: list[int], part: float, order: str) -> None:
    found = arranged(hard, part, order=order)
    assert sorted(found) == list(range(len(hard)))
    assert found == arranged(hard, part, order=order)


@given(ITEMS, st.floats(0.01, 1))
def test_sorted_begins_with_the_easiest_ascending(hard: list[int], part: float) -> None:
    found = [hard[item] for item in arranged(hard, part)]
    warm = round(part * len(hard) + 0.4999999)
    assert found[:warm] == sorted(hard)[:warm]


def test_annealed_begins_easy_and_ends_as_it_comes() -> None:
    hard = [(n * 37) % 1000 for n in range(1000)]
    found = [hard[item] for item in arranged(hard, 1.0, order="annealed")]
    parts = [sum(found[first : first + 200]) / 200 for first in range(0, 1000, 200)]
    assert parts[0] < 150  # of 500 in the mean; sorted would begin at 100
    assert parts[1] < parts[-1]
    assert found != sorted(found)


def lengths(data: Any, talks: dict[str, Document], by: str = "seconds") -> list[float]:
    """Difficulty of each document in the order in which the set deals them."""
    order = next(iter(data.readers.values())).order
    shards = next(iter(data.readers.values())).shards
    rows = [shards.index(one.shard)[one.row] for one, _ in order.after(0, (0, 0))]
    assert {row.key for row in rows} == set(talks)
    return [getattr(row, by) for row in rows]


def test_a_set_in_one_window_is_read_from_easy_to_hard(
    talk_set: Path, talks: dict[str, Document]
) -> None:
    about = {"shards": talk_set, "curriculum": {"by": "seconds"}}
    found = lengths(opened(settings_of(talk=about)), talks)
    assert found == sorted(found)
    about = {"shards": talk_set, "curriculum": {"by": "words", "hardest_first": True}}
    found = lengths(opened(settings_of(talk=about)), talks, "words")
    assert found == sorted(found, reverse=True)


def test_a_warm_up_is_a_part_and_the_rest_is_shuffled(
    talk_set: Path, talks: dict[str, Document]
) -> None:
    about = {"shards": talk_set, "curriculum": {"by": "seconds", "share": 0.3}}
    found = lengths(opened(settings_of(talk=about)), talks)
    warm = 18  # of 60
    assert found[:warm] == sorted(found)[:warm]
    assert found[warm:] != sorted(found[warm:])


def test_beyond_a_window_shards_follow_their_means(
    talk_set: Path, talks: dict[str, Document]
) -> None:
    about = {"shards": talk_set, "curriculum": {"by": "seconds"}}
    data = opened(settings_of(talk=about, window_documents=16))
    found = lengths(data, talks)
    order = data.readers["talk"].order
    windows = order.windows(0)
    assert len(windows) > 2
    at, means = 0, []
    for group in windows:
        size = sum(data.readers["talk"].shards.count(shard) for shard in group)
        part = found[at : at + size]
        assert part == sorted(part)
        means.append(sum(part) / size)
        at += size
    assert all(a <= b for a, b in itertools.pairwise(means))


def test_later_passes_are_shuffled(talk_set: Path) -> None:
    plain = opened(settings_of(talk={"shards": talk_set})).readers["talk"].order
    about = {"shards": talk_set, "curriculum": {"by": "seconds"}}
    own = opened(settings_of(talk=about)).readers["talk"].order
    assert list(own.after(1, (0, 0))) == list(plain.after(1, (0, 0)))
    assert list(own.after(0, (0, 0))) != list(plain.after(0, (0, 0)))


def test_packs_keep_the_order_and_lose_nothing(talk_set: Path, talks: dict[str, Document]) -> None:
    about = {"shards": talk_set, "curriculum": {"by": "seconds"}, "epochs": 1}
    data = opened(settings_of(talk=about, packs=1, block_packs=4))
    packs = packs_of(data)
    seconds = [pack.seconds / len(pack.documents) for pack in packs]
    third = len(seconds) // 3
    assert sum(seconds[:third]) < sum(seconds[third : 2 * third]) < sum(seconds[-third:])
    read = {(name, c) for p in packs for name, run in zip(p.documents, p.chunks, strict=True)
            for c in range(*run)}  # fmt: skip
    assert read == {(k, c) for k, d in talks.items() for c in range(len(d.chunks))}


def test_a_curriculum_goes_on_where_it_was(talk_set: Path) -> None:
    about = {"shards": talk_set, "curriculum": {"by": "seconds", "order": "annealed"}}
    settings = settings_of(talk=about, packs=2, block_packs=4)
    whole = list(opened(settings).batches(steps=12))
    rest = list(opened(settings).batches(whole[4].state, steps=7))
    assert [g.batch.packs[0].documents for g in rest] == [
        g.batch.packs[0].documents for g in whole[5:]
    ]


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_difficulties_come_from_a_file(
    talk_set: Path, talks: dict[str, Document], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"hard.{kind}"
    hard = {key: float(key[::-1] < "8") + place / 100 for place, key in enumerate(talks)}
    if kind == "json":
        path.write_text(json.dumps(hard))
    else:
        table = pa.table({"id": list(hard), "difficulty": list(hard.values())})
        pq.write_table(table, path)
    about = {"shards": talk_set, "curriculum": {"by": str(path)}}
    data = opened(settings_of(talk=about))
    order, shards = data.readers["talk"].order, data.readers["talk"].shards
    found = [hard[shards.index(one.shard)[one.row].key] for one, _ in order.after(0, (0, 0))]
    assert found == sorted(found)


def test_what_is_wrong_with_difficulties_is_told(talk_set: Path, tmp_path: Path) -> None:
    for text, why in (("[]", "not a mapping"), ('{"a": "b"}', "not a number"), ("{", "curriculum")):
        path = tmp_path / "bad.json"
        path.write_text(text)
        with pytest.raises(DataError, match=why):
            opened(settings_of(talk={"shards": talk_set, "curriculum": {"by": str(path)}}))
    with pytest.raises(DataError, match="nor one of seconds"):
        opened(settings_of(talk={"shards": talk_set, "curriculum": {"by": "loudness"}}))
    path.write_text("{}")
    data = opened(settings_of(talk={"shards": talk_set, "curriculum": {"by": str(path)}}))
    with pytest.raises(DataError, match="has no difficulty"):
        list(data.batches(steps=1))
