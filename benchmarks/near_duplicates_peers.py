"""datasketch and datatrove over the texts of `near_duplicates_text.py`; run by it, not by hand.

    PYTHON benchmarks/near_duplicates_peers.py {datasketch,datatrove} TEXTS.jsonl BANDS ROWS SIZE

Runs with the packages of PYTHON alone (`pip install datasketch "datatrove[processing,multilingual]"
spacy`), prints the seconds of one process from reading the file to the last duplicate found, and
how many texts it would remove.
"""

import json
import pathlib
import sys
import tempfile
import time


def datasketch(path: str, bands: int, rows: int, size: int) -> int:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(params=(bands, rows), num_perm=bands * rows)
    removed = 0
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            words = json.loads(line)["text"].lower().split()
            found = {" ".join(words[at : at + size]) for at in range(len(words) - size + 1)}
            sketch = MinHash(num_perm=bands * rows)
            sketch.update_batch([one.encode() for one in found])
            removed += bool(index.query(sketch))
            index.insert(str(number), sketch)
    return removed


def datatrove(path: str, bands: int, rows: int, size: int) -> int:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=size, num_buckets=bands, hashes_per_bucket=rows)
    source = pathlib.Path(path)

    def read() -> JsonlReader:
        return JsonlReader(str(source.parent), glob_pattern=source.name, text_key="text")

    with tempfile.TemporaryDirectory() as folder:
        steps = [
            [read(), MinhashDedupSignature(f"{folder}/signatures", config)],
            [MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)],
            [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config)],
            [
                read(),
                MinhashDedupFilter(f"{folder}/remove"),
                JsonlWriter(f"{folder}/kept", compression=None),
            ],
        ]
        for number, pipeline in enumerate(steps):
            tasks = bands if number == 1 else 1
            LocalPipelineExecutor(
                pipeline, tasks=tasks, workers=1, logging_dir=f"{folder}/logs/{number}"
            ).run()
        kept = sum(len(file.read_bytes().splitlines()) for file in _files(f"{folder}/kept"))
    return len(source.read_bytes().splitlines()) - kept


def _files(folder: str) -> list[pathlib.Path]:
    return sorted(pathlib.Path(folder).glob("*"))


def main() -> None:
    which, path, *numbers = sys.argv[1:]
    begun = time.perf_counter()
    removed = {"datasketch": datasketch, "datatrove": datatrove}[which](path, *map(int, numbers))
    print(json.dumps({"seconds": time.perf_counter() - begun, "removed": removed}))


if __name__ == "__main__":
    main()
