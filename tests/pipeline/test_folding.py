"""Sums over commits: the same to the bit, however they were batched, compacted or killed."""

import contextlib
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import accounts, commits, layout, manifests, spilling
from pipeline.commits import Content, Done, Ledger, Tally, compact, ledger
from pipeline.folding import folded
from pipeline.sums import DROP, TALLY, Sums, Taken, exact, rounded
from schemas.ids import digest_of
from schemas.records import Drop, Word
from schemas.store import Store
from schemas.tables import arrow_schema, to_table

SECONDS = st.floats(0, 1e9) | st.floats(0, 1e-300) | st.just(0.1)
IDS = [digest_of("root", number) for number in range(12)]


@given(st.lists(SECONDS, max_size=30), st.integers(1, 9))
def test_a_sum_is_exact_however_it_is_batched(values: list[float], size: int) -> None:
    parts = [exact(np.array(values[at : at + size])) for at in range(0, len(values), size)]
    assert rounded(sum(parts)) == math.fsum(values)
    assert sum(parts) == exact(np.array(values[::-1])) == -exact(-np.array(values))


def test_a_sum_of_nothing_that_can_be_summed_is_refused() -> None:
    for value in (math.inf, math.nan):
        with pytest.raises(ValueError, match="infinite"):
            exact(np.array([1.0, value]))


def tally(root: str, step: str, seconds: float) -> Tally:
    return Tally(
        root=root,
        step=step,
        items_in=2,
        items_out=1,
        seconds_in=seconds,
        seconds_out=seconds / 3,
        compute_seconds=0.5,
    )


@st.composite
def contents(draw: st.DrawFn, roots: Sequence[str]) -> Content:
    """What a commit says of some roots; steps may have the phase's name, and roots no tally."""
    tallies, drops = [], []
    for root in roots:
        for step in draw(st.lists(st.sampled_from(["hear", "gate"]), max_size=2, unique=True)):
            tallies.append(tally(root, step, draw(SECONDS)))
        for step in draw(st.lists(st.sampled_from(["hear", "gate"]), max_size=3)):
            reason = draw(st.sampled_from(["crash", "low"]))
            drops.append(Drop(id=root, root=root, step=step, reason=reason, seconds=draw(SECONDS)))
    done = tuple(Done(id=root, seconds=1.0) for root in roots)
    return Content(done=done, drops=tuple(drops), tallies=tuple(tallies))


def by_hand(held: dict[str, Content], roots: Sequence[str]) -> dict[str, Any]:
    """Sums as the laws say them: each record by the first commit that holds it, numbers by fsum."""
    taken: dict[str, list[Tally]] = {}
    dropped: dict[tuple[str, str, bool], list[Drop]] = {}
    seen: set[str] = set()
    for _, content in sorted(held.items()):
        mine = {done.id for done in content.done} & set(roots) - seen
        seen |= mine
        took = {(one.root, one.step) for one in content.tallies}
        for one in content.tallies:
            if one.root in mine:
                taken.setdefault(one.step, []).append(one)
        for drop in content.drops:
            if drop.root in mine:
                key = (drop.step, drop.reason, (drop.root, drop.step) in took)
                dropped.setdefault(key, []).append(drop)
    return {
        "taken": {
            step: (len(some) * 2, len(some), math.fsum(one.seconds_in for one in some))
            for step, some in taken.items()
        },
        "dropped": {
            key: (len(some), math.fsum(drop.seconds for drop in some))
            for key, some in dropped.items()
        },
    }


def said(sums: Sums) -> dict[str, Any]:
    return {
        "taken": {
            step: (one.items_in, one.items_out, rounded(one.seconds_in))
            for step, one in sums.taken.items()
        },
        "dropped": {key: (one.items, rounded(one.seconds)) for key, one in sums.dropped.items()},
    }


class Killed(Store):
    """A store whose process ends at its n-th change."""

    def __init__(self, url: str, changes: int):
        super().__init__(url)
        self.changes = changes

    def _change(self) -> None:
        self.changes -= 1
        if self.changes < 0:
            raise KeyboardInterrupt

    def put_if_absent(self, name: str, data: bytes | Path) -> bool:
        self._change()
        return super().put_if_absent(name, data)

    def delete(self, *names: str) -> None:
        for name in names:
            self._change()
            super().delete(name)


def compact_killed(store: Store, changes: int) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        compact(Killed(store.url, changes), "hear", "k")


