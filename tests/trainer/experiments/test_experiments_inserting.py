"""Insertions: known positions, disjoint, spread evenly, in place of as little as possible."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.data.reading import ARRAYS, assert_same, opened, packs_of, settings_of
from tests.trainer.loop.made_runs import steps_of
from trainer import journal
from trainer.config import Config, of_json
from trainer.data import Data, DataError, DataState
from trainer.data_settings import ExperimentSettings
from trainer.experiments.inserting import give_way
from trainer.experiments.schedule import Asked, schedule
from trainer.loop import train
from trainer.order import Drawn
from trainer.pack import check
from trainer.planning import PiecePlan

STEPS = 30


def asked(name: str, count: int) -> list[Asked]:
    return [Asked(0, n, f"{name}{n}") for n in range(count)]


@given(
    st.integers(1, 6), st.integers(1, 5), st.integers(0, 6), st.integers(1, 4),
    st.integers(1, 200), st.integers(0, 3),
)  # fmt: skip
def test_everything_is_shown_as_often_as_asked_and_packs_are_shared_only_where_there_are_few(
    first: int, times: int, second: int, again: int, packs: int, seed: int
) -> None:
    settings = {
        "a": ExperimentSettings(shards="a", times=times),
        "b": ExperimentSettings(shards="b", times=again),
    }
    documents = {"a": asked("a", first), "b": asked("b", second)}
    found = schedule(settings, documents, packs, seed)
    slots = [slot for own in found.values() for slot in own]
    shown = Counter((slot.experiment, slot.document.key) for slot in slots)
    expected = {("a", one.key): times for one in documents["a"]}
    expected |= {("b", one.key): again for one in documents["b"]}
    assert shown == expected
    assert len({(slot.document.key, slot.showing) for slot in slots}) == len(slots)
    assert all(0 <= pack < packs for pack in found)
    assert all(slot.pack == pack for pack, own in found.items() for slot in own)
    most = -(-len(slots) // packs)
    assert all(len(own) <= most for own in found.values())
    assert found == schedule(settings, documents, packs, seed)


@given(st.integers(1, 40), st.integers(40, 400))
def test_insertions_are_uniform_over_the_run(count: int, packs: int) -> None:
    found = schedule(
        {"a": ExperimentSettings(shards="a", times=count)}, {"a": asked("a", 1)}, packs, 0
    )
    for turn, pack in enumerate(sorted(found)):  # one in each equal part
        assert turn * packs // count <= pack < (turn + 1) * packs // count


def test_a_stretch_of_the_run_holds_its_insertions() -> None:
    settings = {"late": ExperimentSettings(shards="a", times=5, begin=0.5, end=0.75)}
    found = schedule(settings, {"late": asked("a", 2)}, 100, 0)
    assert len(found) == 10
    assert all(50 <= pack < 75 for pack in found)


def test_a_document_of_two_experiments_is_refused() -> None:
    settings = {name: ExperimentSettings(shards=name) for name in ("a", "b")}
    with pytest.raises(DataError, match="belongs to experiments 'a' and 'b'"):
        schedule(settings, {"a": asked("x", 2), "b": asked("x", 1)}, 10, 0)


def test_settings_without_meaning_are_refused() -> None:
    for values in ({"epochs": 2}, {"share": 0.5}, {"begin": 0.5, "end": 0.5}):
        with pytest.raises(ValueError, match=r"no meaning|not before"):
            ExperimentSettings.model_validate({"shards": "a", **values})


@given(st.lists(st.integers(1, 40), max_size=8), st.integers(1, 100), st.integers(0, 30))
def test_what_gives_way_makes_room_and_no_more_than_needed(
    sizes: list[int], wanted: int, spare: int
) -> None:
    length = sum(sizes) + spare
    wanted = min(wanted, length)
    pieces = [PiecePlan(Drawn(0, n, 0), 0, 0, 1, size) for n, size in enumerate(sizes)]
    kept, gone = give_way(pieces, length, wanted)
    assert sorted((*kept, *gone)) == sorted(pieces)
    assert list(kept) == [one for one in pieces if one in kept]  # in their order
    assert sum(one.positions for one in kept) + wanted <= length
    need = wanted - spare
    assert bool(gone) == (need > 0)
    if len(gone) == 1 and need > 0:
        better = [n for n in sizes if need <= n < gone[0].positions]
        assert not better
    if len(gone) > 1:
        assert max(sizes) < need


def with_experiments(talk: Path, page: Path, facts: Path, songs: Path, **values: Any) -> Data:
    settings = settings_of(
        talk=talk,
        page=page,
        packs=2,
        length=300,
        experiments={
            "facts": ExperimentSettings(shards=str(facts), times=4),
            "songs": ExperimentSettings(shards=str(songs), times=2, policy="deterministic"),
        },
        **values,
    )
    data = opened(settings)
    data.spread(STEPS)
    return data


@pytest.fixture
def data(talk_set: Path, page_set: Path, facts_set: Path, songs_set: Path) -> Data:
    return with_experiments(talk_set, page_set, facts_set, songs_set)


def test_a_run_holds_its_insertions_where_the_log_says(
    data: Data, talk_set: Path, page_set: Path
) -> None:
    given = list(data.batches(steps=STEPS))
    packs = {pack.number: pack for one in given for pack in one.batch.packs}
    log = [row for one in given for row in one.inserted]
    assert len(log) == 3 * 4 + 2 * 2
    for row in log:
        pack = packs[row.pack]
        check(pack, data.vocabulary, 300)
        assert pack.experiments[row.piece] == row.experiment
        assert pack.documents[row.piece] == row.document
        assert np.flatnonzero(pack.piece == row.piece)[0] == row.position
        assert (pack.piece == row.piece).sum() == row.positions
        assert row.step == row.pack // 2 + 1
        shards = data.experiments[row.experiment].shards
        assert row.shard in {entry.name for entry in shards.entries}
    marked = sum(name != "" for pack in packs.values() for name in pack.experiments)
    assert marked == len(log)


def test_nothing_but_what_gave_way_is_other_than_without(
    data: Data, talk_set: Path, page_set: Path
) -> None:
    plain = opened(settings_of(talk=talk_set, page=page_set, packs=2, length=300))
    log = {row.pack: row for one in data.batches(steps=STEPS) for row in one.inserted}
    assert any(row.replaced for row in log.values())
    for one, other in zip(packs_of(data, steps=STEPS), packs_of(plain, steps=STEPS), strict=True):
        assert one.set_name == other.set_name
        if one.number not in log:
            assert one.experiments == ()
            for name in ARRAYS:
                assert np.array_equal(getattr(one, name), getattr(other, name))
            continue
        row = log[one.number]
        own = [
            (name, run)
            for name, run, source in zip(one.documents, one.chunks, one.experiments, strict=True)
            if not source
        ]
        before = list(zip(other.documents, other.chunks, strict=True))
        gone = [f"{name}[{run[0]}:{run[1]})" for name, run in before if (name, run) not in own]
        assert own == [one for one in before if one in own]
        assert gone == list(row.replaced)


def test_insertions_go_on_where_they_were_and_do_not_ask_workers(data: Data) -> None:
    whole = list(data.batches(steps=STEPS))
    for at in (3, 17):
        state = DataState.of_json(whole[at].state.as_json())
        rest = list(data.batches(state, steps=STEPS - at - 1))
        assert_same(rest, whole[at + 1 :])
        assert [one.inserted for one in rest] == [one.inserted for one in whole[at + 1 :]]
    spread = list(data.batches(steps=STEPS, workers=2))
    assert [one.inserted for one in spread] == [one.inserted for one in whole]
    assert_same(spread, whole)


def test_ranks_hold_each_insertion_once(
    talk_set: Path, page_set: Path, facts_set: Path, songs_set: Path, data: Data
) -> None:
    found = []
    for rank in range(2):
        own = opened(data.settings, rank=rank, ranks=2)
        own.spread(STEPS)
        found += [row for one in own.batches(steps=STEPS) for row in one.inserted]
    whole = [row for one in data.batches(steps=STEPS) for row in one.inserted]
    assert sorted(found, key=lambda r: (r.pack, r.piece)) == whole


def test_a_run_of_unknown_length_cannot_be_spread_over(data: Data) -> None:
    data.spread(0)
    with pytest.raises(RuntimeError, match="say its steps"):
        next(data.batches(steps=1))


def test_what_does_not_fit_a_pack_is_told(
    talk_set: Path, page_set: Path, facts_set: Path, songs_set: Path
) -> None:
    data = with_experiments(talk_set, page_set, page_set, songs_set)
    with pytest.raises(DataError, match=r"a pack has\s+300: show them less often"):
        list(data.batches(steps=STEPS))


def with_facts(tiny: Config, facts: Path) -> Config:
    plain = tiny.canonical()
    plain["data"]["experiments"] = {"facts": {"shards": str(facts), "times": 3}}
    plain["checkpoint"] = {"every": 3, "keep": 5}
    return of_json(plain, "made")


def inserted(out: Path) -> list[dict[str, Any]]:
    lines = [line for line in journal.read(out) if line["event"] == "inserted"]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


def test_a_run_logs_its_insertions_and_resumes_exactly(
    tiny: Config, facts_set: Path, tmp_path: Path
) -> None:
    config = with_facts(tiny, facts_set)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", until=4)
    train(config, tmp_path / "parts")
    log = inserted(tmp_path / "whole")
    assert len(log) == 9
    assert {row["experiment"] for row in log} == {"facts"}
    assert inserted(tmp_path / "parts") == log
    assert steps_of(tmp_path / "parts") == steps_of(tmp_path / "whole")
    assert steps_of(tmp_path / "whole") != []
    start = journal.read(tmp_path / "whole")[0]
    assert "shards of experiment facts" in start["facts"]
