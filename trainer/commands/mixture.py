"""Say from a study of shares how much speech a run bears before text suffers.

Reads the cells of `ablate` (ablations/mixture_ratio.yaml): at each moment the largest share of a
set at which the held-out text loss has risen by at most a tolerance, and how it grows with tokens.
"""

import argparse
import dataclasses
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which study, which sets, against what."""
    parser.add_argument("out", type=Path, help="OUT of the study")
    parser.add_argument("--new", default="speech", help="the set whose share differs (speech)")
    parser.add_argument("--old", default="text", help="the held-out set that must not rise (text)")
    parser.add_argument(
        "--reference", default="start", metavar="ARM",
        help="rises are against this arm at the same step (start: the arm's own step 0)",
    )  # fmt: skip
    parser.add_argument("--rise", type=float, default=0.05, help="nats that are borne (0.05)")
    parser.add_argument("--unit", type=float, help="positions that T is counted in (the first T)")
    parser.add_argument(
        "--at", action="append", type=float, default=[], metavar="POSITIONS", help="R there, too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was found, and keep it in OUT/mixture.json."""
    from trainer.ablate import put_text
    from trainer.experiments.ratio_study import ratios, told

    found = ratios(
        arguments.out,
        new=arguments.new,
        old=arguments.old,
        reference=arguments.reference,
        rise=arguments.rise,
        unit=arguments.unit,
    )
    plain = dataclasses.asdict(found)
    put_text(arguments.out / "mixture.json", json.dumps(plain, indent=1, sort_keys=True) + "\n")
    print(told(found, tuple(arguments.at)), end="")
    return 0