def assert_says(store: Store, known: Ledger, held: dict[str, Content], roots: list[str]) -> None:
    first: dict[str, str] = {}
    for name in sorted(held):
        for done in held[name].done:
            first.setdefault(done.id, layout.commit_name("hear", "k", name))
    assert dict(known.done) == first
    assert list(known.commits) == sorted(layout.commit_name("hear", "k", name) for name in held)
    assert said(folded(store, known, roots)) == by_hand(held, roots)


@settings(max_examples=50)
@given(st.data())
def test_compaction_changes_nothing_wherever_it_is_killed(data: st.DataObject) -> None:
    """Commits appear, some hold what others hold, compaction runs and is killed at any change: the
    ledger and the sums over any records are those of the commits, read one by one."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(commits, "READ_AT_ONCE", data.draw(st.integers(1, 3)))
        rows = data.draw(st.integers(1, 5))
        patch.setattr(commits, "ROWS_PER_MANIFEST", rows)
        patch.setattr(manifests, "ROWS_PER_MANIFEST", rows * data.draw(st.integers(1, 3)))
        patch.setattr(manifests, "FEW_MANIFESTS", data.draw(st.integers(0, 3)))
        patch.setattr(spilling, "HELD_BYTES", data.draw(st.sampled_from([0, 1 << 20])))
        patch.setattr(accounts, "AT_ONCE", 2)
        store = Store(folder)
        held: dict[str, Content] = {}
        for number in range(data.draw(st.integers(1, 7))):
            mine = data.draw(st.lists(st.sampled_from(IDS), max_size=3, unique=True))
            content = data.draw(contents(mine))
            name = digest_of("part", number)
            commits.write(store, "hear", "k", name, content, arrow_schema(Word), "r")
            held[name] = content
            if (changes := data.draw(st.integers(-1, 6))) >= 0:
                compact_killed(store, changes)
        if data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(held)))
            store.delete(layout.commit_name("hear", "k", gone))
            del held[gone]
        roots = data.draw(st.lists(st.sampled_from(IDS), unique=True))
        for asked in (roots, IDS):
            assert_says(store, ledger(store, "hear", "k"), held, asked)
        for asked in (roots, IDS):
            assert_says(store, compact(store, "hear", "k"), held, asked)
        known = ledger(store, "hear", "k")
        assert set(known.uncovered) == {
            layout.commit_name("hear", "k", name) for name, one in held.items() if not one.done
        }


@settings(max_examples=40)
@given(st.data(), st.integers(1, 5))
def test_folding_by_any_batches_equals_folding_at_once(data: st.DataObject, size: int) -> None:
    every = [data.draw(contents([root])) for root in IDS]

    def tables(some: Sequence[Content]) -> tuple[pa.Table, pa.Table]:
        tallies = [one for content in some for one in content.tallies]
        drops = [one for content in some for one in content.drops]
        return to_table(tallies, Tally).select(list(TALLY)), to_table(drops, Drop).select(
            list(DROP)
        )

    at_once = Sums()
    at_once.fold(*tables(every))
    total = Sums()
    for at in range(0, len(every), size):
        one = Sums()
        one.fold(*tables(every[at : at + size]))
        total.add(Sums.read(one.told()))
    assert total == at_once
    assert said(total) == by_hand({str(n).zfill(3): one for n, one in enumerate(every)}, IDS)


def test_sums_of_whole_manifests_need_no_commit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for root in IDS[:3]:
        content = Content(done=(Done(id=root, seconds=1.0),), tallies=(tally(root, "gate", 3.0),))
        commits.write(store, "hear", "k", digest_of(root), content, arrow_schema(Word), "r")
    known = compact(store, "hear", "k")
    for name in known.commits:
        store.replace(name, b"whoever reads this fails")
    third = exact(np.array([1.0])) * 3
    assert folded(store, known, IDS) == Sums(
        taken={"gate": Taken(6, 3, 3 * third, third)}, dropped={}
    )
    with pytest.raises(pa.ArrowInvalid):
        folded(store, known, IDS[:2])  # not all that the manifest tells of


def test_a_manifest_of_which_every_commit_is_gone_tells_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    content = Content(done=(Done(id=IDS[0], seconds=1.0),), tallies=(tally(IDS[0], "gate", 3.0),))
    commits.write(store, "hear", "k", digest_of("p"), content, arrow_schema(Word), "r")
    for name in compact(store, "hear", "k").commits:
        store.delete(name)
    known = ledger(store, "hear", "k")
    assert not known.done and folded(store, known, IDS) == Sums()
