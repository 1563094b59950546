"""Where in a run each experiment's documents go: spread evenly, by digest, known beforehand.

All insertions of a stretch of the run are put in an order of their own and dealt to equal parts of
its packs, one each, at a random pack of the part: uniform over the run, never two in one pack while
there are packs enough, and a pure function of (seed, experiments, packs of the run). Nothing of it
has to be saved: a resumed run asks again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trainer.data_settings import DataError, ExperimentSettings


class Asked(NamedTuple):
    """A document of an experiment."""

    shard: int
    row: int
    key: str


class Slot(NamedTuple):
    """One showing of one document, and the pack that it goes into."""

    pack: int
    experiment: str
    document: Asked
    showing: int  # 0 to times - 1


def schedule(
    experiments: Mapping[str, ExperimentSettings],
    documents: Mapping[str, Sequence[Asked]],
    packs: int,
    seed: int,
) -> dict[int, tuple[Slot, ...]]:
    """The slots of a run of so many packs, by pack.

    Raises `DataError` where a document belongs to two experiments: they would not be disjoint.
    """
    _disjoint(documents)
    stretches: dict[tuple[int, int], list[tuple[bytes, str, Asked, int]]] = {}
    for name, own in sorted(experiments.items()):
        first, last = int(own.begin * packs), max(round(own.end * packs), 1)
        stretch = stretches.setdefault((min(first, packs - 1), last), [])
        for one in documents[name]:
            for time in range(own.times):
                stretch.append((_digest(seed, "turn", name, one.key, time), name, one, time))
    found: dict[int, list[Slot]] = {}
    for (first, last), shown in sorted(stretches.items()):
        shown.sort(key=lambda row: row[0])
        size, count = last - first, len(shown)
        for turn, (_, name, one, time) in enumerate(shown):
            low, high = turn * size // count, (turn + 1) * size // count
            chance = int.from_bytes(_digest(seed, "pack", name, one.key, time)[:7], "big") / 2**56
            pack = first + low + int(chance * max(high - low, 1))
            found.setdefault(pack, []).append(Slot(pack, name, one, time))
    return {pack: tuple(slots) for pack, slots in sorted(found.items())}


def _disjoint(documents: Mapping[str, Sequence[Asked]]) -> None:
    of: dict[str, str] = {}
    for name, own in sorted(documents.items()):
        for one in own:
            if of.setdefault(one.key, name) != name:
                raise DataError(
                    "experiments_overlap",
                    f"document {one.key} belongs to experiments {of[one.key]!r} and {name!r}; "
                    "their effects could not be told apart: give each documents of its own",
                )


def _digest(seed: int, *parts: object) -> bytes:
    text = "\0".join(map(str, (seed, *parts)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
