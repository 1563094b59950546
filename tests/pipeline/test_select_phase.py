"""select over made rows: rounds, splits over blocks, the same verdicts however blocks are cut."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.phases import select
from pipeline.phases.rows import Block, TaskRows
from pipeline.phases.select import (
    VERDICT,
    from_ipc,
    group_here,
    input_digest,
    packed,
    plan_blocks,
    read_verdicts,
    to_ipc,
)
from schemas.store import Store
from tests.laws.runs import Ran, curate
from transforms.step import Grouping

KEYS = Grouping.keys_schema


def task(number: int, **changes: Any) -> TaskRows:
    given = {
        "task": f"{number:032x}",
        "clips": "c",
        "scores": (),
        "licence": "CC0",
        "source": f"{number}.wav",
        "seconds": 1.0,
    }
    return TaskRows(**{**given, **changes})


def test_blocks_hold_every_task_once_in_order() -> None:
    tasks = [task(number) for number in range(25)]
    blocks = plan_blocks(tasks[::-1], per_block=10)
    assert [len(block.tasks) for block in blocks] == [10, 10, 5]
    assert [t for block in blocks for t in block.tasks] == tasks
    assert len({block.id for block in blocks}) == 3
    assert plan_blocks([]) == ()


def test_what_select_sees_is_in_its_key() -> None:
    tasks = [task(1), task(2)]
    base = input_digest(tasks)
    assert input_digest(tasks[::-1]) == base
    assert input_digest([task(1), task(2, licence="CC-BY")]) != base
    assert input_digest([task(1), task(2, source="moved.wav")]) != base
    assert input_digest([task(1)]) != base
    assert input_digest([task(1, clips="other"), task(2)]) == base  # where it lies counts not


def keys_of(rows: list[tuple[str, str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"key": key, "id": name, "root": "r", "rank": 0.0, "seconds": 1.0, "kind": "same"}
            for key, name in rows
        ],
        schema=KEYS,
    )


class FirstWins(Grouping):
    def losers(self, keys: pa.Table) -> pa.Table:
        seen: set[str] = set()
        lost = []
        for row in keys.to_pylist():
            if row["key"] in seen:
                lost.append(row["id"])
            seen.add(row["key"])
        return pa.table({"id": pa.array(lost, pa.string())})


HEX = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(
    st.lists(st.tuples(st.sampled_from(["00aa", "00bb", "ffcc"]), HEX), unique_by=lambda r: r[1])
)
@settings(deadline=None)
def test_packing_by_prefix_loses_no_row(rows: list[tuple[str, str]]) -> None:
    table = keys_of(rows)
    blocks = list(packed(table))
    assert [prefix for prefix, _ in blocks] == sorted({key[:2] for key, _ in rows})
    back = [row for _, data in blocks for row in from_ipc(data).to_pylist()]
    assert sorted(map(str, back)) == sorted(map(str, table.to_pylist()))


@given(st.permutations([("00aa", "1"), ("00aa", "2"), ("00bb", "3"), ("ffcc", "4"), ("ffcc", "5")]))
@settings(deadline=None)
def test_groups_do_not_depend_on_blocks_or_their_order(rows: list[tuple[str, str]]) -> None:
    for at in range(6):
        keyed = [pair for half in (rows[:at], rows[at:]) if half for pair in packed(keys_of(half))]
        lost = pa.concat_tables(group_here(FirstWins(), "x", keyed))
        assert lost["id"].to_pylist() == ["2", "5"]


def test_arrow_round_trip() -> None:
    table = VERDICT.empty_table()
    assert from_ipc(to_ipc(table)).schema == VERDICT


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    from tests.laws import made_corpus

    folder = tmp_path_factory.mktemp("select")
    data = made_corpus.write_corpus(
        folder / "data", ["talk0.wav", "talk1.wav", "talk2.wav", "again.flac", "copy/talk2.wav"]
    )
    return curate(data, folder / "out")


def verdicts(ran: Ran, per_block: int, folder: Path) -> pa.Table:
    """The verdicts of a finished run, judged again over blocks of another size."""
    stream = ran.result.streams[0]
    tasks = [t for block in stream.blocks for t in block.tasks]
    blocks: tuple[Block, ...] = plan_blocks(tasks, per_block)

    class Elsewhere(Store):
        """Reads what the run has, writes into a folder of its own."""

        def put_if_absent(self, name: str, data: Any) -> bool:
            return Store(folder).put_if_absent(name, data)

    job = select.SelectJob(
        key="k",
        store=Elsewhere(ran.store.url),
        run="r",
        device="d",
        seed=ran.result.recipe.seed,
        steps=stream.outline.select,
        measures=stream.outline.measures,
    )
    select.run_select(job, blocks, group_here)
    assert Store(folder).size(select.manifest_name("k")) is not None
    return read_verdicts(Store(folder), "k", [block.id for block in blocks]).sort_by("id")


def test_verdicts_do_not_depend_on_where_blocks_are_cut(ran: Ran, tmp_path: Path) -> None:
    stream = ran.result.streams[0]
    whole = read_verdicts(ran.store, stream.select_key, [b.id for b in stream.blocks]).sort_by("id")
    assert set(whole["kept"].to_pylist()) == {True, False}
    for per_block in (1, 2, 3):
        assert verdicts(ran, per_block, tmp_path / str(per_block)).equals(whole)
    dropped = [row for row in whole.to_pylist() if not row["kept"]]
    assert {row["reason"] for row in dropped} == {"same_audio"}
    assert all(row["split"] is None and row["step"] == "dedup" for row in dropped)
    assert all(row["split"] for row in whole.to_pylist() if row["kept"])
