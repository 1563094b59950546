"""`speechloom validate SHARDS...`: check sets of shards against their manifest and the format."""

import argparse
import io
import sys
from collections.abc import Iterator

from pipeline import layout
from pipeline.pointers import read_pointers
from pipeline.report import clean, figures
from schemas.manifest import NAME, read_manifest
from schemas.shard_place import ShardPlace
from schemas.shard_validate import validate
from schemas.store import Store, StoreError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shards",
        nargs="+",
        metavar="SHARDS",
        help="a manifest.json, the folder that holds one, or an OUT (the newest run of each "
        "recipe); in a bucket too",
    )
    parser.add_argument(
        "--quick", action="store_true", help="read the headers of FLACs only, decode nothing"
    )


def run(arguments: argparse.Namespace) -> int:
    roots = [root for text in arguments.shards for root in _roots(text)]
    wrong = 0
    for root in dict.fromkeys(roots):
        problems = validate(root, None if arguments.quick else decoded)
        wrong += len(problems)
        print(clean.line(f"{root}: {_summary(root, len(problems))}"))
        for problem in problems:
            print(clean.line(f"  {problem.where}: {problem.code}: {problem.message}"))
    if wrong:
        print(f"speechloom: {figures.count(wrong)} problems found", file=sys.stderr)
    return 1 if wrong else 0


def _roots(text: str) -> Iterator[str]:
    """The folders of sets that an argument names."""
    store = Store(text)
    if text.rpartition("/")[2] == NAME or _is_set(store) or not _is_out(store):
        yield text
        return
    pointers = read_pointers(store)
    if not pointers:
        raise StoreError(f"{text} holds no finished run; run curate to its end first")
    for pointer in pointers:
        yield f"{text.rstrip('/')}/{layout.composition_folder(pointer.compose)}"


def _is_set(store: Store) -> bool:
    manifest = store.local(NAME)
    return manifest.exists() if manifest is not None else store.size(NAME) is not None


def _is_out(store: Store) -> bool:
    folder = store.local("runs")
    return folder.is_dir() if folder is not None else bool(store.list("runs"))


def decoded(data: bytes) -> tuple[int, int]:
    """Frames and rate of a FLAC, all of it decoded piece by piece."""
    import soundfile

    from transforms import flac

    length = sum(len(block) for block in flac.blocks(data))
    return length, int(soundfile.info(io.BytesIO(data)).samplerate)


def _summary(root: str, problems: int) -> str:
    if problems:
        return f"{figures.count(problems)} problem{'' if problems == 1 else 's'}"
    shards = read_manifest(ShardPlace(root).read).shards
    documents = sum(shard.documents for shard in shards)
    seconds = sum(shard.seconds for shard in shards)
    size = sum(shard.bytes for shard in shards)
    return (
        f"fine: {figures.count(len(shards))} shards, {figures.count(documents)} documents, "
        f"{figures.hours(seconds, figures.hour_places(seconds))} h, "
        f"{figures.size(size).replace(figures.NARROW, ' ')}"
    )
