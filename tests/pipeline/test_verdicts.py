"""The ledger: every clip and every drop of a run, adding up to the funnel."""

import hashlib
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.phases.rows import joined
from pipeline.verdicts import SCHEMA, open_verdicts, run_mark, verdicts_file
from schemas.store import Store, StoreError
from tests.laws import made_corpus
from tests.laws.runs import Ran, curate

SETTINGS = (
    "filter.min_loudness=-19",
    "interleave.max_seconds=2",
    "split.train=0.5",
    "split.valid=0.25",
    "split.test=0.25",
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("verdicts")
    return curate(made_corpus.write_corpus(folder / "data"), folder / "out", SETTINGS)


def ledger(ran: Ran) -> pa.Table:
    name = verdicts_file(ran.result.compose_key)
    return open_verdicts(ran.store, name).read(SCHEMA.names)


def test_anyone_can_open_it(ran: Ran) -> None:
    path = Path(ran.store.url) / verdicts_file(ran.result.compose_key)
    with pq.ParquetFile(path) as file:
        assert file.schema_arrow.names == SCHEMA.names
        assert file.read(use_threads=False).num_rows == ledger(ran).num_rows > 0
    assert ran.store.size(run_mark(ran.result.compose_key, ran.result.run)) == 0


def test_it_adds_up_to_the_funnel(ran: Ran) -> None:
    rows = ledger(ran)
    left = rows.filter(pc.invert(rows["kept"])).to_pylist()
    reasons = 0
    for step in ran.funnel:
        for drop in step.drops:
            mine = [
                row
                for row in left
                if (row["phase"], row["step"], row["reason"])
                == (step.phase, step.step, drop.reason)
            ]
            assert len(mine) == drop.items, (step.step, drop.reason)
            assert math.fsum(row["seconds"] for row in mine) == pytest.approx(drop.seconds)
            reasons += len(mine)
    assert reasons == len(left)
    assert {row["phase"] for row in left} >= {"gather", "hear", "select", "compose"}
    (last,) = (step for step in ran.funnel if step.step == "interleave")
    kept = rows.filter(rows["kept"])
    assert kept.num_rows == last.items_out
    assert math.fsum(kept["seconds"].to_pylist()) == pytest.approx(last.seconds_out)


def test_every_clip_stands_in_it_once_with_where_it_came_from(ran: Ran) -> None:
    rows = ledger(ran)
    clips = rows.filter(pc.equal(rows["item"].cast(pa.string()), "clip"))
    (stream,) = ran.result.streams
    whole = pa.concat_tables([joined(ran.store, b, stream.outline.measures) for b in stream.blocks])
    assert sorted(clips["id"].to_pylist()) == sorted(whole["id"].to_pylist())
    of = {
        row["id"]: row
        for row in whole.select(["id", "start", "end", "recording", "task", "source"]).to_pylist()
    }
    for row in clips.to_pylist():
        assert {name: row[name] for name in of[row["id"]]} == of[row["id"]]
        assert row["seconds"] == pytest.approx(row["end"] - row["start"])
        assert (row["split"] is not None) == row["kept"]
    noisy = clips.filter(pc.equal(clips["reason"].cast(pa.string()), "too_quiet")).to_pylist()
    assert noisy
    for row in noisy:
        assert row["score"] < row["threshold"] == -19.0 and not row["kept"]


def test_equal_runs_write_equal_bytes_however_parts_are_cut(ran: Ran, tmp_path: Path) -> None:
    data = made_corpus.write_corpus(tmp_path / "data")
    other = curate(data, tmp_path / "out", SETTINGS, part_seconds=300.0)

    def digest(one: Ran) -> str:
        path = Path(one.store.url) / verdicts_file(one.result.compose_key)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    assert other.result.compose_key == ran.result.compose_key
    assert digest(other) == digest(ran)


def test_what_is_no_ledger_is_told(ran: Ran, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        open_verdicts(store, verdicts_file("0" * 32))
    name = verdicts_file("1" * 32)
    store.replace(name, b"PAR1 and nothing else")
    with pytest.raises(StoreError, match="Run curate"):
        open_verdicts(store, name)
    (tmp_path / "out" / name).unlink()
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "out" / name)
    with pytest.raises(StoreError, match="no ledger"):
        open_verdicts(store, name)
    shutil.copy(
        Path(ran.store.url) / verdicts_file(ran.result.compose_key), tmp_path / "out" / name
    )
    assert open_verdicts(store, name).name == "laws"
