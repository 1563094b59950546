"""Shards of a made language in text and units, for studies of scaling that fit a CPU.

What comes next depends on one word or on two, by rules that are drawn from a seed: small models
learn the frequent ones, larger ones more, and no model all of it, for part of it is chance. A word
is a few units, the same each time but for noise. Nothing is heard: units stand where a tokenizer's
would, so a run reads tokens alone.
"""

import argparse
import hashlib
import pathlib
import sys

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from schemas.ids import digest_of
from schemas.manifest import Manifest, ShardEntry, manifest_files
from schemas.records import Chunk, Document
from schemas.shard_tokens import TokenizerEntry
from schemas.shard_writer import ShardWriter
from schemas.token_frames import FrameGrid

RATE = 8000
GRID = FrameGrid(rate=RATE, hop=320)  # 25 units a second
WORDS, UNITS, OF_WORD = 400, 64, 3
NOISE = 0.1  # of the units
TOKENS = TokenizerEntry(
    name="made",
    engine="made",
    digest=hashlib.sha256(b"made language").hexdigest(),
    codebooks=1,
    levels=UNITS,
    grid=GRID,
)
SYLLABLES = [c + v for c in "bdfgklmnprst" for v in "aeiou"]


class Language:
    """Rules of one seed."""

    def __init__(self, seed: int = 0) -> None:
        chance = np.random.default_rng([seed, 1])
        pairs = chance.permutation(len(SYLLABLES) ** 2)[:WORDS]
        self.words = [SYLLABLES[p // len(SYLLABLES)] + SYLLABLES[p % len(SYLLABLES)] for p in pairs]
        often = 1 / np.arange(1, WORDS + 1)
        self.often = often / often.sum()
        # after one word, and after two: four words each, the first of them most of the time
        self.one = chance.choice(WORDS, (WORDS, 4), p=self.often)
        self.two = chance.choice(WORDS, (WORDS, WORDS, 4), p=self.often)
        self.units = chance.integers(0, UNITS, (WORDS, OF_WORD), dtype=np.uint8)

    def sentence(self, count: int, chance: np.random.Generator) -> list[int]:
        """Words: by two before them, by one, or any."""
        found = list(chance.choice(WORDS, 2, p=self.often))
        kinds = chance.random(count)
        turns = chance.choice(4, count, p=[0.7, 0.15, 0.1, 0.05])
        anything = chance.choice(WORDS, count, p=self.often)
        for kind, turn, word in zip(kinds[2:], turns[2:], anything[2:], strict=True):
            if kind < 0.5:
                word = self.two[found[-2], found[-1], turn]
            elif kind < 0.9:
                word = self.one[found[-1], turn]
            found.append(int(word))
        return [int(word) for word in found[:count]]


def document(
    language: Language, number: int, split: str, seed: int
) -> tuple[Document, npt.NDArray[np.uint8]]:
    """One document of a few sentences, and its units."""
    chance = np.random.default_rng([seed, number])
    chunks, units, at = [], [], 0
    for place in range(int(chance.integers(3, 7))):
        said = language.sentence(int(chance.integers(6, 12)), chance)
        own = language.units[said].reshape(-1)
        wrong = chance.random(len(own)) < NOISE
        own = np.where(wrong, chance.integers(0, UNITS, len(own), dtype=np.uint8), own)
        end = at + len(own) * GRID.hop
        chunks.append(
            Chunk(
                clip=digest_of("made language", seed, number, place),
                start=at / RATE,
                end=end / RATE,
                text=" ".join(language.words[word] for word in said),
                speaker="made",
                words=(),
                times="none",
                modality="both",
            )
        )
        units.append(own.astype(np.uint8))
        at = end
    found = Document(
        id=digest_of("made language", seed, number),
        stream="made",
        split=split,
        recording=digest_of("made recording", seed, number),
        language="en",
        topic="",
        licence="CC0",
        source=f"made:{seed}/{number}",
        rate=RATE,
        quality="given",
        chunks=tuple(chunks),
    )
    return found, np.concatenate(units)[:, None]


def make(folder: pathlib.Path, documents: int, valid: int, seed: int = 0) -> pathlib.Path:
    """A composition folder with splits train and valid. The same arguments give the same bytes."""
    language = Language(seed)
    entries: list[ShardEntry] = []
    numbers = {"train": range(documents), "valid": range(documents, documents + valid)}
    for split, own in numbers.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        made = sorted((document(language, n, split, seed) for n in own), key=lambda one: one[0].id)
        for first in range(0, len(made), 5000):
            part = made[first : first + 5000]
            name = f"{split}/made-{part[0][0].id[:8]}.tar"
            with ShardWriter(folder / name, name, [TOKENS], False) as writer:
                for one, units in part:
                    writer.add(one, None, {TOKENS.name: units})
            assert writer.entry is not None
            entries.append(writer.entry)
    manifest = Manifest(name="made", shards=tuple(entries), views=None, tokenizers=(TOKENS,))
    for name, data in manifest_files(manifest).items():
        (folder / name).write_bytes(data)
    return folder


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--valid", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    print(make(given.out, given.documents, given.valid, given.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
