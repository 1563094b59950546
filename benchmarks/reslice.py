"""What a second run costs that changes only a threshold, or only the interleaving.

    python benchmarks/reslice.py [--minutes 60]

The first run hears and transcribes everything (`recipes/offline.yaml`, pocketsphinx, no text
given). The second changes a filter's threshold, the third a materialised interleaving, the fourth
repeats the third with nothing changed at all; none of them may decode, transcribe or measure, which
is checked in their counters. A threshold may cost at most 3 % of the first run. A new interleaving
writes other FLACs: beside it stands the bare decoding and encoding of the same samples in one
process. Prints Markdown. Sixty minutes take about ten on two cores.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import audio_recipe, made_audio, process_tree, run_log
from benchmarks import circumstances as on
from schemas.shard_reader import read_shard
from transforms import flac

RECIPE = audio_recipe.path()
LIMIT = 0.03
CHANGES = {
    "first run": (),
    "another threshold": ("filter.max_seconds=8",),
    "another materialised interleaving": ("interleave.materialize=true",),
    "the same again": ("interleave.materialize=true",),
}
DEAR = ("hear", "annotate", "measure")


def bare(out: pathlib.Path) -> tuple[float, float]:
    """Seconds to decode and encode again all samples of the newest composition, and their hours."""
    pointer = json.loads((out / "runs" / "offline.json").read_text(encoding="utf-8"))
    spent = 0.0
    frames = 0
    for tar in sorted((out / "compose" / pointer["compose"]).rglob("*.tar")):
        with tar.open("rb") as stream:
            for sample in read_shard(stream, str(tar)):
                if sample.flac is None:
                    continue
                began = time.perf_counter()
                pcm = flac.decode(sample.flac)
                flac.encode(pcm, sample.document.rate)
                spent += time.perf_counter() - began
                frames += len(pcm)
    return spent, frames / made_audio.RATE / 3600


def dear_work(log: pathlib.Path) -> int:
    """How many parts a run heard, annotated or measured."""
    events = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    return sum(event["event"] == "begin" and event["phase"] in DEAR for event in events)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio (%(default)s)")
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS)
    parser.add_argument(
        "--given", action="store_true", help="with the text given: quick, and says less"
    )
    chosen = parser.parse_args()
    print(on.circumstances(), flush=True)
    failed = False
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as name:
        folder = pathlib.Path(name)
        made = made_audio.mixed(folder, made_audio.voices(chosen.corpus), chosen.minutes)
        table = made_audio.table(folder / "table.jsonl", made, text=chosen.given)
        out = folder / "out"
        print(f"### A second run over {sum(one.seconds for one in made) / 60:.1f} minutes\n")
        print(on.head("run", "changed", "wall s", "share of the first", "parts heard to measured",
                      "phases s"))  # fmt: skip
        first = 0.0
        for title, changes in CHANGES.items():
            arguments = [word for change in changes for word in ("--set", change)]
            seen = process_tree.curate(table, out, *arguments, recipe=RECIPE)
            first = first or seen.wall
            log = run_log.newest(out)
            dear = dear_work(log)
            failed |= bool(changes and dear)
            phases = ", ".join(
                f"{phase.phase} {phase.seconds:.2f}"
                for phase in run_log.read(log).phases
                if phase.parts
            )
            print(
                on.row(
                    title,
                    ", ".join(changes),
                    f"{seen.wall:.2f}",
                    f"{seen.wall / first:.2%}",
                    dear,
                    phases or "none",
                ),
                flush=True,
            )
        seconds, hours = bare(out)
        print(
            f"\nDecoding and encoding the {hours * 60:.1f} minutes of the last composition again, "
            f"bare, in one process: {seconds:.2f} s. A threshold may cost {LIMIT:.0%}."
        )
    if failed:
        print("\nA changed threshold or interleaving ran hear, annotate or measure again.")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
