"""Deciding anew over a million clip rows: wall time and memory, and that no audio is touched.

    python benchmarks/reselect.py [--rows 1000000] [--commit-clips 120] [--near]

Makes annotate commits and side tables of two measures over made clips (5 s each, texts of
`made_texts.py`) as a finished run leaves them, in a temporary OUT that holds no audio at all. Then
select runs, each time in a process of its own, whose wall time and peak memory are told: first,
when rows are joined from all commits and kept; again with another threshold of the filter; and with
`--near` with near-duplicates of texts too. Any read of a byte range (that is how audio is read)
ends the run.
"""

import argparse
import json
import pathlib
import pickle
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks.made_texts import made_texts
from benchmarks.peak import peak_mb
from pipeline import commits, layout, weave
from pipeline.commits import Content
from pipeline.phases.measure import score_schema
from pipeline.phases.rows import Block, TaskRows
from pipeline.phases.select import SelectJob, SelectPart, plan_blocks, read_verdicts
from schemas.records import Clip
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.measure.snr import Snr
from transforms.measure.text_rate import TextRate
from transforms.select.dedup import Dedup
from transforms.select.filter import Filter
from transforms.select.split import Split
from transforms.step import Measure, Step

CLIPS_PER_TASK = 12
SECONDS = 5.0
MEASURES: tuple[Measure, ...] = (Snr(), TextRate())


def hexes(rng: np.random.Generator, count: int) -> list[str]:
    data = rng.bytes(16 * count).hex()
    return [data[at : at + 32] for at in range(0, 32 * count, 32)]


