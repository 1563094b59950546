"""How long `make curate` takes until it works, and where that time goes.

    python benchmarks/startup.py [--data samples] [--repeats 3]

On a set-up that is current (`make setup`; else it is refused, for installing is not start-up):

- a first run: from the command to the log's opening, to the first part of gather that begins, and
  to the first part that a worker begins with its models loaded: the first of hear;
- the same command once more over the OUT that is done: all of it is start-up and report;
- imports: self time of modules by the package they belong to, over all processes of that second
  run, and of what the command itself imports before it reads DATA. Tracing makes both longer.

The log of a run is looked at a hundred times a second. Medians are printed, and the goal.
"""

import argparse
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks import process_tree

GOAL = 8.0  # seconds to the first work of a worker
LOOK = 0.01  # seconds between two looks at the log
TOP = 10
_LINE = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \| *(\S+)")


def make(data: str, out: pathlib.Path) -> list[str]:
    return ["make", "--no-print-directory", "curate", f"DATA={data}", f"OUT={out}"]


def events(out: pathlib.Path) -> list[dict[str, object]]:
    """The whole lines that the log of an OUT's only run has by now."""
    for path in out.glob("logs/*.jsonl"):
        text = path.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return []


def milestones(found: Iterable[dict[str, object]]) -> set[str]:
    """What has been reached: names of the rows below."""
    reached = set()
    for event in found:
        reached.add("log opened")
        if event["event"] == "begin" and event["phase"] in ("gather", "hear"):
            reached.add(f"first part of {event['phase']}")
    return reached


def first_run(data: str, out: pathlib.Path) -> dict[str, float]:
    """Seconds from the command to each milestone, and to its end."""
    reached: dict[str, float] = {}
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            make(data, out),
            cwd=on.ROOT,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=process_tree.environment(),
        )
        while process.poll() is None:
            if "first part of hear" not in reached:
                for name in milestones(events(out)) - reached.keys():
                    reached[name] = time.perf_counter() - began
            time.sleep(LOOK)
        reached["end"] = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            raise process_tree.CommandFailed(said.read().decode(errors="replace")[-4000:])
    return reached


def imports(command: Sequence[str]) -> Counter[str]:
    """Microseconds of self time by module, over all processes of a command."""
    done = subprocess.run(
        command,
        cwd=on.ROOT,
        capture_output=True,
        text=True,
        env=process_tree.environment(PYTHONPROFILEIMPORTTIME="1"),
    )
    if done.returncode:
        raise process_tree.CommandFailed(done.stderr[-2000:])
    return parsed(done.stderr)


def parsed(text: str) -> Counter[str]:
    """Self time by module of what `-X importtime` wrote; processes may write into one stream."""
    found: Counter[str] = Counter()
    for spent, _, module in _LINE.findall(text):
        found[module] += int(spent)
    return found


def by_package(modules: Counter[str]) -> Counter[str]:
    """The same by top package; our own rooms by module."""
    found: Counter[str] = Counter()
    for module, spent in modules.items():
        found[module.partition(".")[0]] += spent
    return found


def top(title: str, modules: Counter[str]) -> None:
    """Print the packages that take the longest to import."""
    packages = by_package(modules)
    total = sum(packages.values())
    print(f"\n### Imports: {title}, {total / 1e6:.2f} s of self time, {len(modules)} modules\n")
    print(on.head("package", "ms", "share"))
    for name, spent in packages.most_common(TOP):
        print(on.row(name, f"{spent / 1000:.0f}", f"{spent / total:.0%}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="samples")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    if subprocess.run(["make", "-q", "setup"], cwd=on.ROOT, capture_output=True).returncode:
        raise SystemExit("startup: the set-up is not current; run `make setup` first")
    print(on.circumstances(), flush=True)
    runs: list[dict[str, float]] = []
    again: list[process_tree.Watched] = []
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as name:
        out = pathlib.Path(name) / "out"
        for _ in range(asked.repeats):
            shutil.rmtree(out, ignore_errors=True)
            runs.append(first_run(asked.data, out))
            again.append(process_tree.watch(make(asked.data, out), memory=False, cwd=on.ROOT))
        command = [sys.executable, "-m", "pipeline", "curate", "--data", asked.data]
        whole = imports([*command, "--out", str(out)])
        alone = imports([sys.executable, "-c", "import pipeline.commands.curate"])
    print("### From the command on\n")
    print(on.head("until", "wall s", "CPU s"))
    for name in ("log opened", "first part of gather", "first part of hear", "end"):
        found = [run[name] for run in runs if name in run]
        print(on.row(name, f"{statistics.median(found):.2f}" if found else "", ""))
    wall, cpu = (statistics.median([getattr(one, n) for one in again]) for n in ("wall", "cpu"))
    print(on.row("end, over an OUT that is done", f"{wall:.2f}", f"{cpu:.2f}"))
    work = statistics.median([run["first part of hear"] for run in runs])
    print(f"\nUnder {GOAL:g} s to the first part of a worker: {'yes' if work < GOAL else 'NO'}")
    top("the command before it reads DATA", alone)
    top("all processes of a run over an OUT that is done", whole)


if __name__ == "__main__":
    main()
