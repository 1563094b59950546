"""The columns of a ledger say what dictionaries would, however rows were batched and spilled."""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import accounts, spilling
from pipeline.accounts import Accounts, CommitOf, DeadIn, Names, Rows, SecondsOf, account
from pipeline.spilling import Buckets, Column, keys_of, order_of, texts_of, together

FOLDER = "hear/k/commits"


def digest(number: int, digits: int = 32) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:digits]


IDS = st.one_of(
    st.integers(0, 40).map(digest),
    st.integers(0, 40).map(lambda number: digest(number, 64)),
    st.integers(0, 40).map(lambda number: f"unit-0000{number}"),
    st.text("pé\N{SNOWMAN}-.0f", min_size=1, max_size=12),
)


@dataclasses.dataclass(frozen=True)
class Row:
    commit: str
    id: str
    seconds: float
    dead: bool


@st.composite
def phases(draw: st.DrawFn) -> tuple[list[Row], list[str], set[str]]:
    """Rows of commits, the commits that are listed, and those of which a manifest tells."""
    names = draw(st.lists(IDS, max_size=8, unique=True))
    rows = []
    for name in names:
        for record in draw(st.lists(IDS, max_size=5, unique=True)):
            seconds = draw(st.floats(0, 9))
            rows.append(Row(f"{name}.parquet", record, seconds, draw(st.booleans())))
    files = [f"{name}.parquet" for name in names]
    listed = [name for name in files if draw(st.integers(0, 5))]
    told = {name for name in files if draw(st.booleans())}
    return draw(st.permutations(rows)), listed, told


def columns(rows: list[Row]) -> Rows:
    return (
        texts_of([row.commit for row in rows]),
        texts_of([row.id for row in rows]),
        np.array([row.seconds for row in rows]),
        np.array([row.dead for row in rows], np.bool_),
    )


def built(rows: list[Row], listed: list[str], told: set[str], size: int) -> tuple[Accounts, Names]:
    """Accounts of rows that come `size` at a time."""

    def manifests() -> Iterator[Rows]:
        mine = [row for row in rows if row.commit in told]
        for at in range(0, len(mine), size):
            yield columns(mine[at : at + size])

    def read(names: Names) -> Iterator[Any]:
        for number, name in enumerate(names):
            mine = [row for row in rows if f"{FOLDER}/{row.commit}" == name]
            _, *rest = columns(mine)
            yield np.full(len(mine), number), *rest

    batches = (texts_of(listed[at : at + size]) for at in range(0, len(listed), size))
    return account(FOLDER, batches, manifests(), read)


def by_hand(rows: list[Row], listed: list[str]) -> dict[str, Row]:
    """The first commit by its name counts."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row.id)
        if row.commit in listed and (known is None or row.commit < known.commit):
            found[row.id] = row
    return found


@given(phases(), st.integers(1, 7), st.sampled_from([0, 200, 1 << 20]))
def test_columns_say_what_dictionaries_would(
    phase: tuple[list[Row], list[str], set[str]], size: int, held: int
) -> None:
    rows, listed, told = phase
    told &= {row.commit for row in rows}  # a manifest of a commit of nothing has no row
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spilling, "HELD_BYTES", held)
        patch.setattr(accounts, "AT_ONCE", 3)
        patch.setattr(accounts, "FEW", size)
        known, uncovered = built(rows, listed, told, size)
        wanted = by_hand(rows, listed)
        assert CommitOf(known) == {name: f"{FOLDER}/{row.commit}" for name, row in wanted.items()}
        assert SecondsOf(known) == {name: row.seconds for name, row in wanted.items()}
        assert set(DeadIn(known)) == {name for name, row in wanted.items() if row.dead}
        assert list(CommitOf(known)) == sorted(wanted, key=str.encode)
        assert Names(FOLDER, known.files) == [
            f"{FOLDER}/{n}" for n in sorted(listed, key=str.encode)
        ]
        assert set(uncovered) == {f"{FOLDER}/{name}" for name in set(listed) - told}
        asked = sorted({*wanted, *(row.id for row in rows), "nobody", ""})
        assert list(known.lacking(asked)) == [name for name in asked if name not in wanted]
        groups = list(known.grouped(known.rows(asked)))
        assert [name for name, _ in groups] == sorted({name for name, _ in groups}, key=str.encode)
        assert {one: name for name, mine in groups for one in mine} == dict(CommitOf(known))
        assert not asked or "nobody" not in CommitOf(known)


@given(st.lists(IDS, max_size=30), st.integers(1, 9), st.sampled_from([0, 100, 1 << 20]))
def test_buckets_give_every_row_once_and_in_the_order_of_texts(
    texts: list[str], size: int, held: int
) -> None:
    rows = Buckets(held)
    for at in range(0, len(texts), size):
        some = texts[at : at + size]
        rows.add(texts_of(some), np.arange(at, at + len(some)))
    found = []
    for bucket in rows.each():
        if bucket:
            order = order_of(bucket[0], keys_of(bucket[0]))
            found += list(zip(bucket[0][order].tolist(), bucket[1][order].tolist(), strict=True))
    assert [text for text, _ in found] == sorted(text.encode() for text in texts)
    assert sorted(number for _, number in found) == list(range(len(texts)))
    assert all(texts[number].encode() == text for text, number in found)


def test_buckets_go_together_where_one_alone_was_spilled() -> None:
    many, few = Buckets(0), Buckets()
    many.add(texts_of([digest(number) for number in range(300)]))
    few.add(texts_of([digest(7), digest(8)]))
    assert many.spilled and not few.spilled
    pairs = list(together(many, few))
    assert len(pairs) == spilling.BUCKETS
    for a, b in pairs:
        assert not b or set(b[0].tolist()) <= set(a[0].tolist())
    assert sum(len(b[0]) for _, b in pairs if b) == 2


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_a_column_is_what_was_added(held: int) -> None:
    column = Column("S4", held)
    for some in ([b"a", b"bbbb"], [], [b"ccc"]):
        column.add(np.array(some, "S4"))
    values = column.values()
    column.release()
    assert values.tolist() == [b"a", b"bbbb", b"ccc"]
    assert len(Column(np.int32, held).values()) == 0
