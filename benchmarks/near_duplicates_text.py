"""Near-duplicate texts: recall, precision, speed beside datasketch and datatrove, memory, growth.

    python benchmarks/near_duplicates_text.py [--rows 10000 100000 1000000] [--peers PYTHON]
        [--peer-rows 200000]

Texts are made (`made_texts.py`): a tenth are copies of others with up to four words replaced. Each
size runs in a process of its own, whose peak memory is told, in rounds spilled to a folder as the
pipeline does. Recall is over planted pairs that reach the threshold: both in one cluster. Precision
is over the pairs (who leaves, who stays) and over all links, by the plain similarity of their
texts. `--peers` names a Python in which datasketch and datatrove are installed
(`near_duplicates_peers.py`); all three get the same shingles, bands and rows per band, and each
removes all but one of a cluster in one process.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks.made_texts import Made, made_texts, similarity
from benchmarks.peak import peak_mb
from pipeline.near import Spill, each_here, find_links, find_stars, write_sketches
from schemas.store import Store
from transforms.select import minhash
from transforms.select.near_text import TextMatcher
from transforms.select.survivors import settle_links

THRESHOLD, SIZE, PERMUTATIONS = 0.7, 3, 64
BLOCK = 4096
CHECKED = 20_000  # pairs whose similarity is computed again, plainly


def matcher() -> TextMatcher:
    return TextMatcher(
        threshold=THRESHOLD, unit="words", size=SIZE, permutations=PERMUTATIONS, min_words=8
    )


def ours(texts: pa.ChunkedArray, folder: str) -> tuple[Any, Any, float]:
    """Links and who leaves, and the seconds they took."""
    count = len(texts)
    begun = time.perf_counter()
    spill = Spill.of(Store(folder), "near", count)
    sketches = (
        matcher().sketch(
            pa.table({"text": texts.slice(at, BLOCK)}),
            np.arange(at, min(count, at + BLOCK), dtype=np.int64),
        )
        for at in range(0, count, BLOCK)
    )
    write_sketches(spill, sketches)
    links = find_links(spill, matcher(), each_here)
    stars = find_stars(spill, links, each_here)
    same = np.zeros(count)
    settled = settle_links(links, stars, same, same, np.arange(count, dtype=np.int64))
    return links, settled, time.perf_counter() - begun


def quality(made: Made, links: Any, settled: Any) -> dict[str, float]:
    """Recall and precision, by plain similarities."""
    texts = made.texts
    rng = np.random.default_rng(1)
    cluster = np.arange(len(texts))
    cluster[settled.member] = settled.cluster
    copies = np.flatnonzero(made.of >= 0)
    copies = np.sort(rng.permutation(copies)[:CHECKED])
    found = reached = 0
    for one in copies.tolist():
        source = int(made.of[one])
        if similarity(texts[one].as_py(), texts[source].as_py(), SIZE) >= THRESHOLD:
            reached += 1
            found += bool(cluster[one] == cluster[source])

    def precision(a: Any, b: Any) -> float:
        some = rng.permutation(len(a))[:CHECKED]
        near = [
            similarity(texts[int(a[at])].as_py(), texts[int(b[at])].as_py(), SIZE) >= THRESHOLD
            for at in some
        ]
        return sum(near) / max(1, len(near))

    return {
        "planted": reached,
        "recall": found / max(1, reached),
        "precision_links": precision(links.low, links.high),
        "precision_leavers": precision(settled.leaves, settled.stays),
    }


def child(path: str) -> None:
    """One size, in a process of its own: memory before and after."""
    texts = pa.ipc.open_file(pa.memory_map(path, "r")).read_all()["text"]
    before = peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        links, settled, seconds = ours(texts, folder)
    peak = peak_mb()
    np.savez(
        f"{path}.npz",
        low=links.low,
        high=links.high,
        leaves=settled.leaves,
        stays=settled.stays,
        member=settled.member,
        cluster=settled.cluster,
    )
    print(json.dumps({"seconds": seconds, "before": before, "peak": peak}))


def measured(made: Made, folder: str) -> dict[str, Any]:
    """A child's figures, and how good what it found is."""
    path = f"{folder}/texts.arrow"
    table = pa.table({"text": made.texts})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=BLOCK)
    out = subprocess.run(
        [sys.executable, __file__, "--child", path], check=True, capture_output=True, text=True
    )

    class Found:
        def __init__(self, given: Any):
            self.__dict__.update({name: given[name] for name in given.files})

    found = Found(np.load(f"{path}.npz"))
    return {**json.loads(out.stdout), **quality(made, found, found), "removed": len(found.leaves)}


def peers(python: str, made: Made, folder: str) -> None:
    path = f"{folder}/texts.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for text in made.texts.to_pylist():
            file.write(json.dumps({"text": text}) + "\n")
    bands, rows = minhash.choose(THRESHOLD, PERMUTATIONS)
    print(on.row("with", "seconds", "texts/s", "removed"))
    print(on.row("---", "---", "---", "---"))
    own = measured(made, folder)
    fastest = math.inf
    for which in ("datasketch", "datatrove"):
        script = str(pathlib.Path(__file__).with_name("near_duplicates_peers.py"))
        command = [python, script, which, path, str(bands), str(rows), str(SIZE)]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        told = json.loads(done.stdout.splitlines()[-1])
        fastest = min(fastest, told["seconds"])
        print(tell(which, told, len(made.texts)), flush=True)
    print(tell("speechloom", own, len(made.texts)))
    print(f"\n{fastest / own['seconds']:.1f} times the faster of the two (goal: 3)\n")


def tell(name: str, told: dict[str, Any], count: int) -> str:
    speed = f"{count / told['seconds']:,.0f}"
    return on.row(name, f"{told['seconds']:.1f}", speed, told["removed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peers", help="a Python with datasketch and datatrove")
    parser.add_argument("--peer-rows", type=int, default=200_000)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    print(on.circumstances())
    print(
        on.row(
            "rows",
            "seconds",
            "us/row",
            "peak MB",
            "MB above the texts",
            "planted",
            "recall",
            "precision of links",
            "of who leaves and stays",
        )
    )
    print(on.row(*["---"] * 9))
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.rows:
            told = measured(made_texts(count), folder)
            times.append((count, told["seconds"]))
            print(
                on.row(
                    f"{count:,}",
                    f"{told['seconds']:.2f}",
                    f"{told['seconds'] / count * 1e6:.1f}",
                    f"{told['peak']:.0f}",
                    f"{told['peak'] - told['before']:.0f}",
                    told["planted"],
                    f"{told['recall']:.4f}",
                    f"{told['precision_links']:.4f}",
                    f"{told['precision_leavers']:.4f}",
                ),
                flush=True,
            )
        if len(times) > 1:
            (few, short), (many, long) = times[0], times[-1]
            exponent = math.log(long / short) / math.log(many / few)
            print(f"\nseconds grow with rows to the power of {exponent:.2f}\n")
        if arguments.peers:
            peers(arguments.peers, made_texts(arguments.peer_rows, seed=1), folder)


if __name__ == "__main__":
    main()
