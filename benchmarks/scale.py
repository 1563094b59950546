"""How cost grows: the driver with the number of parts, phases with hours of audio.

    python benchmarks/scale.py [--parts 1000 10000 100000 1000000] [--stages ledger funnel ...]
        [--written 1000 10000] [--census 100000] [--objects 3000] [--hours 0.1 0.3 1] [--plot FILE]

Driver: rows of commits of so many parts, one record each, are made as a finished phase leaves them
after compaction: a listing of names, and manifests with sums. Then what a run does with them, each
stage in a process of its own, whose wall time and peak memory are told, and the exponents of both
in the count (1: linear, 0: constant):

- `ledger`: list, and read which record is done by which commit;
- `funnel`: the sums of the phase's steps over all records;
- `resumed`: read the ledger and plan what is left, which is nothing;
- `fresh`: cut members of which none is done into parts, and write these for another engine.

`--written`: so many commits are really written, one file each, and then read for the first time,
with sums, into manifests. `--census`: what a run knows of so many recordings of DATA, which is what
it does hold in memory. `--objects`: so many names are listed on a server that speaks S3.

Phases: recordings of a minute of made speech go through the recipe of tests/laws with a recognizer
that sleeps a known time for each recording, on one worker. Told are seconds per hour of audio for
each phase beyond the sleep, and the exponent in hours.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks.peak import peak_mb
from pipeline import commits, layout
from pipeline.commits import Content, Done, Tally, ledger
from pipeline.folding import folded
from pipeline.manifests import ROWS_PER_MANIFEST, SCHEMA
from pipeline.parts import Member, Parts, plan
from pipeline.phases.gather import census
from pipeline.phases.hear import HearJob
from pipeline.runners import dealt
from pipeline.spilling import Buckets, texts_of
from pipeline.sums import Sums, Taken, exact
from schemas.records import Drop, Recording, Segment, Source, source_id
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.gather.found import Found

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAMES_PER_PAGE = 1000
SLEEP = 0.5  # seconds of the made recognizer, for each recording
RECORDING_SECONDS = 60.0
KEY = "0" * 32


class Listed(Store):
    """A local store with a made listing of commits: so many files would fill any disk's table."""

    def __init__(self, url: str, commits: int):
        super().__init__(url)
        self.commits = commits

    def names(self, folder: str) -> Iterator[Sequence[str]]:
        if folder != layout.commits_folder("hear", KEY):
            yield from super().names(folder)
            return
        for at in range(0, self.commits, NAMES_PER_PAGE):
            page = range(at, min(at + NAMES_PER_PAGE, self.commits))
            yield [f"{folder}/{part_of(number)}.parquet" for number in page]


def part_of(number: int) -> str:
    return hashlib.sha256(b"part %d" % number).hexdigest()[:32]


