"""Train a decoder on shards, or go on with a run that was stopped.

Run it again with the same arguments and it goes on from the newest checkpoint in OUT, or says that
the run is done. With torchrun, several ranks share the global batch:
`torchrun --nproc-per-node 8 -m trainer train ...`.
"""

import argparse
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to train on, how, and where to."""
    parser.add_argument(
        "--shards",
        action="append",
        default=[],
        metavar="[SET=]PATH",
        help="a curated OUT or a folder with manifest.json, local or by URL: for the sets of the "
        "config that name none, or for one of them",
    )
    parser.add_argument(
        "--config", default="smoke", help="a YAML file, or the name of one that is shipped (smoke)"
    )
    parser.add_argument("--out", type=Path, default=Path("out-train"), help="(out-train)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, as in optimizer.lr=3e-4",
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on with a run although its settings or data are not those it began with",
    )
    parser.add_argument("--until", type=int, metavar="STEP", help="save and pause after this step")


def run(arguments: argparse.Namespace) -> int:
    """Train; progress in one line, and at the end where everything is."""
    from trainer.config import load_config
    from trainer.loop import train
    from trainer.progress import Progress, summary

    config = load_config(arguments.config, arguments.overrides, arguments.shards)
    first = os.environ.get("RANK", "0") == "0"
    if first:
        print(f"{config.name}: training in {arguments.out}, log in {arguments.out}/log.jsonl")
    progress = Progress(sys.stdout)
    try:
        result = train(
            config,
            arguments.out,
            allow_changes=arguments.allow_changes,
            until=arguments.until,
            on_line=progress,
        )
    finally:
        progress.close()
    if first:
        print(summary(result, arguments.out))
    return 130 if result.stopped == "signal" else 0
