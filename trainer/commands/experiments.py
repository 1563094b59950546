"""Read the insertions of a run, or ask whether its questions depend on each other.

`log` writes where each document of each experiment was shown; `dependence` makes short runs from
the newest checkpoint, without any intervention, with each and with all, and prints the matrix of
effects with intervals.
"""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One of two things to do."""
    below = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    log = below.add_parser("log", help="the insertions of a run as a table")
    log.add_argument("run", type=Path, help="OUT of the run")
    log.add_argument("--to", type=Path, help="a .parquet or .jsonl file (OUT/insertions.jsonl)")
    matrix = below.add_parser("dependence", help="effects of each intervention on each measure")
    matrix.add_argument("run", type=Path, help="OUT of the run")
    matrix.add_argument("plan", type=Path, help="a file of interventions (docs/many-questions.md)")
    matrix.add_argument("--out", type=Path, help="(OUT/dependence)")


def run(arguments: argparse.Namespace) -> int:
    """Do it, and print what came of it."""
    return _log(arguments) if arguments.what == "log" else _dependence(arguments)


def _log(arguments: argparse.Namespace) -> int:
    from trainer.experiments.log import insertions, write_insertions

    rows = insertions(arguments.run)
    to = arguments.to or arguments.run / "insertions.jsonl"
    write_insertions(rows, to)
    for name in sorted({row["experiment"] for row in rows}):
        own = [row for row in rows if row["experiment"] == name]
        positions = sum(row["positions"] for row in own)
        steps = f"steps {own[0]['step']} to {own[-1]['step']}"
        print(f"{name}: {len(own)} insertions, {positions:,} positions, {steps}")
    print(f"{to}: {len(rows)} rows")
    return 0


def _dependence(arguments: argparse.Namespace) -> int:
    from trainer.ablate import put_text
    from trainer.experiments.dependence import as_json, as_text, dependence, read_plan

    out = arguments.out or arguments.run / "dependence"
    found = dependence(arguments.run, read_plan(arguments.plan), out)
    put_text(out / "matrix.json", json.dumps(as_json(found), indent=1, sort_keys=True) + "\n")
    put_text(out / "matrix.md", as_text(found))
    print(as_text(found), end="")
    return 0
