"""`speechloom schema`: the JSON Schema of recipe files, made from the steps themselves.

An editor that is given it completes step names and settings and underlines what no run would take.
"""

import argparse
import json
from pathlib import Path

from pipeline.reference import recipe_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing")


def run(arguments: argparse.Namespace) -> int:
    text = json.dumps(recipe_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if arguments.out is None:
        print(text, end="")
        return 0
    path = Path(arguments.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}: name it in the first line of a recipe as")
    print(f"# yaml-language-server: $schema={path.resolve().as_uri()}")
    return 0
