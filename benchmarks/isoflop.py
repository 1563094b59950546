"""A real IsoFLOP study at the scale of one CPU core, as Markdown: is there a valley, and where?

    python benchmarks/isoflop.py [--out FOLDER] [--documents 30000] [--jobs 1]

Makes a language (benchmarks/made_language.py), runs 3 budgets x 6 sizes of it and, at the middle
budget, two smaller amounts of data (or goes on with them: cells that are done are not run again),
then prints the curves, the law and how to spend each budget. Wanted: an optimum inside the grid at
each budget, larger where there is more to spend. 24 cells, about 15 minutes on a quiet core.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import made_language
from benchmarks.circumstances import circumstances
from trainer.ablation.running import done
from trainer.budget.grid import plan_grid
from trainer.budget.points import Point, write_points
from trainer.budget.report import Answers, answers, markdown, written
from trainer.budget.running import hours_of, run_grid

HERE = pathlib.Path(__file__).resolve().parent / "isoflop"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out-budget/isoflop"))
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--budgets", help="of grid.yaml, with commas; all unless given")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    shards = given.out / "language"
    if not (shards / "manifest.json").is_file():
        made_language.make(shards, given.documents, 400)
    budgets = [float(one) for one in given.budgets.split(",")] if given.budgets else None
    points: list[Point] = []
    seconds = 0.0
    for name in ("grid", "repeats"):
        path, out = HERE / f"{name}.yaml", given.out / name
        of_sets = {"language": str(shards.resolve())}
        asked = budgets if name == "grid" else None
        points += run_grid(path, out, given=of_sets, budgets=asked, jobs=given.jobs).points
        cells = list(plan_grid(path, (), of_sets).cells())
        ended = [one for cell in cells if (one := done(out, cell)) is not None]
        seconds += sum(one["cpu_seconds"] for one in ended)
    write_points(points, given.out / "points.csv")
    found = answers(points, hours_per_position=hours_of(given.out / "grid"))
    written(found, given.out, "made_language")
    print(circumstances())
    print()
    print(markdown(found))
    for line in wanted(found):
        print(f"- {line}")
    print(f"- {len(points)} cells took {seconds / 60:.1f} minutes of CPU")
    print(f"- this run took {(time.monotonic() - begun) / 60:.1f} minutes, {given.jobs} at once")
    return 0


def wanted(found: Answers) -> list[str]:
    """What the study was made to show."""
    sizes = [one.size for one in found.valleys]
    there = [size for size in sizes if size is not None]
    grows = there == sorted(there)
    lines = [
        f"optima inside the grid: {len(there)} of {len(sizes)} budgets (wanted: all)",
        f"larger at larger budgets: {grows} (wanted: True)",
    ]
    if found.fitted is not None:
        by_law = {one.budget: one.size for one in found.recommended}
        for one in found.valleys:
            law = by_law.get(one.budget)
            if one.size is not None and law is not None:
                lines.append(
                    f"{one.budget:.3g} FLOPs: the law's optimum is {law / one.size:.2f} of the "
                    "parabola's (wanted: 0.67 to 1.5)"
                )
    return lines


if __name__ == "__main__":
    sys.exit(main())
