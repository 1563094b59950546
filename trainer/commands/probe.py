"""Ask a linear reader what an encoder's frozen features hold: a speaker, a word.

The table is a CSV with the columns audio (a path beside it), label, split (train or test). Every
layer is probed, and log-mel beside them. Prints a JSON object a layer.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which encoder, and which table."""
    parser.add_argument("--table", type=Path, required=True, help="audio, label, split")
    parser.add_argument("--encoder", type=Path, help="a folder of `encoders export`, or of a model")
    parser.add_argument("--stride-ms", type=int, default=20, help="of log-mel beside it (20)")
    parser.add_argument("--stack", type=int, default=2, help="of log-mel beside it (2)")


def run(arguments: argparse.Namespace) -> int:
    """Read the table, then the model, then fit and ask."""
    import dataclasses
    import json

    from trainer.encoders.probe import probe, read_table

    rows = read_table(arguments.table)
    for found in probe(rows, arguments.encoder, arguments.stride_ms, arguments.stack):
        print(json.dumps(dataclasses.asdict(found)))
    return 0