def commit(store: Store, phase: str, part: int, rows: pa.Table) -> str:
    """A commit with these rows and nothing else; written in columns, for there are millions."""
    sink = pa.BufferOutputStream()
    whole = pq.ParquetFile(pa.BufferReader(commits.encode(Content(done=()), rows.schema, {})))
    schema = whole.schema_arrow
    columns = [
        pa.StructArray.from_arrays(
            [column.combine_chunks() for column in rows.columns], fields=list(rows.schema)
        )
        if field.name == "row"
        else pa.array([None] * rows.num_rows, field.type)
        for field in schema
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
    name = layout.commit_name(phase, "0" * 32, f"{part:032x}")
    store.put_if_absent(name, sink.getvalue().to_pybytes())
    return name


def clip_rows(rng: np.random.Generator, texts: pa.Array, tasks: list[str]) -> pa.Table:
    count = len(texts)
    index = np.arange(count) % CLIPS_PER_TASK
    task = pa.array([tasks[at // CLIPS_PER_TASK] for at in range(count)])
    given: dict[str, Any] = {
        "id": pa.array(hexes(rng, count)),
        "task": task,
        "recording": task,
        "channel": pa.repeat(0, count),
        "index": pa.array(index),
        "start": pa.array(index * SECONDS),
        "end": pa.array((index + 1) * SECONDS),
        "rate": pa.repeat(16_000, count),
        "speaker": pa.repeat("spk0", count),
        "text": texts,
        "quality": pa.repeat("normal", count),
        "times": pa.repeat("none", count),
        "pcm_sha256": pa.array([a + b for a, b in zip(*[hexes(rng, count)] * 2, strict=True)]),
    }
    blank = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0, pa.bool_(): False}
    columns = []
    for field in arrow_schema(Clip):
        if field.name in given:
            columns.append(given[field.name].cast(field.type))
        elif field.nullable:
            columns.append(pa.array([None] * count, field.type))
        elif pa.types.is_list(field.type):
            offsets = pa.array(np.zeros(count + 1, np.int32))
            empty = pa.array([], field.type.value_type)
            columns.append(pa.ListArray.from_arrays(offsets, empty, type=field.type))
        else:
            columns.append(pa.repeat(pa.scalar(blank[field.type], field.type), count))
    return pa.table(columns, schema=arrow_schema(Clip))


def score_table(measure: Measure, rng: np.random.Generator, ids: pa.ChunkedArray) -> pa.Table:
    schema = score_schema(measure)
    columns = [ids.combine_chunks()]
    for field in list(schema)[1:]:
        columns.append(pa.array(rng.normal(20, 8, len(ids))).cast(field.type, safe=False))
    return pa.table(columns, schema=schema)


def make(store: Store, count: int, per_commit: int) -> tuple[Block, ...]:
    rng = np.random.default_rng(0)
    texts = made_texts(count).texts.combine_chunks()
    found: list[TaskRows] = []
    for part, first in enumerate(range(0, count, per_commit)):
        some = texts.slice(first, per_commit)
        tasks = hexes(rng, -(-len(some) // CLIPS_PER_TASK))
        rows = clip_rows(rng, some, tasks)
        clips = commit(store, "annotate", part, rows)
        scores = tuple(
            commit(store, f"measure{number}", part, score_table(measure, rng, rows["id"]))
            for number, measure in enumerate(MEASURES)
        )
        found += [
            TaskRows(
                task=task,
                clips=clips,
                scores=scores,
                licence="CC0",
                source=f"{task}.wav",
                seconds=CLIPS_PER_TASK * SECONDS,
            )
            for task in tasks
        ]
    return plan_blocks(found)


def run(path: str) -> None:
    """One run of select, in a process of its own."""
    job, blocks = pickle.loads(pathlib.Path(path).read_bytes())

    def heard(*_: Any, **__: Any) -> bytes:
        raise AssertionError("select read a byte range: audio")

    Store.get_range = heard  # type: ignore[method-assign]
    before = peak_mb()
    begun = time.perf_counter()
    seconds = sum(block.seconds for block in blocks)
    weave.run(job, [SelectPart(id=job.key, blocks=blocks, seconds=seconds)])
    took = time.perf_counter() - begun
    peak = peak_mb()
    kept = read_verdicts(job.store, job.key, [block.id for block in blocks])["kept"]
    told = {"seconds": took, "before": before, "peak": peak}
    print(json.dumps({**told, "kept": int(kept.to_numpy().sum())}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--commit-clips", type=int, default=120)
    parser.add_argument("--near", action="store_true", help="also with near-duplicates of texts")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(arguments.run)
        return
    print(on.circumstances())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"{folder}/out")
        blocks = make(store, arguments.rows, arguments.commit_clips)
        steps: list[tuple[str, tuple[Step, ...]]] = [
            ("first: join, filter, dedup, split", (Filter(min_snr_db=10), Dedup(), Split())),
            ("another threshold", (Filter(min_snr_db=12), Dedup(), Split())),
            ("filter and split only", (Filter(min_snr_db=12), Split())),
        ]
        if arguments.near:
            near = Dedup(text="minhash")
            steps.append(("near-duplicates too", (Filter(min_snr_db=12), near, Split())))
        print(on.row("what", "seconds", "peak MB", "MB above imports and plan", "kept"))
        print(on.row(*["---"] * 5))
        for number, (name, some) in enumerate(steps):
            job = SelectJob(
                key=f"{number:032x}",
                store=store,
                run="r",
                device=_device(),
                seed=1,
                steps=some,
                measures=MEASURES,
            )
            path = pathlib.Path(folder, "job")
            path.write_bytes(pickle.dumps((job, blocks)))
            out = subprocess.run(
                [sys.executable, __file__, "--run", str(path)], check=True, stdout=subprocess.PIPE
            )
            told = json.loads(out.stdout.splitlines()[-1])
            above = told["peak"] - told["before"]
            cells = (f"{told['seconds']:.1f}", f"{told['peak']:.0f}", f"{above:.0f}")
            print(on.row(name, *cells, told["kept"]), flush=True)


def _device() -> str:
    from pipeline import device

    return device.device_class()


if __name__ == "__main__":
    main()
