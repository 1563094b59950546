"""datatrove over the pages of `peers.py`; run by it, not by hand.

    PYTHON benchmarks/peers_datatrove.py PAGES_FOLDER FOLDER WORKERS BANDS ROWS SIZE

Lines of JSON with the HTML of a page are read, taken apart by its trafilatura extractor, kept, and
deduplicated by its four steps of MinHash, as its example for FineWeb has them; filters of language
and quality are left out, for they need models that it would download. Prints one line of JSON.
"""

import importlib.metadata
import json
import pathlib
import sys
import time

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def main() -> None:
    pages, folder, workers, bands, rows, size = sys.argv[1:]
    count = int(workers)
    config = MinhashConfig(n_grams=int(size), num_buckets=int(bands), hashes_per_bucket=int(rows))
    begun = time.perf_counter()
    texts = f"{folder}/texts"
    steps = [
        (
            count,
            [
                JsonlReader(pages, text_key="html"),
                Trafilatura(favour_precision=False, deduplicate=False, timeout=10),
                JsonlWriter(texts, compression=None),
            ],
        ),
        (count, [JsonlReader(texts), MinhashDedupSignature(f"{folder}/signatures", config)]),
        (
            int(bands),
            [MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)],
        ),
        (1, [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config)]),
        (
            count,
            [
                JsonlReader(texts),
                MinhashDedupFilter(f"{folder}/remove"),
                JsonlWriter(f"{folder}/kept", compression=None),
            ],
        ),
    ]
    lap, laps = begun, []
    for number, (tasks, pipeline) in enumerate(steps):
        LocalPipelineExecutor(
            pipeline, tasks=tasks, workers=count, logging_dir=f"{folder}/logs/{number}"
        ).run()
        laps.append(time.perf_counter() - lap)
        lap += laps[-1]
    print(
        json.dumps(
            {
                "versions": {
                    name: importlib.metadata.version(name) for name in ("datatrove", "trafilatura")
                },
                "run": time.perf_counter() - begun,
                "laps": laps,
                "extracted": _lines(texts),
                "kept": _lines(f"{folder}/kept"),
            }
        )
    )


def _lines(folder: str) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in pathlib.Path(folder).glob("*"))


if __name__ == "__main__":
    main()
