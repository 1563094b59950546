"""The funnel: counted from commits, exact, and refused where it does not add up."""

import dataclasses
import random

import pyarrow as pa
import pytest

from pipeline.funnel import _drop_counts, _total, check, check_shards, meaning
from pipeline.report.content import DropCount, FunnelRow
from pipeline.work import ConservationError
from schemas.records import Drop
from schemas.tables import to_table


def row(**changes: object) -> FunnelRow:
    given = {
        "phase": "hear",
        "step": "segment",
        "items_in": 3,
        "items_out": 2,
        "seconds_in": 10.0,
        "seconds_out": 7.5,
        "drops": (DropCount(reason="non_speech", items=1, seconds=2.5, meaning=""),),
    }
    return FunnelRow(**{**given, **changes})  # type: ignore[arg-type]


def test_a_funnel_that_adds_up_passes() -> None:
    check([row(), row(seconds_in=None, seconds_out=None)])


@pytest.mark.parametrize("changes", [{"seconds_out": 7.4}, {"seconds_in": 9.9}, {"drops": ()}])
def test_a_funnel_that_does_not_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConservationError, match="hear/segment"):
        check([row(**changes)])


def test_sums_do_not_depend_on_the_order_of_rows() -> None:
    chance = random.Random(1)
    numbers = [chance.uniform(0, 30) for _ in range(2000)] + [1e9, 1e-9]
    sums = set()
    for _ in range(20):
        chance.shuffle(numbers)
        cut = chance.randint(1, len(numbers) - 1)
        sums.add(_total(pa.chunked_array([numbers[:cut], numbers[cut:]])))
    assert len(sums) == 1
    assert _total(pa.chunked_array([[]], pa.float64())) == 0.0


def test_drops_are_counted_by_reason_the_dearest_first() -> None:
    drops = [
        Drop(id="a" * 32, root="a" * 32, step=step, reason=reason, seconds=seconds)
        for step, reason, seconds in [
            ("gate", "low_snr", 1.0),
            ("gate", "short_segment", 0.5),
            ("gate", "short_segment", 0.75),
            ("segment", "non_speech", 9.0),
        ]
    ]
    counts = _drop_counts("gate", to_table(drops, Drop))
    assert [(c.reason, c.items, c.seconds) for c in counts] == [
        ("short_segment", 2, 1.25),
        ("low_snr", 1, 1.0),
    ]
    assert all(c.meaning for c in counts)


def test_every_reason_has_words_for_people() -> None:
    assert "found no speech" in meaning("segment", "no_speech")
    assert "`min_snr_db`" in meaning("filter", "too_noisy")
    assert meaning("filter", "too_noisy_unknown")
    assert "died" in meaning("hear", "crash")


def test_shards_hold_what_was_let_through() -> None:
    from types import SimpleNamespace as Made

    interleave = Made(materialize=False)
    result = Made(
        shards=[Made(audio="flac", seconds=5.0), Made(audio="none", seconds=0.0)],
        streams=[Made(outline=Made(interleave=interleave))],
    )
    composed = row(phase="compose", step="interleave", seconds_in=5.0, seconds_out=5.0, drops=())
    check_shards(result, [composed])  # type: ignore[arg-type]
    with pytest.raises(ConservationError, match=r"compose: 5\.1 s of kept clips, 5\.0 s"):
        check_shards(result, [dataclasses.replace(composed, seconds_out=5.1)])  # type: ignore[arg-type]
