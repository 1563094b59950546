"""How much of compose is work: against a bare loop that decodes, encodes and writes the same audio.

    python benchmarks/compose.py [--minutes 60] [--repeats 3]

A run by the steps of `efficiency.py` is made once. Then its shards are removed and composed again
by one worker, and the loop (one process, `--bare`) reads the same stretches of the same stored
FLACs, joins them by document, encodes them, and appends them and a text of the document's size to
one tar with `tarfile`: no check, no digest, no index, no commit. Both are bound to one core, then
to two, of which the loop can use one. What counts is the wall time of the phase, Beam's start and
the commits in it, and of the loop without its imports. Prints Markdown.
"""

import argparse
import io
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks import efficiency, made_audio, process_tree, run_log

GOAL = 0.85


def documents(out: pathlib.Path) -> list[dict[str, object]]:
    """The stretches of stored FLAC that each document of a run is made of, and its text's size."""
    from pipeline import layout
    from pipeline.commits import ledger
    from pipeline.phases.arrange import documents_of
    from schemas.shard import to_json
    from schemas.store import Store

    store = Store(out)
    (stream,) = json.loads((out / "runs" / "bare.json").read_text())["streams"].values()
    known = ledger(store, "arrange", stream["arrange"])
    found = []
    for name in sorted({known.done[task] for task in known.done}):
        for document in documents_of(store, name).values():
            parts = [
                (
                    str(out / layout.tar_name(stream["hear"], chunk.audio.tar)),
                    chunk.audio.offset,
                    chunk.audio.size,
                    chunk.audio.start,
                    chunk.audio.end,
                )
                for chunk in document.chunks
                if chunk.audio is not None
            ]
            found.append({"id": document.id, "parts": parts, "text": len(to_json(document))})
    return found


def bare(listed: pathlib.Path, target: pathlib.Path) -> None:
    """The loop. Prints its seconds and the frames that it wrote."""
    import numpy as np
    import soundfile

    wanted = json.loads(listed.read_text())
    frames = 0
    began = time.perf_counter()
    with tarfile.open(target, "w") as tar:
        for document in wanted:
            blocks = []
            for path, offset, size, start, end in document["parts"]:
                with open(path, "rb") as file:
                    file.seek(offset)
                    data = file.read(size)
                with soundfile.SoundFile(io.BytesIO(data)) as flac:
                    flac.seek(start)
                    blocks.append(flac.read(end - start, dtype="int16"))
            samples = np.concatenate(blocks)
            frames += len(samples)
            encoded = io.BytesIO()
            soundfile.write(encoded, samples, made_audio.RATE, "PCM_16", format="FLAC")
            for name, body in (("flac", encoded.getvalue()), ("json", b" " * document["text"])):
                member = tarfile.TarInfo(f"{document['id']}.{name}")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
    print(json.dumps({"seconds": time.perf_counter() - began, "frames": frames}))


def composed(table: pathlib.Path, recipe: pathlib.Path, out: pathlib.Path) -> float:
    """Wall seconds of the phase's parts, its shards removed before."""
    shutil.rmtree(out / "compose", ignore_errors=True)
    process_tree.curate(table, out, "--workers", "1", recipe=recipe)
    lines = run_log.newest(out).read_text(encoding="utf-8").splitlines()
    events = [event for event in map(json.loads, lines) if event["phase"] == "compose"]
    began = min(event["elapsed"] for event in events if event["event"] == "begin")
    return float(max(e["elapsed"] for e in events if e["event"] == "committed") - began)


def looped(listed: pathlib.Path, folder: pathlib.Path) -> tuple[float, int]:
    """Seconds of the loop in a process of its own, and the frames it wrote."""
    target = folder / "bare.tar"
    command = [sys.executable, __file__, "--bare", str(listed), str(target)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    target.unlink()
    answer = json.loads(said)
    return answer["seconds"], answer["frames"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of each (%(default)s)")
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS)
    parser.add_argument("--bare", nargs=2, type=pathlib.Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.bare is not None:
        return bare(*chosen.bare)
    print(on.circumstances(), flush=True)
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as name:
        folder = pathlib.Path(name)
        made = made_audio.mixed(folder, made_audio.voices(chosen.corpus), chosen.minutes)
        table = made_audio.table(folder / "table.jsonl", made)
        recipe, out = folder / "recipe.yaml", folder / "out"
        recipe.write_text(efficiency.RECIPES["the loop's steps"], encoding="utf-8")
        process_tree.curate(table, out, recipe=recipe)
        listed = folder / "documents.json"
        listed.write_text(json.dumps(documents(out)))
        heading = ("cores", "bare loop s", "compose s", "minutes composed", "bare over compose")
        print(on.head(*heading))
        for count in sorted({1, min(2, len(cores))}):
            os.sched_setaffinity(0, cores[:count])
            loops, phases = [], []
            for _ in range(chosen.repeats):
                seconds, frames = looped(listed, folder)
                loops.append(seconds)
                phases.append(composed(table, recipe, out))
            loop, phase = statistics.median(loops), statistics.median(phases)
            minutes = f"{frames / made_audio.RATE / 60:.1f}"
            cells = (count, f"{loop:.2f}", f"{phase:.2f}", minutes, f"**{loop / phase:.2f}**")
            print(on.row(*cells), flush=True)
        print(f"\nThe goal is {GOAL}.")
    return None


if __name__ == "__main__":
    main()
