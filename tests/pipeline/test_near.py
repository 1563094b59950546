"""Near-duplicates over partitions: the same as in memory, however cut, killed or ordered."""

import functools
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import near
from pipeline.near import Spill, each_here, find_links, find_stars, write_sketches
from schemas.store import Store
from transforms.select.components import stars
from transforms.select.matching import BOTH, Links
from transforms.select.near import both_ways, links_here
from transforms.select.near_text import TextMatcher

MATCHER = TextMatcher(threshold=0.6, unit="words", size=2, permutations=64, min_words=4)
COUNT = 1200


@functools.cache
def texts() -> pa.Table:
    chance = random.Random(0)
    words = [f"w{number}" for number in range(300)]
    found: list[list[str]] = []
    for _ in range(COUNT):
        if found and chance.random() < 0.4:
            copy = list(chance.choice(found))
            for _ in range(chance.randrange(4)):
                copy[chance.randrange(len(copy))] = chance.choice(words)
            found.append(copy)
        else:
            found.append(chance.choices(words, k=chance.randrange(3, 40)))
    return pa.table({"text": [" ".join(one) for one in found]})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many partitions and chunks for few rows."""
    monkeypatch.setattr(near, "ROWS_PER_PARTITION", 150)
    monkeypatch.setattr(near, "ENTRIES_AT_ONCE", 3000)
    monkeypatch.setattr(near, "EDGES_AT_ONCE", 200)


def sketches(per_block: int) -> None:
    return (  # type: ignore[return-value]
        MATCHER.sketch(
            texts().slice(at, per_block), np.arange(at, min(COUNT, at + per_block), dtype=np.int64)
        )
        for at in range(0, COUNT, per_block)
    )


def run(folder: Path, each: near.Each, per_block: int = 100) -> tuple[Links, tuple]:
    spill = Spill.of(Store(folder), "near", COUNT)
    write_sketches(spill, sketches(per_block))
    links = find_links(spill, MATCHER, each)
    return links, find_stars(spill, links, each)


def same(one: tuple[Links, tuple], other: tuple[Links, tuple]) -> bool:
    links = all(
        np.array_equal(getattr(one[0], name), getattr(other[0], name))
        for name in ("low", "high", "score", "inside")
    )
    return links and all(map(np.array_equal, one[1], other[1]))


@functools.cache
def in_memory() -> tuple[Links, tuple]:
    links = links_here(MATCHER, MATCHER.sketch(texts(), np.arange(COUNT, dtype=np.int64)))
    return links, stars(*both_ways(links))


@pytest.mark.parametrize("per_block", [37, 400, 5000])
def test_partitions_find_what_memory_finds(small: None, tmp_path: Path, per_block: int) -> None:
    found = run(tmp_path, each_here, per_block)
    assert len(in_memory()[0]) > 200
    assert Spill.of(Store(tmp_path), "near", COUNT).partitions == 8
    assert same(found, in_memory())


def test_the_order_of_partitions_changes_nothing(small: None, tmp_path: Path) -> None:
    def backwards(label: str, items: Sequence[str], work: Callable[[str], None]) -> None:
        for item in reversed(items):
            work(item)

    assert same(run(tmp_path, backwards), in_memory())


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [0, 3, 9, 20, 31, 40])
def test_a_killed_run_goes_on_where_it_was(small: None, tmp_path: Path, after: int) -> None:
    worked: list[str] = []
    limit: list[int | None] = [after]

    def each(label: str, items: Sequence[str], work: Callable[[str], None]) -> None:
        for item in items:
            if limit[0] is not None and len(worked) == limit[0]:
                raise Killed
            work(item)
            worked.append(f"{label}/{item}")

    with pytest.raises(Killed):
        run(tmp_path, each)
    limit[0] = None
    assert same(run(tmp_path, each), in_memory())
    assert len(set(worked)) == len(worked)  # nothing that was done is done again


def test_a_partition_killed_in_its_middle_is_done_again(small: None, tmp_path: Path) -> None:
    real = Spill.write
    writes = [0]

    def breaks(self: Spill, name: str, **columns: np.ndarray) -> None:
        writes[0] += 1
        if writes[0] == 60:
            raise Killed
        real(self, name, **columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spill, "write", breaks)
        with pytest.raises(Killed):
            run(tmp_path, each_here)
    assert same(run(tmp_path, each_here), in_memory())


def test_a_long_chain_of_links_over_partitions(small: None, tmp_path: Path) -> None:
    path = np.random.default_rng(0).permutation(2000).astype(np.int64)
    count = len(path) - 1
    links = Links(
        np.minimum(path[:-1], path[1:]),
        np.maximum(path[:-1], path[1:]),
        np.ones(count, np.float32),
        np.full(count, BOTH, np.int8),
    )
    centre, member = find_stars(Spill(Store(tmp_path), "near"), links, each_here)
    assert set(centre.tolist()) == {0}
    assert member.tolist() == list(range(1, 2000))
    rounds = {name.split("/")[0] for name in Spill(Store(tmp_path), "near").names("")}
    assert len([name for name in rounds if name.startswith("round-")]) < 20


def test_nothing_to_compare(tmp_path: Path) -> None:
    spill = Spill.of(Store(tmp_path), "near", 0)
    write_sketches(spill, [])
    links = find_links(spill, MATCHER, each_here)
    assert not len(links) and not len(find_stars(spill, links, each_here)[0])
    spill.clear()
    assert Store(tmp_path).list("") == []
