"""Train pieces over speech units: `python -m trainer.latent.pieces_fit --shards SHARDS --tokenizer
NAME --size 1000 --out FILE.json`.

A SentencePiece BPE over the stored units of chunks, at most 100,000 of them drawn at random (LST,
arXiv 2510.06195: 1k units, 100k sequences; 5k and 10k were no better). The same shards,
settings and seed give the same file.
"""

import argparse
import io
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.ids import digest_of
from schemas.manifest import read_manifest
from schemas.shard import ShardError
from schemas.shard_reader import read_shard
from schemas.shard_tokens import TokenizerEntry
from schemas.token_frames import Timeline
from trainer.latent.pieces import read_pieces, spelt, write_pieces

Units = npt.NDArray[np.unsignedinteger[Any]]
LONGEST = 1 << 24  # bytes of a sequence: none is left out


def stored_entry(folder: Path, name: str) -> TokenizerEntry:
    """The tokenizer that shards name so. Raises `ValueError`."""
    manifest = read_manifest(lambda part: (folder / part).read_bytes())
    found = {entry.name: entry for entry in manifest.tokenizers}
    if name not in found:
        there = ", ".join(sorted(found)) or "none"
        raise ValueError(f"{folder} stores no tokens of {name!r}; stored: {there}")
    if found[name].codebooks != 1:
        raise ValueError(f"{name} has {found[name].codebooks} codebooks; pieces are of units")
    return found[name]


def chunk_units(folder: Path, entry: TokenizerEntry, split: str) -> Iterator[Units]:
    """The units of every chunk of a set's split. Raises `ShardError`."""
    manifest = read_manifest(lambda name: (folder / name).read_bytes())
    for shard in manifest.shards:
        if shard.split != split:
            continue
        with (folder / shard.name).open("rb") as stream:
            for sample in read_shard(stream, shard.name):
                units = sample.tokens.get(entry.name)
                if units is None:
                    continue
                for first, last in Timeline(sample.document, entry.grid).chunks:
                    if first < last:
                        yield units[first:last, 0]


def drawn(units: Iterator[Units], most: int, seed: int) -> list[Units]:
    """At most `most` of them, each as likely as any other: a reservoir."""
    chance = random.Random(int(digest_of("pieces", seed), 16))
    kept: list[Units] = []
    for seen, one in enumerate(units):
        if seen < most:
            kept.append(one.copy())
        elif (place := chance.randrange(seen + 1)) < most:
            kept[place] = one.copy()
    return kept


def fit(sequences: Sequence[Units], levels: int, size: int, deduplicate: bool) -> bytes:
    """A SentencePiece BPE of `size` pieces, every unit among them. Raises `ValueError` where the
    sequences do not give so many."""
    from sentencepiece import SentencePieceTrainer

    def lines() -> Iterator[str]:
        yield spelt(np.arange(levels))  # so that no unit is unknown
        for one in sequences:
            yield spelt(_taken(one, deduplicate))

    found = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=lines(),
            model_writer=found,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_by_unicode_script=False,
            split_by_number=False,
            split_by_whitespace=False,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            unk_id=0,
            max_sentence_length=LONGEST,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(
            f"{len(sequences)} chunks of {levels} units do not give {size} pieces: ask for fewer, "
            f"but more than the units, or give more speech ({error})"
        ) from error
    return found.getvalue()


def arguments(texts: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trainer.latent.pieces_fit", description=__doc__
    )
    parser.add_argument("--shards", type=Path, required=True, help="the folder of a manifest.json")
    parser.add_argument("--tokenizer", required=True, help="whose stored units (kmeans-1a2b3c4d)")
    parser.add_argument("--out", type=Path, required=True, help="the file to write: *.json")
    parser.add_argument("--split", default="train", help="of the shards (train)")
    parser.add_argument("--size", type=int, default=1000, help="pieces (1000)")
    parser.add_argument("--sequences", type=int, default=100_000, help="at most (100000)")
    parser.add_argument(
        "--deduplicate", action="store_true", help="take runs of one unit as one (LST: not)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    found = parser.parse_args(texts)
    if found.out.exists():
        parser.error(f"{found.out} exists; pieces are never written over, choose another name")
    if not 2 <= found.size <= 1 << 16:
        parser.error("--size is from 2 to 65536")
    return found


def train(options: argparse.Namespace) -> str:
    """Write the artefact and say what it is. Raises `ValueError`, `ShardError`."""
    entry = stored_entry(options.shards, options.tokenizer)
    sequences = drawn(
        chunk_units(options.shards, entry, options.split), options.sequences, options.seed
    )
    proto = fit(sequences, entry.levels, options.size, options.deduplicate)
    about = {
        "size": options.size,
        "source": entry.digest,
        "levels": entry.levels,
        "deduplicated": options.deduplicate,
        "trained": {"chunks": len(sequences), "seed": options.seed, "tokenizer": entry.name},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_pieces(options.out, proto, about)
    made = read_pieces(options.out)
    units = sum(map(len, sequences))
    pieces = sum(len(made.encode(_taken(one, options.deduplicate))) for one in sequences)
    return (
        f"{options.out}: {made.size} pieces over {entry.name} from {len(sequences)} chunks; "
        f"{units} units in {pieces} pieces ({units / max(pieces, 1):.2f} each), "
        f"digest {made.digest}"
    )


def _taken(units: Units, deduplicate: bool) -> Units:
    return units[np.r_[True, units[1:] != units[:-1]]] if deduplicate else units


def main(texts: list[str] | None = None) -> int:
    options = arguments(texts)
    try:
        print(train(options))
    except (ShardError, ValueError, FileNotFoundError) as error:
        print(f"pieces: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
