"""How cost grows: the driver with the number of parts, phases with hours of audio.

    python benchmarks/scale.py [--parts 1000 10000 100000 1000000] [--hours 0.1 0.3 1] [--plot FILE]

Driver: rows of commits of so many parts, one record each, are made as a finished phase leaves them
after compaction: a listing of names and manifests of a hundred thousand rows. Then a process of its
own does what a run does before a phase: list, read the ledger, cut the members into parts, and
write those of which none is done for another engine. Wall time and peak memory are told for each
count, and the exponents of both in the count (1: linear).

Phases: recordings of a minute of made speech go through the recipe of tests/laws with a recognizer
that sleeps a known time for each recording, on one worker. Told are seconds per hour of audio for
each phase beyond the sleep, and the exponent in hours.
"""

import argparse
import hashlib
import json
import math
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
from pipeline import layout
from pipeline.commits import ledger
from pipeline.manifests import ROWS_PER_MANIFEST, SCHEMA
from pipeline.parts import Member, Parts, plan
from pipeline.phases.hear import HearJob
from pipeline.runners import dealt
from pipeline.spilling import Buckets, texts_of
from schemas.records import Recording
from schemas.store import Store

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
    place = folder / layout.phase_folder("hear", KEY) / "manifests"
    place.mkdir(parents=True)
    records = Buckets()
    for at in range(0, count, ROWS_PER_MANIFEST):
        mine = range(at, min(at + ROWS_PER_MANIFEST, count))
        names = pa.array([layout.commit_name("hear", KEY, part_of(number)) for number in mine])
        ids = pa.array([recording_of(number) for number in mine])
        columns = [names, ids, pa.array([600.0] * len(mine)), pa.array([False] * len(mine))]
        table = pa.table(columns, schema=SCHEMA)
        pq.write_table(table, place / f"{at:012d}.parquet", compression="zstd")
        records.add(texts_of(ids))
    with (folder / "records").open("wb") as file:
        for bucket in records.each():
            if bucket:
                file.write(np.sort(bucket[0]).tobytes())


def members(folder: str) -> Iterator[Member]:
    """A member for every record, sorted by id: as the phases make them, one after the other."""
    with pathlib.Path(folder, "records").open("rb") as file:
        while ids := file.read(64 * 4096).decode():
            for at in range(0, len(ids), 64):
                name = ids[at : at + 64]
                root = Recording(id=name, uri=name[:8], size=1, seconds=600.0)
                yield Member(root=root, seconds=600.0, path="p")


def driver(folder: str, count: int) -> dict[str, float]:
    """What a run does before a phase over so many parts; in a process of its own."""
    store = Listed(folder, count)
    took = {}
    start = time.perf_counter()
    known = ledger(store, "hear", KEY)
    took["ledger_s"] = time.perf_counter() - start
    assert len(known.done) == count and not known.uncovered
    start = time.perf_counter()
    assert not Parts(plan(members(folder), known.lacking, 600.0))
    took["plan_s"] = time.perf_counter() - start
    took["resumed_mb"] = peak_mb()
    del known
    start = time.perf_counter()
    parts = Parts(plan(members(folder), lambda ids: ids, 600.0))
    took["cut_s"] = time.perf_counter() - start
    job = HearJob(key=KEY, store=Store(folder), seed=0, steps=(), run="r", device="d")
    start = time.perf_counter()
    given = dealt.write(job, parts)
    took["deal_s"] = time.perf_counter() - start
    took["parts"] = len(parts)
    took["dealt_bytes"] = sum(
        entry.size for entry in Store(folder).list(dealt.folder_of(job))
    ) / len(parts)
    assert sum(len(list(dealt.elements(job, one))) for one in given.lists[:1]) <= len(parts)
    return {**took, "peak_mb": peak_mb()}


def exponent(sizes: list[float], values: list[float]) -> float:
    """The slope of a line through the logarithms: 1 is linear, 0 constant."""
    xs, ys = [math.log(x) for x in sizes], [math.log(max(y, 1e-9)) for y in values]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / sum(
        (x - mx) ** 2 for x in xs
    )


def measure_driver(counts: list[int]) -> list[dict[str, float]]:
    found = []
    for count in counts:
        folder = tempfile.mkdtemp()
        try:
            write_manifests(pathlib.Path(folder), count)
            command = [sys.executable, __file__, "--child", folder, str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append({"count": count, **json.loads(done.stdout)})
        finally:
            shutil.rmtree(folder)
        one = found[-1]
        print(
            f"  {count:>9,} records: ledger {one['ledger_s']:.2f} s, plan {one['plan_s']:.2f} s, "
            f"cut {one['cut_s']:.2f} s, deal {one['deal_s']:.2f} s ({one['dealt_bytes']:.0f} bytes "
            f"a part); peak {one['resumed_mb']:.0f} MB resumed, {one['peak_mb']:.0f} MB fresh",
            flush=True,
        )
    return found


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


def plot(path: str, driver_rows: list[dict[str, float]]) -> None:
    """The driver's curves on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    counts = [row["count"] for row in driver_rows]
    for name in ("ledger_s", "plan_s", "cut_s", "deal_s"):
        axes[0].loglog(counts, [row[name] for row in driver_rows], marker="o", label=name[:-2])
    axes[1].loglog(counts, [row["resumed_mb"] for row in driver_rows], marker="o", label="resumed")
    axes[1].loglog(counts, [row["peak_mb"] for row in driver_rows], marker="o", label="fresh")
    for axis, unit in zip(axes, ("seconds", "MB"), strict=True):
        axis.set_xlabel("records, one a part")
        axis.set_ylabel(unit)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--hours", type=float, nargs="*", default=[0.1, 0.3, 1.0])
    parser.add_argument("--plot")
    parser.add_argument("--child", nargs=2)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(driver(chosen.child[0], int(chosen.child[1]))))
        return
    print(on.circumstances())
    print("driver")
    rows = measure_driver(chosen.parts)
    large = [row for row in rows if row["count"] >= 10_000] or rows
    if len(large) > 1:
        counts = [row["count"] for row in large]
        for name in ("ledger_s", "plan_s", "cut_s", "deal_s", "resumed_mb", "peak_mb"):
            print(f"  exponent of {name}: {exponent(counts, [row[name] for row in large]):.2f}")
        last, before = large[-1], large[-2]
        for name in ("resumed_mb", "peak_mb"):
            each = (last[name] - before[name]) / (last["count"] - before["count"]) * 1e6
            most = (2000 - before[name]) / each * 1e6 + before["count"]
            print(f"  {name}: {each:.0f} bytes a record; 2 GB hold {most:,.0f} (extrapolated)")
    if chosen.plot:
        plot(chosen.plot, rows)
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
