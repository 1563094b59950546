"""Dedup: what is the same, who stays, and that order and skew change nothing."""

import random
from typing import Any

import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import make_id, make_row, make_rows

from schemas.records import Drop
from schemas.tables import arrow_schema, from_table
from transforms.select.columns import MissingColumns
from transforms.select.dedup import Dedup
from transforms.select.rounds import settle
from transforms.select.same_text import same_text

LONG = "one two three four five six seven eight"


def leavers(step: Dedup, *rows: dict[str, Any]) -> dict[str, Drop]:
    table = settle(step, make_rows(*rows))
    assert table.schema == arrow_schema(Drop)
    found = from_table(table, Drop)
    assert len({drop.id for drop in found}) == len(found)
    return {drop.id: drop for drop in found}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Well, I said: 'No!'", "well i said no"),
        ("don\u2019t", "don't"),
        ("don\u00b4t", "dont"),
        ("e-mail  me\nnow", "E mail me now."),
        ("caf\u00e9", "cafe\u0301"),
        ("\ufb01nal \uff21\uff22", "final ab"),
        ("STRASSE", "straße"),
        ("\u200eערב\u200f טוב", "ערב, טוב!"),
        ("a\u200bb", "ab"),
        ("ok 👍🏽 then", "ok then"),
        ("ΌΣΟΣ", "όσος"),
    ],
)
def test_spellings_of_the_same_text(one: str, other: str) -> None:
    assert same_text(one) == same_text(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the cat", "the cats"),
        ("1.5", "15"),
        ("को", "का"),
        ("resume", "résumé"),
        ("a b", "ab"),
        ("one two", "two one"),
    ],
)
def test_texts_that_differ(one: str, other: str) -> None:
    assert same_text(one) != same_text(other)


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(max_size=30)
    | st.text(
        "aeÉßİ\u0131 \u0301\u0307\u0345\u200d\u00b4'.-_ΣςÅ\u1e9b\u0323한\u1100\u1161", max_size=12
    )
)
def test_the_shared_spelling_is_its_own(text: str) -> None:
    spelling = same_text(text)
    assert same_text(spelling) == spelling
    assert same_text(f"{text} \u0416").removesuffix("\u0436").rstrip() == spelling
    assert same_text(f" {text.upper().lower()} ...") == same_text(text.upper().lower())


def test_equal_samples_are_the_same_whatever_the_text() -> None:
    rows = [make_row(n, pcm_sha256="ab" * 32, text=f"text {n}") for n in range(3)]
    found = leavers(Dedup(), *rows)
    stays = min(row["id"] for row in rows)
    assert set(found) == {row["id"] for row in rows} - {stays}
    for row in rows:
        if row["id"] != stays:
            drop = found[row["id"]]
            assert (drop.reason, drop.step) == ("same_audio", "dedup")
            assert (drop.root, drop.seconds) == (row["task"], 2.0)
            assert drop.detail == f"the same as {stays}"


def test_samples_at_another_rate_and_unknown_samples_are_not_the_same() -> None:
    assert not leavers(
        Dedup(),
        make_row(1, pcm_sha256="ab" * 32),
        make_row(2, pcm_sha256="ab" * 32, rate=8000),
        make_row(3),
        make_row(4),
    )


def test_equal_text_counts_from_min_words_on() -> None:
    rows = [make_row(n, text=LONG) for n in range(2)]
    assert [d.reason for d in leavers(Dedup(), *rows).values()] == ["same_text"]
    assert not leavers(Dedup(min_words=9), *rows)
    assert not leavers(Dedup(text=None), *rows)
    assert not leavers(Dedup(min_words=1), make_row(1), make_row(2))
    assert not leavers(Dedup(min_words=1), make_row(1, text="?!"), make_row(2, text="?!"))
    chinese = [make_row(n, text="渡轮七点出发了,八点到。") for n in range(2)]
    assert len(leavers(Dedup(), *chinese)) == 1


def test_the_best_text_stays_then_the_longest_then_the_smallest_id() -> None:
    order = [
        make_row("a", text=LONG, quality="given", seconds=1),
        make_row("b", text=LONG, quality="normal", seconds=30),
        make_row("c", text=LONG, quality="normal", seconds=29),
        make_row("d", text=LONG, quality="smoke", seconds=600),
        make_row("e", text=LONG, quality="smoke", seconds=599),
    ]
    for at, best in enumerate(order[:-1]):
        found = leavers(Dedup(), *order[at:])
        assert {d.detail for d in found.values()} == {f"the same as {best['id']}"}
        assert best["id"] not in found
    twins = [make_row(name, text=LONG) for name in "pq"]
    assert set(leavers(Dedup(), *twins)) == {max(t["id"] for t in twins)}


def test_who_left_by_its_samples_knocks_nobody_out_by_its_text() -> None:
    kept = make_row("kept", pcm_sha256="aa" * 32, text="other words", quality="given")
    left = make_row("left", pcm_sha256="aa" * 32, text=LONG, seconds=5)
    stays = make_row("stays", pcm_sha256="bb" * 32, text=LONG, seconds=2)
    assert set(leavers(Dedup(), kept, left, stays)) == {left["id"]}
    assert set(leavers(Dedup(audio=None), kept, left, stays)) == {stays["id"]}


