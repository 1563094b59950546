"""Run a study of data decisions: arms, seeds, controls, one report.

A study is a file of ablations/. The same command goes on where it was stopped; a file that changed
since is refused with the difference. Writes report.html, results.md and results.json into OUT.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which study, where to, and which of its cells."""
    parser.add_argument("study", type=Path, help="a file such as ablations/fine_vs_coarse.yaml")
    parser.add_argument("--out", type=Path, help="(out-ablate/NAME of the file)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=SHARDS",
        help="shards that the study asks for; may be repeated",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the study before it begins, as in config=400m or seeds=[1,2,3,4,5]",
    )
    parser.add_argument("--arms", help="only these for now, with commas")
    parser.add_argument("--seeds", help="only these for now, with commas")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time (2; 1 on one GPU)")


def run(arguments: argparse.Namespace) -> int:
    """Run what is not done, then print the claims and controls."""
    from trainer.ablate import ablate
    from trainer.ablation.tables import brief
    from trainer.failures import SetupError

    given = {}
    for text in arguments.data:
        name, equals, place = text.partition("=")
        if not equals or not name or not place:
            raise SetupError(f"--data {text}: write NAME=SHARDS")
        given[name] = place
    try:
        seeds = [int(one) for one in arguments.seeds.split(",")] if arguments.seeds else None
    except ValueError as error:
        raise SetupError(f"--seeds {arguments.seeds}: whole numbers with commas") from error
    if _is_grid(arguments.study):
        return _grid(arguments, given)
    if arguments.jobs < 1:
        raise SetupError(f"--jobs {arguments.jobs}: at least 1")
    found = ablate(
        arguments.study,
        arguments.out or Path("out-ablate") / arguments.study.stem,
        overrides=arguments.overrides,
        given=given,
        arms=arguments.arms.split(",") if arguments.arms else None,
        seeds=seeds,
        jobs=arguments.jobs,
    )
    print(brief(found.results), end="")
    return 0


def _is_grid(path: Path) -> bool:
    """Whether a file is a grid of encoders (docs/encoders.md) rather than a study."""
    from schemas.settings import read

    return read(path).child("encoders") is not None


def _grid(arguments: argparse.Namespace, given: dict[str, str]) -> int:
    from trainer.commands.encoders import run_grid
    from trainer.failures import SetupError

    if set(given) - {"speech", "units"} or "speech" not in given:
        raise SetupError(
            f"{arguments.study}: a grid of encoders asks for --data speech=SHARDS and, for hubert, "
            "--data units=FILE"
        )
    out = arguments.out or Path("out-ablate") / arguments.study.stem
    return run_grid(arguments.study, given["speech"], given.get("units"), out, arguments.overrides)
