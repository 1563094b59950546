"""Split: shares, what no two splits share, and stability."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import make_id, make_row, make_rows

from transforms.select.columns import MissingColumns
from transforms.select.split import SPLITS, Split


def recordings(count: int) -> pa.Table:
    """Recordings that nothing ties."""
    return pa.table(
        {
            "recording": [make_id(n) for n in range(count)],
            "speaker": ["spk0"] * count,
            "speaker_given": [False] * count,
        }
    )


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
    assert Split(by=("recording",)).needs() == {"recording"}
    assert Split().needs() == {"recording", "speaker", "speaker_given"}
    bare = recordings(1).select(["recording"])
    with pytest.raises(MissingColumns, match="'speaker_given'"):
        Split().assign(bare, 0)
    assert Split(by=("feed", "cluster")).assign(bare, 0).to_pylist() == ["train"]
    assert len(Split().assign(make_rows(), 0)) == 0


def test_what_binds_is_named_alone_or_in_a_list_and_recordings_always_do() -> None:
    assert Split().by == ("recording", "speaker", "feed", "cluster")
    assert Split.model_validate({"by": "speaker"}).by == ("recording", "speaker")
    assert Split.model_validate({"by": ["cluster", "feed"]}).by == ("recording", "feed", "cluster")
    for wrong in ("host", ["recording", "host"], 3, [3], None):
        with pytest.raises(pydantic.ValidationError):
            Split.model_validate({"by": wrong})


def test_speakers_of_a_diarizer_join_nothing() -> None:
    rows = make_rows(*[make_row(n) for n in range(200)])
    step = {"train": 0.5, "valid": 0.25, "test": 0.25}
    alone = Split(by=("recording",), **step).assign(rows, 5)
    assert Split(by=("speaker",), **step).assign(rows, 5) == alone
    assert set(alone.to_pylist()) == set(SPLITS)


def test_a_given_speaker_does_not_move_when_it_says_more() -> None:
    def spoken(*named: tuple[str, str]) -> list[Any]:
        rows = [
            make_row(n, recording=make_id(recording), speaker=speaker, speaker_given=True)
            for n, (recording, speaker) in enumerate(named)
        ]
        step = Split(by=("speaker",), train=0.4, valid=0.3, test=0.3)
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
    step = Split(by=("speaker",), train=0.34, valid=0.33, test=0.33)
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


TIED = st.lists(
    st.tuples(
        st.integers(0, 12),  # recording
        st.sampled_from(["", "Ann", "Bob", "Cid", "דנה"]),  # given speaker
        st.lists(st.sampled_from(["a.xml", "b.xml", "c.xml"]), max_size=2),
        st.lists(st.sampled_from(["near_text:1", "near_text:2", "near_audio:1"]), max_size=2),
    ),
    max_size=16,
)
Ties = list[tuple[int, str, list[str], list[str]]]


def tied(rows: Ties) -> pa.Table:
    lists = pa.list_(pa.string())
    return pa.table(
        {
            "id": [make_id(n) for n in range(len(rows))],
            "recording": [make_id(at) for at, *_ in rows],
            "speaker": [name or "spk0" for _, name, *_ in rows],
            "speaker_given": pa.array([bool(name) for _, name, *_ in rows], pa.bool_()),
            "feeds": pa.array([feeds for *_, feeds, _ in rows], lists),
            "clusters": pa.array([clusters for *_, clusters in rows], lists),
        }
    )


def names_of(row: tuple[int, str, list[str], list[str]], by: tuple[str, ...]) -> set[object]:
    at, name, feeds, clusters = row
    found: set[object] = {("recording", at)}
    found |= {("speaker", name)} if name and "speaker" in by else set()
    found |= {("feed", one) for one in feeds if "feed" in by}
    return found | {("cluster", one) for one in clusters if "cluster" in by}


@settings(max_examples=300, deadline=None)
@given(
    rows=TIED,
    seed=st.integers(0, 50),
    by=st.sets(st.sampled_from(["speaker", "feed", "cluster"])).map(tuple),
)
def test_groups_are_the_components_of_what_binds(
    rows: Ties, seed: int, by: tuple[str, ...]
) -> None:
    """No two rows of one group are parted, and groups are no larger than the ties make them."""
    step = Split(by=by, train=0.34, valid=0.33, test=0.33)
    dealt = step.deal(tied(rows), seed)
    group = list(range(len(rows)))  # by brute force: join until nothing changes
    changed = True
    while changed:
        changed = False
        for one in range(len(rows)):
            for other in range(one):
                if group[one] != group[other] and names_of(rows[one], by) & names_of(
                    rows[other], by
                ):
                    group[one] = group[other] = min(group[one], group[other])
                    changed = True
    pairs = set(zip(group, dealt.group.tolist(), strict=True))
    assert len(pairs) == len(set(group)) == len(set(dealt.group.tolist()))
    splits = set(zip(group, dealt.splits.to_pylist(), strict=True))
    assert len(splits) == len(set(group))


@settings(max_examples=200, deadline=None)
@given(rows=TIED, seed=st.integers(0, 50))
def test_no_order_shows(rows: Ties, seed: int) -> None:
    step = Split(train=0.34, valid=0.33, test=0.33)
    table = tied(rows)
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    turned = table.take(pa.array(order, pa.int64()))
    turned = turned.set_column(
        4,
        "feeds",
        pa.array([one[::-1] for one in turned["feeds"].to_pylist()], pa.list_(pa.string())),
    )
    first = dict(zip(table["id"].to_pylist(), step.assign(table, seed).to_pylist(), strict=True))
    again = step.assign(turned, seed).to_pylist()
    assert dict(zip(turned["id"].to_pylist(), again, strict=True)) == first


def test_a_feed_does_not_move_when_it_grows_and_a_tie_makes_two_groups_one() -> None:
    step = Split(train=0.34, valid=0.33, test=0.33)

    def splits(rows: Ties) -> list[Any]:
        return list(step.assign(tied(rows), 7).to_pylist())

    feeds = [f"{n}.xml" for n in range(40)]
    before = splits([(n, "", [feed], []) for n, feed in enumerate(feeds)])
    assert set(before) == set(SPLITS)
    more: Ties = [(n, "", [feed], []) for n, feed in enumerate(feeds)]
    more += [(100 + n, "", [feed], []) for n, feed in enumerate(feeds)]
    assert splits(more) == before * 2
    a, b = next((a, b) for a in range(40) for b in range(a) if before[a] != before[b])
    joined = splits([*more, (999, "", [feeds[a], feeds[b]], [])])
    assert joined[a] == joined[b] == joined[-1]
    others = [n for n in range(40) if n not in (a, b)]
    assert [joined[n] for n in others] == [before[n] for n in others]


def test_the_largest_group_is_told() -> None:
    rows: Ties = [(n, "Ann" if n < 2 else "", ["a.xml"] if n < 6 else [], []) for n in range(10)]
    rows += [(6, "", [], ["near_text:1"]), (7, "", [], ["near_text:1"])]
    dealt = Split().deal(tied(rows), 1)
    found = dealt.largest(np.ones(len(rows)))
    assert found is not None
    group, share = found
    assert share == 0.5 and group.name == "feed:a.xml"
    assert (group.clips, group.recordings, group.speakers, group.feeds) == (6, 6, 1, 1)
    assert group.clusters == 0 and group.split == dealt.splits[0].as_py()
    heavy = np.where(np.arange(len(rows)) >= 10, 100.0, 1.0)
    pair, share = dealt.largest(heavy) or (None, 0.0)
    assert pair is not None and share == pytest.approx(202 / 210)
    assert (pair.recordings, pair.clusters, pair.feeds) == (2, 1, 0)
    assert pair.name == min(make_id(6), make_id(7))
    assert dealt.largest(np.zeros(len(rows))) is None
