"""Near sound: clusters, jingles inside broadcasts, survivors, recordings that leave as a whole."""

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_rows import make_id, make_row, make_rows

from schemas.records import Drop
from schemas.tables import from_table
from transforms.engines.fingerprinter import fingerprint
from transforms.engines.print_code import to_code
from transforms.select.dedup import Dedup
from transforms.select.rounds import settle

sys.path.append(str(Path(__file__).resolve().parents[1] / "measure"))
from test_fingerprint import RATE, changed, murmur

STEP = Dedup(audio="fingerprint", text=None)


@functools.cache
def code(*pieces: tuple[int, float]) -> str:
    """The fingerprint of some murmurs one after the other: (seed, seconds)."""
    found = fingerprint(np.concatenate([murmur(seed, seconds) for seed, seconds in pieces]), RATE)
    assert found is not None
    return to_code(found)


@functools.cache
def code_of(seed: int, seconds: float, how: str) -> str:
    found = fingerprint(changed(murmur(seed, seconds), how), RATE)
    assert found is not None
    return to_code(found)


def row(name: object, printed: str | None, seconds: float, **values: Any) -> dict[str, Any]:
    return make_row(name, seconds=seconds, fingerprint__code=printed, **values)


def left(rows: list[dict[str, Any]], step: Dedup = STEP) -> dict[str, Drop]:
    found = from_table(settle(step, make_rows(*rows)), Drop)
    assert len({drop.id for drop in found}) == len(found)
    return {drop.id: drop for drop in found}


def test_copies_leave_for_the_best() -> None:
    rows = [
        row("plain", code((1, 6.0)), 6.0),
        row("loud", code_of(1, 6.0, "gain"), 6.0, quality="given"),
        row("noisy", code_of(1, 6.0, "noise"), 6.0),
        row("other", code((2, 6.0)), 6.0),
        row("unknown", None, 6.0),
    ]
    drops = left(rows)
    assert set(drops) == {make_id("plain"), make_id("noisy")}
    for drop in drops.values():
        assert drop.reason == "near_audio" and drop.threshold == 0.7
        assert drop.score is not None and drop.score >= 0.7
        assert drop.detail == f"much the same as {make_id('loud')}"
    assert left(rows[::-1]) == drops


def test_a_jingle_leaves_and_joins_no_broadcasts() -> None:
    jingle = (9, 4.0)
    rows = [
        row("jingle", code(jingle), 4.0, quality="given"),
        row("one", code((1, 9.0), jingle, (2, 5.0)), 18.0),
        row("two", code((3, 7.0), jingle, (4, 6.0)), 17.0),
    ]
    drops = left(rows)
    assert set(drops) == {make_id("jingle")}  # although its text is better: it is inside
    assert drops[make_id("jingle")].detail.endswith((make_id("one"), make_id("two")))


def test_of_many_copies_of_a_jingle_one_stays() -> None:
    rows = [row(n, code_of(9, 4.0, how), 4.0) for n, how in enumerate(["gain", "noise", "band"])]
    rows += [row(f"talk{n}", code((n, 8.0)), 8.0) for n in range(3)]
    assert len(left(rows)) == 2


def test_recordings_that_repeat_for_the_most_part_leave_when_asked() -> None:
    again = {"recording": make_id("again"), "task": make_id("again task")}
    rows = [
        row("a", code((1, 6.0)), 6.0),
        row("b", code((2, 6.0)), 6.0),
        row("a2", code_of(1, 6.0, "gain"), 6.0, **again, quality="smoke"),
        row("b2", code_of(2, 6.0, "gain"), 6.0, **again, quality="smoke"),
        row("news", code((3, 5.0)), 5.0, **again),
    ]
    assert set(left(rows)) == {make_id("a2"), make_id("b2")}
    drops = left(rows, STEP.model_copy(update={"repeats": "recording"}))
    assert set(drops) == {make_id("a2"), make_id("b2"), make_id("news")}
    assert drops[make_id("news")].reason == "repeated_recording"
    strict = STEP.model_copy(update={"repeats": "recording", "repeated_share": 0.8})
    assert set(left(rows, strict)) == {make_id("a2"), make_id("b2")}


def test_the_measure_is_asked_for() -> None:
    assert "fingerprint.code" in STEP.needs()
    assert "fingerprint.code" not in Dedup().needs()


def test_a_key_that_all_share_costs_no_pair_of_all() -> None:
    from transforms.select.matching import Entries
    from transforms.select.near_audio import AudioMatcher

    count = 20_000
    entries = Entries(np.full(count, 5, np.uint64), np.arange(count), np.zeros(count, np.int32))
    assert len(AudioMatcher(threshold=0.7).pairs(entries)) < 3 * count


def test_a_row_without_any_fingerprint_at_all() -> None:
    rows = pa.concat_tables([make_rows(row("a", None, 3.0)), make_rows(row("b", None, 3.0))])
    assert settle(STEP, rows).num_rows == 0
    with pytest.raises(ValueError, match="fingerprint"):
        left([row("a", "AAAA", 3.0)])