def recording_of(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def write_manifests(folder: pathlib.Path, count: int) -> None:
    """What compaction leaves of so many commits of one record each, and the ids of the records as
    DATA hold them: sorted, in pieces."""
    place = folder / layout.manifests_folder("hear", KEY)
    place.mkdir(parents=True)
    records = Buckets()
    for at in range(0, count, ROWS_PER_MANIFEST):
        mine = range(at, min(at + ROWS_PER_MANIFEST, count))
        names = pa.array([layout.commit_name("hear", KEY, part_of(number)) for number in mine])
        ids = pa.array([recording_of(number) for number in mine])
        columns = [names, ids, pa.array([600.0] * len(mine)), pa.array([False] * len(mine))]
        seconds = exact(np.full(len(mine), 600.0))
        sums = Sums(taken={"decode": Taken(len(mine), len(mine), seconds, seconds)})
        about = json.dumps({"sums": sums.told()})
        table = pa.table(columns, schema=SCHEMA).replace_schema_metadata({"speechloom": about})
        pq.write_table(table, place / f"{at:012d}.parquet", compression="zstd")
        records.add(texts_of(ids))
    with (folder / "records").open("wb") as file:
        for bucket in records.each():
            if bucket:
                file.write(np.sort(bucket[0]).tobytes())


def write_commits(folder: pathlib.Path, count: int) -> None:
    """So many commits of one record each, as hear writes them."""
    store = Store(folder)
    for number in range(count):
        record = recording_of(number)
        segment = Segment(
            id=record[:32],
            recording=record,
            channel=0,
            start=0.0,
            end=500.0,
            rate=16000,
            speech_seconds=400.0,
        )
        tally = Tally(
            root=record,
            step="decode",
            items_in=1,
            items_out=1,
            seconds_in=600.0,
            seconds_out=600.0,
            compute_seconds=1.0,
        )
        drop = Drop(id=record, root=record, step="segment", reason="non_speech", seconds=100.0)
        done = Done(id=record, seconds=600.0)
        content = Content(done=(done,), rows=(segment,), drops=(drop,), tallies=(tally,))
        schema = arrow_schema(Segment)
        commits.write(store, "hear", KEY, part_of(number), content, schema, "r")


def members(folder: str) -> Iterator[Member]:
    """A member for every record, sorted by id: as the phases make them, one after the other."""
    with pathlib.Path(folder, "records").open("rb") as file:
        while ids := file.read(64 * 4096).decode():
            for at in range(0, len(ids), 64):
                name = ids[at : at + 64]
                root = Recording(id=name, uri=name[:8], size=1, seconds=600.0)
                yield Member(root=root, seconds=600.0, path="p")


def stage_ledger(folder: str, count: int) -> None:
    known = ledger(Listed(folder, count), "hear", KEY)
    assert len(known.done) == count and not known.uncovered


def stage_funnel(folder: str, count: int) -> None:
    known = ledger(Listed(folder, count), "hear", KEY)
    sums = folded(Store(folder), known, (member.id for member in members(folder)))
    assert sums.taken["decode"].items_in == count


def stage_resumed(folder: str, count: int) -> None:
    known = ledger(Listed(folder, count), "hear", KEY)
    assert not Parts(plan(members(folder), known.lacking, 600.0))


def stage_fresh(folder: str, count: int) -> None:
    parts = Parts(plan(members(folder), lambda ids: ids, 600.0))
    job = HearJob(key=KEY, store=Store(folder), seed=0, steps=(), run="r", device="d")
    given = dealt.write(job, parts)
    assert sum(len(list(dealt.elements(job, one))) for one in given.lists) == len(parts)


def stage_written(folder: str, count: int) -> None:
    known = commits.compact(Store(folder), "hear", KEY)
    assert len(known.done) == count


def stage_census(folder: str, count: int) -> None:
    """What a run knows of DATA: as many files in folders, each a recording."""
    pairs = []
    for number in range(count):
        uri = f"folder/{number % 100}/file-{number}.wav"
        name = recording_of(number)
        recording = Recording(id=name, uri=uri, size=1_000_000, seconds=600.0)
        found = Found(source=Source(id=source_id(uri), uri=uri), path=f"/data/{uri}")
        pairs.append((found, recording))
    assert len(census(pairs).recordings) == count


STAGES = {
    "census": stage_census,
    "ledger": stage_ledger,
    "funnel": stage_funnel,
    "resumed": stage_resumed,
    "fresh": stage_fresh,
    "written": stage_written,
}


def exponent(sizes: list[float], values: list[float]) -> float:
    """The slope of a line through the logarithms: 1 is linear, 0 constant."""
    xs, ys = [math.log(x) for x in sizes], [math.log(max(y, 1e-9)) for y in values]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / sum(
        (x - mx) ** 2 for x in xs
    )


def measure_driver(counts: list[int], stages: list[str], write: Any) -> list[dict[str, float]]:
    """Seconds and megabytes of stages over what `write` makes, by count."""
    found = []
    for count in counts:
        folder = tempfile.mkdtemp()
        try:
            write(pathlib.Path(folder), count)
            row: dict[str, float] = {"count": count}
            for stage in stages:
                command = [sys.executable, __file__, "--child", stage, folder, str(count)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                told = json.loads(done.stdout)
                row |= {f"{stage}_s": told["s"], f"{stage}_mb": told["mb"]}
        finally:
            shutil.rmtree(folder)
        found.append(row)
        said = "; ".join(
            f"{stage} {row[f'{stage}_s']:.2f} s, {row[f'{stage}_mb']:.0f} MB" for stage in stages
        )
        print(f"  {count:>10,} commits: {said}", flush=True)
    large = [row for row in found if row["count"] >= 10_000]
    if len(large) > 1:
        sizes = [row["count"] for row in large]
        for stage in stages:
            slopes = [
                exponent(sizes, [r[f"{stage}_{unit}"] for r in large]) for unit in ("s", "mb")
            ]
            print(f"  exponents of {stage}: time {slopes[0]:.2f}, memory {slopes[1]:.2f}")
    return found


def child(stage: str, folder: str, count: int) -> dict[str, float]:
    started = time.perf_counter()
    STAGES[stage](folder, count)
    return {"s": time.perf_counter() - started, "mb": peak_mb()}


def measure_listing(count: int) -> None:
    """Names of commits, listed as a driver lists them, on this machine's S3 server."""
    from tests.s3_server import BUCKET, s3_server

    with s3_server() as environment:
        os.environ.update(environment)
        store = Store(f"s3://{BUCKET}/out")
        for number in range(count):
            store.put_if_absent(layout.commit_name("hear", KEY, part_of(number)), b"x")
        started = time.perf_counter()
        names = sum(len(page) for page in store.names(layout.commits_folder("hear", KEY)))
        took = time.perf_counter() - started
    assert names == count
    print(f"  {count:,} names on an S3 server here: {took:.2f} s, {count / took:,.0f} a second")


def measure_phases(hours: list[float]) -> list[dict[str, Any]]:
    """Compute per phase by the tallies of real runs over made speech."""
    from tests.laws import made_corpus, runs
    from tests.laws.made_corpus import Row

    found = []
    for amount in hours:
        count = max(1, round(amount * 3600 / RECORDING_SECONDS))
        folder = pathlib.Path(tempfile.mkdtemp())
        try:
            rows = []
            for number in range(count):
                name = f"{number}.wav"
                sound = made_corpus.wav(made_corpus.voice(number, RECORDING_SECONDS))
                made_corpus.write_file(folder / "data" / name, sound)
                text = made_corpus.words(number, 140)
                rows.append(Row(audio=name, text=text, speaker=f"s{number % 7}"))
            table = made_corpus.write_table(folder / "data" / "table.csv", rows)
            trouble = f"trouble: {{how: sleep, seconds: {SLEEP}}}"
            recipe = runs.recipe_with(folder / "recipe.yaml", "transcribe", trouble)
            command = runs.command(table, folder / "out", "--workers", "1", recipe=recipe)
            start = time.perf_counter()
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=runs.environment(**runs.PLUGINS),
                capture_output=True,
                text=True,
                check=False,
            )
            wall = time.perf_counter() - start
            if done.returncode:
                raise SystemExit(done.stderr)
            events = runs.log_events(folder / "out")[0]
            last = next(e for e in reversed(events) if e["event"] == "counters")
            spent: dict[str, float] = {}
            for name, value in last["value"].items():
                if name.endswith("compute_ms"):
                    phase = name.split("/")[0]
                    spent[phase] = spent.get(phase, 0.0) + value / 1000
            slept = SLEEP * count
            spent["annotate"] = spent.get("annotate", 0.0) - slept
            found.append({"hours": amount, "wall": wall, "slept": slept, **spent})
        finally:
            shutil.rmtree(folder)
        said = ", ".join(f"{k} {v / amount:.1f}" for k, v in sorted(spent.items()))
        print(
            f"  {amount:g} h: wall {wall:.1f} s, of it recognizer {slept:.1f} s; "
            f"s per hour: {said}; all else {(wall - slept - sum(spent.values())):.1f} s",
            flush=True,
        )
    return found


def plot(path: str, rows: list[dict[str, float]], stages: list[str]) -> None:
    """The driver's curves on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    counts = [row["count"] for row in rows]
    for axis, unit, words in zip(axes, ("s", "mb"), ("seconds", "MB, peak"), strict=True):
        for stage in stages:
            axis.loglog(counts, [row[f"{stage}_{unit}"] for row in rows], marker="o", label=stage)
        axis.set_xlabel("commits of one record each")
        axis.set_ylabel(words)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    made = ["ledger", "funnel", "resumed", "fresh"]
    parser.add_argument("--stages", nargs="*", choices=made, default=made)
    parser.add_argument("--written", type=int, nargs="*", default=[])
    parser.add_argument("--census", type=int, nargs="*", default=[])
    parser.add_argument("--objects", type=int)
    parser.add_argument("--hours", type=float, nargs="*", default=[0.1, 0.3, 1.0])
    parser.add_argument("--plot")
    parser.add_argument("--child", nargs=3)
    chosen = parser.parse_args()
    if chosen.child:
        stage, folder, count = chosen.child
        print(json.dumps(child(stage, folder, int(count))))
        return
    print(on.circumstances())
    print("driver")
    rows = measure_driver(chosen.parts, chosen.stages, write_manifests)
    if chosen.written:
        measure_driver(chosen.written, ["written"], write_commits)
    if chosen.census:
        measure_driver(chosen.census, ["census"], lambda folder, count: None)
    if chosen.objects:
        measure_listing(chosen.objects)
    if chosen.plot:
        plot(chosen.plot, rows, chosen.stages)
    if chosen.hours:
        print("phases")
        found = measure_phases(chosen.hours)
        if len(found) > 1:
            sizes = [row["hours"] for row in found]
            for name in ("hear", "annotate", "measure", "wall"):
                values = [
                    row.get(name, 0.0) - (row["slept"] if name == "wall" else 0) for row in found
                ]
                print(f"  exponent of {name} in hours: {exponent(sizes, values):.2f}")


if __name__ == "__main__":
    main()
