"""Make an evaluation set of a held-out split: texts, or chunks for the modality gap.

Documents of a split that training does not read become items of docs/evaluation.md: `text` for
perplexity, `gap` for runs of one speaker's chunks with their audio.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which documents, and where to."""
    parser.add_argument(
        "--shards", required=True, help="a curated OUT or a folder with manifest.json, or its URL"
    )
    parser.add_argument("--recipe", help="which run of an OUT, where it has several")
    parser.add_argument("--split", default="valid", help="(valid); train is refused")
    parser.add_argument("--kind", choices=("text", "gap"), required=True)
    parser.add_argument("--chunks", type=int, default=4, help="gap: chunks of an item, at most (4)")
    parser.add_argument("--items", type=int, default=500, help="at most, drawn by id (500)")
    parser.add_argument("--out", type=Path, required=True, help="the set's folder, a new one")


def run(arguments: argparse.Namespace) -> int:
    """Write the set, or nothing."""
    from trainer.evaluation.held_out import held_out

    found = held_out(
        arguments.shards,
        arguments.out,
        kind=arguments.kind,
        split=arguments.split,
        recipe=arguments.recipe,
        chunks=arguments.chunks,
        most=arguments.items,
    )
    print(f"{arguments.out}: {len(found.items)} items of kind {found.kind}")
    return 0
