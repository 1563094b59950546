"""Split: shares, what no two splits share, and stability."""

import random
from typing import Any

import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import make_id, make_row, make_rows

from transforms.select.columns import MissingColumns
from transforms.select.split import SPLITS, Split


def recordings(count: int) -> pa.Table:
    return pa.table({"recording": [make_id(n) for n in range(count)]})


def test_shares_are_met_over_many_recordings() -> None:
    got = Split(train=0.8, valid=0.15, test=0.05).assign(recordings(5000), 17).to_pylist()
    assert got.count("train") / 5000 == pytest.approx(0.8, abs=0.02)
    assert got.count("valid") / 5000 == pytest.approx(0.15, abs=0.02)
    assert got.count("test") / 5000 == pytest.approx(0.05, abs=0.02)


def test_a_share_of_nothing_gets_nothing_and_of_all_gets_all() -> None:
    rows = recordings(3000)
    assert set(Split(train=1, valid=0, test=0).assign(rows, 1).to_pylist()) == {"train"}
    assert set(Split(train=0, valid=0, test=1).assign(rows, 1).to_pylist()) == {"test"}
    uneven = Split(train=0.7, valid=0.3, test=0).assign(rows, 1).to_pylist()
    assert set(uneven) == {"train", "valid"}


def test_the_seed_draws_anew() -> None:
    half = Split(train=0.5, valid=0.5, test=0)
    first, second = (half.assign(recordings(500), seed).to_pylist() for seed in (1, 2))
    assert 0.35 < sum(a == b for a, b in zip(first, second, strict=True)) / 500 < 0.65
    assert half.assign(recordings(500), 1).to_pylist() == first


def test_more_recordings_move_none() -> None:
    half = Split(train=0.5, valid=0.25, test=0.25)
    few = half.assign(recordings(100), 3).to_pylist()
    assert half.assign(recordings(400), 3).to_pylist()[:100] == few


@pytest.mark.parametrize(
    "shares",
    [
        {"train": 0.9},
        {"train": 0.5, "valid": 0.5, "test": 0.5},
        {"train": 1.2, "valid": -0.1, "test": -0.1},
    ],
)
def test_shares_that_do_not_add_up_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Split(**shares)


def test_needs_and_missing_columns() -> None:
    assert Split().needs() == {"recording"}
    assert Split(by="speaker").needs() == {"recording", "speaker", "speaker_given"}
    with pytest.raises(MissingColumns, match="'speaker_given'"):
        Split(by="speaker").assign(recordings(1), 0)
    assert len(Split().assign(make_rows(), 0)) == 0
    assert len(Split(by="speaker").assign(make_rows(), 0)) == 0


def test_speakers_of_a_diarizer_join_nothing() -> None:
    rows = make_rows(*[make_row(n) for n in range(200)])
    step = {"train": 0.5, "valid": 0.25, "test": 0.25}
    alone = Split(**step).assign(rows, 5)
    assert Split(by="speaker", **step).assign(rows, 5) == alone
    assert set(alone.to_pylist()) == set(SPLITS)


def test_a_given_speaker_does_not_move_when_it_says_more() -> None:
    def spoken(*named: tuple[str, str]) -> list[Any]:
        rows = [
            make_row(n, recording=make_id(recording), speaker=speaker, speaker_given=True)
            for n, (recording, speaker) in enumerate(named)
        ]
        step = Split(by="speaker", train=0.4, valid=0.3, test=0.3)
        return list(step.assign(make_rows(*rows), 11).to_pylist())

    names = [f"speaker {n}" for n in range(30)]
    alone = [spoken((f"r{name}", name))[0] for name in names]
    together = spoken(*[(f"r{n}", n) for n in names], *[(f"s{n}", n) for n in names])
    assert together == alone * 2
    assert set(alone) == set(SPLITS)


PEOPLE = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(["", "Ann", "Bob", "Cid", "דנה"])), max_size=20
)


@settings(max_examples=200, deadline=None)
@given(pairs=PEOPLE, seed=st.integers(0, 50))
def test_no_two_splits_share_a_recording_or_a_given_speaker(
    pairs: list[tuple[int, str]], seed: int
) -> None:
    rows = [
        make_row(n, recording=make_id(at), speaker=name or "spk0", speaker_given=bool(name))
        for n, (at, name) in enumerate(pairs)
    ]
    step = Split(by="speaker", train=0.34, valid=0.33, test=0.33)
    split = dict(
        zip((r["id"] for r in rows), step.assign(make_rows(*rows), seed).to_pylist(), strict=True)
    )
    seen: dict[object, set[str]] = {}
    for row, (at, name) in zip(rows, pairs, strict=True):
        seen.setdefault(at, set()).add(split[row["id"]])
        if name:
            seen.setdefault(name, set()).add(split[row["id"]])
    assert all(len(splits) == 1 for splits in seen.values())
    shuffled = rows[:]
    random.Random(seed).shuffle(shuffled)
    again = step.assign(make_rows(*shuffled), seed).to_pylist()
    assert dict(zip((r["id"] for r in shuffled), again, strict=True)) == split
