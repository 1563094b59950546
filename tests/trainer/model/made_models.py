"""Tiny decoders and packs written by hand, for the tests of the model."""

import random
from typing import Any

import torch

from trainer.model import Decoder, ModelSettings
from trainer.pack import MARKER, MARKERS, PADDING, SPEECH, TEXT, Vocabulary
from trainer.tensors import Inputs

WORDS = Vocabulary(text=40)
UNITS = Vocabulary(text=40, codebooks=1, levels=24)
FRAMES = Vocabulary(text=40, codebooks=3, levels=8)
DELAYED = Vocabulary(text=40, codebooks=3, levels=9, pad=8)
ALL = (WORDS, UNITS, FRAMES, DELAYED)

Item = str | int | tuple[int, ...]  # a marker's name, a text id, a speech position's codes


def decoder(vocabulary: Vocabulary, seed: int = 0, **settings: Any) -> Decoder:
    values = {"depth": 2, "width": 32, "heads": 4, "kv_heads": 2, "initial_std": 0.3, **settings}
    return Decoder(ModelSettings(**values), vocabulary, seed)


def pack(vocabulary: Vocabulary, length: int, *pieces: list[Item]) -> Inputs:
    """One pack of these pieces, and padding."""
    ids = torch.zeros(length, dtype=torch.int64)
    codes = torch.zeros(length, vocabulary.codebooks, dtype=torch.int64)
    modality = torch.full((length,), PADDING)
    piece = torch.full((length,), -1)
    place = torch.zeros(length, dtype=torch.int64)
    at = 0
    for number, items in enumerate(pieces):
        for inside, item in enumerate(items):
            if isinstance(item, str):
                ids[at], modality[at] = vocabulary.marker(item), MARKER
            elif isinstance(item, int):
                ids[at], modality[at] = item, TEXT
            elif vocabulary.codebooks == 1:
                ids[at], modality[at] = vocabulary.speech_first + item[0], SPEECH
            else:
                ids[at], modality[at] = vocabulary.speech_first, SPEECH
                codes[at] = torch.tensor(item)
            piece[at], place[at] = number, inside
            at += 1
    return stack([Inputs(ids=ids, codes=codes, modality=modality, piece=piece, place=place)])


def stack(packs: list[Inputs]) -> Inputs:
    """Packs, each without or with its first axis, as one batch."""
    return Inputs(
        **{
            name: torch.cat([getattr(one, name).view(-1, *_shape(one, name)) for one in packs])
            for name in ("ids", "codes", "modality", "piece", "place")
        }
    )


def _shape(one: Inputs, name: str) -> tuple[int, ...]:
    return one.codes.shape[-2:] if name == "codes" else one.ids.shape[-1:]


def some_piece(chance: random.Random, vocabulary: Vocabulary, most: int = 12) -> list[Item]:
    """A document of runs of both sides, or of text where there is no speech."""
    items: list[Item] = ["document"]
    side = chance.choice(("text", "speech")) if vocabulary.levels else "text"
    while len(items) < most - 1:
        items.append(side)
        for _ in range(chance.randint(1, 4)):
            items.append(_some(chance, vocabulary, side))
        side = {"text": "speech", "speech": "text"}[side] if vocabulary.levels else "text"
    return [*items[: most - 1], "end"]


def _some(chance: random.Random, vocabulary: Vocabulary, side: str) -> Item:
    if side == "text":
        return chance.randrange(vocabulary.text)
    found = [chance.randrange(vocabulary.levels) for _ in range(vocabulary.codebooks)]
    if vocabulary.pad is not None:
        found[0] %= vocabulary.pad  # no frame is all padding
    return tuple(found)


def some_packs(vocabulary: Vocabulary, count: int, length: int = 40, seed: int = 0) -> Inputs:
    chance = random.Random(seed)
    packs = []
    for _ in range(count):
        pieces: list[list[Item]] = []
        while sum(map(len, pieces)) < length - 16:
            pieces.append(some_piece(chance, vocabulary, chance.randint(3, 12)))
        packs.append(pack(vocabulary, length, *pieces))
    return stack(packs)


__all__ = ["MARKERS", "decoder", "pack", "some_packs", "some_piece", "stack"]