def test_rounds_are_one_kind_each_samples_first() -> None:
    rounds = Dedup(min_words=3).rounds()
    assert [(r.audio, r.text) for r in rounds] == [("exact", None), (None, "exact")]
    assert all(r.min_words == 3 for r in rounds)
    assert Dedup(text=None).rounds() == (Dedup(text=None),)
    assert Dedup(audio=None).rounds() == (Dedup(audio=None),)
    rows = make_rows(make_row(1, pcm_sha256="ab" * 32, text=LONG))
    kinds = [r.keys(rows)["kind"].to_pylist() for r in rounds]
    assert kinds == [["same_audio"], ["same_text"]]
    with pytest.raises(pydantic.ValidationError, match="compares nothing"):
        Dedup(audio=None, text=None)


def test_keys_are_hex_and_follow_the_schema() -> None:
    rows = make_rows(make_row(1, pcm_sha256="ab" * 32, text=LONG), make_row(2))
    keys = Dedup().keys(rows)
    assert keys.schema == Dedup.keys_schema
    assert sorted(keys["kind"].to_pylist()) == ["same_audio", "same_text"]
    assert set(keys["id"].to_pylist()) == {make_id(1)}
    for key in keys["key"].to_pylist():
        assert len(key) == 32
        int(key, 16)
    assert Dedup().losers(keys.slice(0, 0)).num_rows == 0
    assert Dedup().keys(make_rows()).num_rows == 0


def test_a_row_that_comes_twice_does_not_lose_to_itself() -> None:
    keys = Dedup().keys(make_rows(make_row(1, pcm_sha256="ab" * 32, text=LONG)))
    assert Dedup().losers(pa.concat_tables([keys, keys])).num_rows == 0
    more = Dedup().keys(make_rows(make_row(2, pcm_sha256="ab" * 32, text=LONG)))
    assert Dedup().losers(pa.concat_tables([keys, more, keys, more])).num_rows == 1


def test_keys_may_be_dealt_by_prefix() -> None:
    """Whoever holds all rows of some keys decides for them as if it held everything."""
    rows = make_rows(*[make_row(n, text=f"{LONG} {n % 7}") for n in range(60)])
    keys = Dedup(audio=None).keys(rows)
    whole = {d["id"]: d for d in Dedup(audio=None).losers(keys).to_pylist()}
    dealt = {}
    for prefix in "0123456789abcdef":
        part = keys.filter(pa.array([k[0] == prefix for k in keys["key"].to_pylist()]))
        dealt |= {d["id"]: d for d in Dedup(audio=None).losers(part).to_pylist()}
    assert dealt == whole
    assert len(whole) == 53


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MissingColumns, match="'pcm_sha256'"):
        Dedup().keys(make_rows(make_row(1)).drop_columns(["pcm_sha256"]))
    assert "pcm_sha256" not in Dedup(audio=None).needs()
    assert "text" not in Dedup(text=None).needs()


def test_a_hundred_thousand_copies_leave_one() -> None:
    count = 100_000
    ids = [make_id(n) for n in range(count)]
    rows = pa.table(
        {
            "id": ids,
            "task": ids,
            "quality": ["normal"] * count,
            "start": [0.0] * count,
            "end": [2.0] * count,
            "rate": [16_000] * count,
            "pcm_sha256": ["ab" * 32] * count,
            "text": [LONG] * count,
        }
    )
    drops = settle(Dedup(), rows)
    assert drops.num_rows == count - 1
    assert set(ids) - set(drops["id"].to_pylist()) == {min(ids)}


CLIPS = st.lists(
    st.tuples(
        st.sampled_from(["", "aa" * 32, "bb" * 32, "cc" * 32]),
        st.sampled_from(["", "A b", "a  B!", "c d e", "C, d e", "سلام"]),
        st.sampled_from(["given", "normal", "smoke"]),
        st.integers(1, 3),
    ),
    max_size=14,
)


@settings(max_examples=200, deadline=None)
@given(clips=CLIPS, seed=st.integers(0, 9))
def test_no_two_survivors_are_the_same_and_every_cluster_keeps_its_first(
    clips: list[tuple[str, str, str, int]], seed: int
) -> None:
    step = Dedup(min_words=1)
    rows = [
        make_row(n, pcm_sha256=sound, text=text, quality=quality, seconds=seconds)
        for n, (sound, text, quality, seconds) in enumerate(clips)
    ]
    found = leavers(step, *rows)
    shuffled = rows[:]
    random.Random(seed).shuffle(shuffled)
    assert leavers(step, *shuffled) == found

    def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
        sound = one["pcm_sha256"] == other["pcm_sha256"] != ""
        text = same_text(one["text"]) == same_text(other["text"]) != ""
        return sound or text

    def worth(row: dict[str, Any]) -> tuple[Any, ...]:
        level = {"given": 3, "normal": 2, "smoke": 1}[row["quality"]]
        return (-level, -(row["end"] - row["start"]), row["id"])

    stays = [row for row in rows if row["id"] not in found]
    for at, one in enumerate(stays):
        assert not any(same(one, other) for other in stays[at + 1 :])
    waiting = rows[:]
    while waiting:  # walk each cluster
        cluster = [waiting.pop()]
        for member in cluster:
            near = [row for row in waiting if same(member, row)]
            cluster += near
            waiting = [row for row in waiting if row not in near]
        assert min(cluster, key=worth) in stays
    by_id = {row["id"]: row for row in rows}
    for drop in found.values():  # each left for a better one that it really equals
        winner = by_id[drop.detail.removeprefix("the same as ")]
        assert same(by_id[drop.id], winner)
        assert worth(winner) < worth(by_id[drop.id])
        assert drop.reason == "same_text" or winner["pcm_sha256"]
        if drop.reason == "same_text":
            assert winner in stays
