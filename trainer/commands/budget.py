"""Price a config, run an IsoFLOP study, and say how to spend a budget.

`cost` prices a step and says what a budget buys; `run` runs the cells of a grid file that are not
done; `fit` fits what was run, or a CSV of points: parabolas, L(N, D), intervals, a recommendation.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.budget.points import Point


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One of three things to do."""
    below = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    cost = below.add_parser("cost", help="FLOPs of a step by part, and the steps a budget buys")
    cost.add_argument("--config", default="smoke", help="a YAML file, or a shipped name (smoke)")
    cost.add_argument(
        "--shards", action="append", default=[], metavar="[SET=]PATH",
        help="open the data, so that the vocabulary is theirs and steps are told in passes",
    )  # fmt: skip
    _overrides(cost)
    cost.add_argument("--budget", action="append", type=float, default=[], metavar="FLOPS")
    run = below.add_parser("run", help="run the cells of a grid that are not done, then fit")
    run.add_argument("grid", type=Path, help="a grid file (docs/budget.md)")
    run.add_argument("--out", type=Path, help="(out-budget/NAME of the file)")
    run.add_argument("--data", action="append", default=[], metavar="NAME=SHARDS")
    _overrides(run)
    run.add_argument("--budgets", help="only these for now, with commas")
    run.add_argument("--jobs", type=int, default=1, help="cells at a time (1)")
    fit = below.add_parser("fit", help="fit the points of an OUT, or of a CSV file")
    fit.add_argument("points", type=Path, help="OUT of `budget run`, or a file of points")
    fit.add_argument("--out", type=Path, help="where to write (the OUT; beside the file)")
    fit.add_argument("--budget", action="append", type=float, default=[], metavar="FLOPS")
    fit.add_argument("--rise", type=float, default=0.01, help="nats that repeats may cost (0.01)")
    fit.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (1000)")
    fit.add_argument("--positions-per-hour", type=float, help="of unique data, to tell its hours")
    fit.add_argument(
        "--extrapolate", action="store_true", help="also budgets outside those that were run"
    )


def _overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting, as in model.depth=8",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Do it, and print what came of it."""
    return {"cost": _cost, "run": _run, "fit": _fit}[arguments.what](arguments)


def _cost(arguments: argparse.Namespace) -> int:
    from trainer.budget.costs import priced
    from trainer.config import load_config, sets_without_shards

    shards = arguments.shards
    anything = [f"{name}=unknown" for name in sets_without_shards(arguments.config)]
    config = load_config(arguments.config, arguments.overrides, shards or anything)
    print(priced(config, arguments.budget, with_data=bool(shards)), end="")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from trainer.budget.running import run_grid
    from trainer.failures import SetupError

    given = {}
    for text in arguments.data:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise SetupError(f"--data {text}: write NAME=SHARDS")
        given[name] = place
    try:
        budgets = [float(b) for b in arguments.budgets.split(",")] if arguments.budgets else None
    except ValueError as error:
        raise SetupError(f"--budgets {arguments.budgets}: numbers with commas") from error
    if arguments.jobs < 1:
        raise SetupError(f"--jobs {arguments.jobs}: at least 1")
    out = arguments.out or Path("out-budget") / arguments.grid.stem
    ran = run_grid(
        arguments.grid,
        out,
        overrides=arguments.overrides,
        given=given,
        budgets=budgets,
        jobs=arguments.jobs,
    )
    print(f"{ran.done} of {ran.cells} cells are done")
    return _answered(ran.points, out, arguments.grid.stem, ran.hours_per_position)


def _fit(arguments: argparse.Namespace) -> int:
    from trainer.budget.points import read_points
    from trainer.budget.running import hours_of, kept_grid
    from trainer.failures import SetupError

    place: Path = arguments.points
    if arguments.resamples < 1 or not arguments.rise > 0:
        raise SetupError("--resamples is at least 1, --rise above 0")
    hours = None
    if place.is_dir():
        points, hours = kept_grid(place), hours_of(place)
    else:
        points = read_points(place)
    if arguments.positions_per_hour is not None:
        if not arguments.positions_per_hour > 0:
            raise SetupError("--positions-per-hour is above 0")
        hours = 1 / arguments.positions_per_hour
    out = arguments.out or (place if place.is_dir() else place.parent)
    return _answered(
        points, out, place.stem, hours, budgets=arguments.budget, rise=arguments.rise,
        resamples=arguments.resamples, extrapolate=arguments.extrapolate,
    )  # fmt: skip


def _answered(
    points: "Sequence[Point]", out: Path, name: str, hours: float | None, **options: Any
) -> int:
    from trainer.budget.report import answers, markdown, written

    found = answers(points, hours_per_position=hours, **options)
    where = written(found, out, name)
    print(markdown(found), end="")
    print(f"\n{where}")
    return 0
