"""Seconds and memory of `speechloom diff` over two made ledgers of many clips.

    python benchmarks/compare_runs.py --rows 1000000

Two thirds of the second run's clips are those of the first; thresholds differ. What is measured is
reading the columns, comparing, and rendering, in one process; making the ledgers is not.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.commands.diff import render
from pipeline.difference import compare
from pipeline.verdicts import FORMAT, SCHEMA, open_verdicts
from schemas.store import Store


def write_ledger(path: Path, rows: int, first: int, threshold: float) -> None:
    """A ledger of made clips, numbered from `first`, of which a filter dropped some."""
    rng = np.random.default_rng(7)
    numbers = np.arange(first, first + rows)
    score = (numbers * 2654435761 % 4096) / 100.0
    kept = score >= threshold
    source = [f"show{n % 5000}/episode.mp3" for n in numbers]
    nothing = pa.nulls(rows, pa.string())
    filled = {
        "id": [f"{n * 11400714819323198485 % (1 << 128):032x}" for n in numbers.tolist()],
        "item": ["clip"] * rows,
        "stream": ["web"] * rows,
        "kept": kept,
        "split": np.where(kept, "train", None),
        "phase": np.where(kept, None, "select"),
        "step": np.where(kept, None, "filter"),
        "reason": np.where(kept, None, "snr"),
        "score": score,
        "threshold": np.full(rows, threshold),
        "detail": nothing,
        "seconds": rng.uniform(1, 10, rows),
        "start": np.zeros(rows),
        "end": np.ones(rows),
        "recording": source,
        "task": nothing,
        "source": source,
        "language": np.where(numbers % 5, "en", "fr"),
        "topic": nothing,
    }
    arrays = [pa.array(filled[field.name], field.type, from_pandas=True) for field in SCHEMA]
    about = json.dumps({"format": FORMAT, "name": path.stem, "recipe": {}})
    table = pa.table(arrays, schema=SCHEMA).replace_schema_metadata({"speechloom": about})
    pq.write_table(table, path, compression="zstd", row_group_size=1 << 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="clips per run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for name, first, threshold in (("a", 0, 5.0), ("b", arguments.rows // 3, 10.0)):
            write_ledger(Path(folder) / f"{name}.parquet", arguments.rows, first, threshold)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        a, b = (open_verdicts(store, f"{name}.parquet") for name in "ab")
        lines = list(render(a, b, compare(a, b), 10))
        spent = time.perf_counter() - started
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = (Path(folder) / "a.parquet").stat().st_size
    print("\n".join(lines[2:12]))
    print(f"rows_per_run: {arguments.rows}")
    print(f"seconds: {spent:.2f}")
    print(f"ledger_bytes_per_clip: {size / arguments.rows:.1f}")
    print(f"peak_memory_mb: {most / 1024:.0f} (before: {before / 1024:.0f})")


if __name__ == "__main__":
    main()
