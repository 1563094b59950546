"""Train a byte-level BPE on the text of shards.

For several runs that are to share a tokenizer; a run whose config names none trains its own.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which text, how large, and where to."""
    parser.add_argument(
        "--shards",
        action="append",
        required=True,
        metavar="PATH",
        help="a curated OUT or a folder with manifest.json, local or by URL; may be repeated",
    )
    parser.add_argument("--split", default="train", help="of the shards (train)")
    parser.add_argument("--size", type=int, default=32_000, help="entries (32000)")
    parser.add_argument("--documents", type=int, default=20_000, help="of each set (20000)")
    parser.add_argument(
        "--lead", default=" ", help="put before each text, as data.text_lead of the runs (a blank)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the tokenizer.json to write")


def run(arguments: argparse.Namespace) -> int:
    """Write the tokenizer. An existing file is never written over."""
    from trainer.data_settings import DataSettings, SetSettings
    from trainer.failures import SetupError
    from trainer.opening import set_texts
    from trainer.shard_sets import open_sets
    from trainer.text import load_text_tokenizer, train_bpe

    out: Path = arguments.out
    if out.exists():
        raise SetupError(f"{out} exists; tokenizers are never written over, choose another name")
    if out.suffix != ".json":
        raise SetupError(f"--out {out} must end in .json")
    named = {
        f"set{place}": SetSettings(shards=shards, split=arguments.split)
        for place, shards in enumerate(arguments.shards)
    }
    sets = open_sets(DataSettings(sets=named))
    try:
        made = train_bpe(set_texts(sets, arguments.documents, arguments.lead), arguments.size)
    except ValueError as error:
        raise SetupError(str(error)) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(made, encoding="utf-8")
    found = load_text_tokenizer(out)
    print(f"{out}: {found.size} entries, sha256 {found.digest}")
    return 0
