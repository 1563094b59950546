"""Turn a table of multiple-choice questions into an evaluation set.

Columns: question, options (a list), answer (its place or its text), page (the digest of the page
it is about), and where they are known id, audio, engine, voice. See docs/evaluation.md.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which table, and where to."""
    parser.add_argument("--table", type=Path, required=True, help="*.jsonl, *.csv or *.parquet")
    parser.add_argument("--out", type=Path, required=True, help="the set's folder, a new one")
    parser.add_argument(
        "--training-pages", type=Path, help="digests of pages in training, a line each: refused"
    )
    parser.add_argument(
        "--distractors",
        type=int,
        metavar="N",
        help="for rows without options: answers of other pages, this many",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the distractors (0)")


def run(arguments: argparse.Namespace) -> int:
    """Write the set, or nothing."""
    from trainer.evaluation.quest import convert

    found = convert(
        arguments.table,
        arguments.out,
        training_pages=arguments.training_pages,
        distractors=arguments.distractors,
        seed=arguments.seed,
    )
    print(f"{arguments.out}: {len(found.items)} questions in {', '.join(found.modes)}")
    return 0
