"""How much of the pipeline's time is work: against a bare Python loop over the same audio.

    python benchmarks/efficiency.py [--minutes 60] [--repeats 3] [--processes 2]

The audio is a third each of clips, podcasts and one long file, with a text given for every file: a
recognizer would hide what is measured here. The loop (`bare_loop.py`) decodes, finds speech and
speakers and deals the text; the pipeline does the same by a recipe of the same steps, and then by
the whole of `recipes/offline.yaml` with its measures, filters and deduplication. Each pipeline run
starts with an empty OUT, and all take turns in alternating order. Efficiency is the loop's wall
time divided by the pipeline's:

- hear to compose: the pipeline imports before these phases and while gather runs, the loop in its
  own time: so the first figure, over the loop with its start, flatters the pipeline, and the
  second, over the loop with all models loaded, is hard on it (its workers still load models);
- whole command: from the start of the first process to the end of the last, gather and report too.

Prints Markdown. Sixty minutes take about five.
"""

import argparse
import dataclasses
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import audio_recipe, made_audio, process_tree, run_log
from benchmarks import circumstances as on
from pipeline import device

RECIPES = {
    "the loop's steps": """\
name: bare
seed: 17
streams:
  web:
    - crawl
    - decode: {rate: 16000, channels: mix}
    - segment: {engine: silero}
    - diarize: {engine: resemblyzer}
    - transcribe: {engines: [given]}
    - interleave: {granularity: fine, policy: deterministic}
""",
    "offline.yaml": audio_recipe.text(),
}


@dataclasses.dataclass
class Loop:
    """One run of the bare loop."""

    wall: float  # from the start of the first process to the end of the last
    loop: float  # of the slowest process, models loaded
    cpu: float
    steps: Counter[str]
    found: Counter[str]


@dataclasses.dataclass
class Run:
    """One run of the pipeline."""

    wall: float  # of the command
    middle: float  # hear to compose
    cpu: float
    log: run_log.RunTime


def _children() -> float:
    """Processor seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare(made: list[made_audio.Made], processes: int, folder: pathlib.Path) -> Loop:
    """Run the bare loop, files dealt longest first, each to the process that has least to do."""
    queues: list[list[made_audio.Made]] = [[] for _ in range(min(processes, len(made)))]
    for one in sorted(made, key=lambda one: (-one.seconds, str(one.path))):
        min(queues, key=lambda queue: sum(item.seconds for item in queue)).append(one)
    lists = []
    for number, queue in enumerate(queues):
        path = folder / f"list-{number}.json"
        path.write_text(json.dumps([{"path": str(one.path), "text": one.text} for one in queue]))
        lists.append(path)
    script = pathlib.Path(__file__).with_name("bare_loop.py")
    before = _children()
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=process_tree.environment(**device.pins()),
        )
        for path in lists
    ]
    outputs = [process.communicate()[0] for process in running]
    wall = time.perf_counter() - began
    if any(process.returncode for process in running):
        raise process_tree.CommandFailed("the bare loop failed")
    answers = [json.loads(output) for output in outputs]
    return Loop(
        wall=wall,
        loop=max(answer["loop"] for answer in answers),
        cpu=_children() - before,
        steps=sum((Counter(answer["steps"]) for answer in answers), Counter()),
        found=sum((Counter(answer["found"]) for answer in answers), Counter()),
    )


def piped(table: pathlib.Path, recipe: pathlib.Path, processes: int, folder: pathlib.Path) -> Run:
    """Run the pipeline over an empty OUT."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    seen = process_tree.curate(table, out, "--workers", str(processes), recipe=recipe)
    log = run_log.read(run_log.newest(out))
    shutil.rmtree(out)
    return Run(seen.wall, log.wall("hear", "compose"), seen.cpu, log)


def _median(values: list[float]) -> float:
    return statistics.median(values)


