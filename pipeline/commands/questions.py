"""`speechloom questions`: the questions about held-out pages, for an evaluation set.

Writes a table that `make evalset` and `speechloom-train questions` read, and where asked the
digests of the pages that are trained on, for `--training-pages`.
"""

import argparse
import sys
from pathlib import Path

from pipeline.held_out_questions import held_out_questions, lines
from pipeline.pointers import read_pointers
from schemas.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="out", help="folder or bucket with results (%(default)s)")
    parser.add_argument(
        "--recipe-name", metavar="NAME", help="of which recipe (default: the newest run)"
    )
    parser.add_argument("--stream", help="the stream that asks (default: the only one)")
    parser.add_argument("--split", default="test", help="of the pages (%(default)s)")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="a new .jsonl")
    parser.add_argument(
        "--training-pages-to", type=Path, metavar="FILE", help="digests of pages in training"
    )


def run(arguments: argparse.Namespace) -> int:
    store = Store(arguments.out)
    pointers = [
        pointer for pointer in read_pointers(store) if arguments.recipe_name in (None, pointer.name)
    ]
    if not pointers:
        print(f"speechloom: {store.url} holds no finished run of that name", file=sys.stderr)
        return 2
    if arguments.to.exists():
        print(
            f"speechloom: {arguments.to} is there already; it is not written over", file=sys.stderr
        )
        return 2
    rows, trained = held_out_questions(
        store,
        pointers[0],
        stream=arguments.stream,
        split=arguments.split,
        tell=lambda text: print(text),
    )
    arguments.to.write_text("".join(lines(rows)), encoding="utf-8")
    if arguments.training_pages_to is not None:
        text = "".join(f"{page}\n" for page in sorted(trained))
        arguments.training_pages_to.write_text(text, encoding="utf-8")
    print(f"{arguments.to}: {len(rows)} questions")
    return 0
