"""`speechloom validate SHARDS...`: check sets of shards against manifest and format."""

import argparse
import io
import json
import sys
from pathlib import Path

from pipeline import layout
from pipeline.report import clean
from schemas.manifest import NAME
from schemas.shard_validate import validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shards", nargs="+", help="a manifest.json, its folder, or an OUT")
    parser.add_argument("--quick", action="store_true", help="read FLAC headers only")


def _sets(path: Path) -> list[Path]:
    pointers = sorted((path / "runs").glob("*.json"))
    if (path / NAME).exists() or not pointers:
        return [path]
    keys = {json.loads(p.read_text(encoding="utf-8"))["compose"] for p in pointers}
    return [path / layout.composition_folder(key) for key in sorted(keys)]


def decoded(data: bytes) -> tuple[int, int]:
    """Frames and rate of a FLAC, all of it decoded piece by piece."""
    import soundfile

    from transforms import flac

    length = sum(len(block) for block in flac.blocks(data))
    return length, int(soundfile.info(io.BytesIO(data)).samplerate)


def run(arguments: argparse.Namespace) -> int:
    wrong = 0
    for text in arguments.shards:
        for root in _sets(Path(text)):
            for problem in validate(root, None if arguments.quick else decoded):
                wrong += 1
                print(clean.line(f"{problem.where}: {problem.code}: {problem.message}"))
    print(f"{wrong} problems", file=sys.stderr)
    return 1 if wrong else 0
