"""The made study in full, as Markdown: does the instrument see a difference that is there?

    python benchmarks/hops.py [--out FOLDER] [--seeds 1,2,...] [--arms fine,coarse,...] [--jobs 2]

Runs ablations/hops.yaml (or goes on with it: cells that are done are not run again) and prints its
tables, the time and memory of a cell, and whether what must hold does: fine over coarse and
deterministic over stochastic, A/A, permuted audio and text only at their values, the best arm at
least 0.80 in under 3 minutes of CPU a cell. All cells: 66, each about a minute of CPU.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # run as a file, too

from benchmarks.circumstances import circumstances
from trainer.ablate import Ablated, ablate
from trainer.ablation.running import done
from trainer.ablation.tables import markdown

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEAST, MOST_SECONDS = 0.80, 180.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out-ablate/hops"))
    parser.add_argument("--seeds")
    parser.add_argument("--arms")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    found = ablate(
        ROOT / "ablations" / "hops.yaml",
        given.out,
        arms=given.arms.split(",") if given.arms else None,
        seeds=[int(one) for one in given.seeds.split(",")] if given.seeds else None,
        jobs=given.jobs,
    )
    print(circumstances())
    print()
    print(markdown(found.results))
    for line in wanted(found, given.out):
        print(f"- {line}")
    print(
        f"- this run took {(time.monotonic() - begun) / 60:.1f} minutes, {given.jobs} cells at once"
    )
    return 0


def wanted(found: Ablated, out: pathlib.Path) -> list[str]:
    """What the study was made to show, and what it costs."""
    arms = [arm for arm in found.results.arms if arm.over_seeds is not None]
    if not arms:
        return ["no cell is done"]
    best = max(arms, key=lambda arm: arm.over_seeds.mean if arm.over_seeds else 0.0)
    assert best.over_seeds is not None
    ended = [done(out, (arm.name, seed)) for arm in arms for seed in arm.seeds]
    seconds = [one["cpu_seconds"] for one in ended if one is not None]
    memory = max(one["peak_bytes"] for one in ended if one is not None)
    return [
        f"best arm {best.name}: {best.over_seeds.mean:.3f} (wanted: at least {LEAST})",
        f"CPU of a cell: {min(seconds):.0f} to {max(seconds):.0f} s (wanted: under "
        f"{MOST_SECONDS:.0f}), memory at most {memory / 2**20:.0f} MiB",
        *(f"{one.claim.name}: {one.verdict}" for one in found.results.claims),
        *(f"{one.name}: {one.holds} ({one.found})" for one in found.results.checks),
    ]


if __name__ == "__main__":
    sys.exit(main())