def measure(
    made: list[made_audio.Made], table: pathlib.Path, repeats: int, processes: int
) -> tuple[list[Loop], dict[str, list[Run]]]:
    """All variants in turn, the order reversed every other time."""
    loops: list[Loop] = []
    runs: dict[str, list[Run]] = {name: [] for name in RECIPES}
    with tempfile.TemporaryDirectory(dir=table.parent) as name:
        folder = pathlib.Path(name)
        recipes = {}
        for number, (title, text) in enumerate(RECIPES.items()):
            recipes[title] = folder / f"recipe-{number}.yaml"
            recipes[title].write_text(text, encoding="utf-8")
        for repeat in range(repeats):
            order = [None, *RECIPES]
            for title in order if repeat % 2 == 0 else order[::-1]:
                if title is None:
                    loops.append(bare(made, processes, folder))
                else:
                    runs[title].append(piped(table, recipes[title], processes, folder))
    return loops, runs


def report(loops: list[Loop], runs: dict[str, list[Run]], hours: float, processes: int) -> None:
    """Print the tables."""
    wall, loop = (_median([getattr(one, n) for one in loops]) for n in ("wall", "loop"))
    cpu = _median([one.cpu for one in loops])
    print(f"### Efficiency on {hours * 60:.1f} minutes, {processes} processes\n")
    print(
        on.head(
            "what runs",
            "wall s",
            "hear to compose s",
            "CPU s",
            "efficiency, hear to compose",
            "of the loop with models loaded",
            "efficiency, whole command",
            "overhead s/h of audio",
        )
    )
    print(on.row("bare loop, with its start", f"{wall:.2f}", "", f"{cpu:.1f}", "1", "", "1", "0"))
    print(on.row("bare loop, models loaded", f"{loop:.2f}", "", "", "", "1", "", ""))
    for title, found in runs.items():
        middle = _median([one.middle for one in found])
        whole = _median([one.wall for one in found])
        print(
            on.row(
                f"pipeline, {title}",
                f"{whole:.2f}",
                f"{middle:.2f}",
                f"{_median([one.cpu for one in found]):.1f}",
                f"**{wall / middle:.2f}**",
                f"{loop / middle:.2f}",
                f"{wall / whole:.2f}",
                f"{(middle - wall) / hours:.1f}",
            )
        )
    print(
        "\nThe loop found "
        + ", ".join(f"{count} {name}" for name, count in sorted(loops[0].found.items()))
        + "; its steps took "
        + ", ".join(f"{name} {s:.2f} s" for name, s in loops[0].steps.items())
        + " of all its processes."
    )
    for title, found in runs.items():
        print(f"\n### Where the time goes: {title}\n")
        print(
            on.head(
                "phase", "parts", "wall s", f"of {processes} processes s", "in steps s", "rest s",
                "rest s/h of audio", "steps",
            )
        )  # fmt: skip
        logs = [one.log for one in found]
        for place, phase in enumerate(logs[0].phases):
            seconds = _median([log.phases[place].seconds for log in logs])
            spent = {
                step: _median([log.phases[place].compute[step] for log in logs])
                for step in phase.compute
            }
            steps = sum(spent.values())
            lanes = max(1, min(processes, phase.parts))
            rest = seconds * lanes - steps
            named = ", ".join(f"{step} {s:.2f}" for step, s in spent.items())
            print(
                on.row(
                    phase.phase,
                    phase.parts,
                    f"{seconds:.2f}",
                    f"{seconds * lanes:.2f}",
                    f"{steps:.2f}",
                    f"{rest:.2f}",
                    f"{rest / hours:.1f}",
                    named,
                )
            )
        outside = _median([one.wall - sum(p.seconds for p in one.log.phases) for one in found])
        print(on.row("before and after", "", f"{outside:.2f}", "", "", "", "", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of each, at least 2 (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS)
    chosen = parser.parse_args()
    print(on.circumstances(), flush=True)
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as name:
        folder = pathlib.Path(name)
        made = made_audio.mixed(folder, made_audio.voices(chosen.corpus), chosen.minutes)
        table = made_audio.table(folder / "table.jsonl", made)
        # What is on disk is read, and our modules are compiled, once before anything counts.
        bare(made[:1], 1, folder)
        first = made_audio.table(folder / "first.jsonl", made[:1])
        for number, text in enumerate(RECIPES.values()):
            recipe = folder / f"first-{number}.yaml"
            recipe.write_text(text, encoding="utf-8")
            piped(first, recipe, 1, folder)
        loops, runs = measure(made, table, chosen.repeats, chosen.processes)
        report(loops, runs, sum(one.seconds for one in made) / 3600, chosen.processes)


if __name__ == "__main__":
    main()
