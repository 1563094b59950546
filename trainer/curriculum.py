"""Documents from easy to hard: the first pass over a set, or its beginning.

A curriculum as a warm-up (arXiv 2506.11300): for part of a pass documents come by a difficulty, the
rest is shuffled as always, and every document still comes once. Shards are put in the order of
their mean difficulty, documents inside each window of shards exactly, so the order is exact where
the set fits into a window (`data.window_documents`) and right by shards beyond, in bounded memory.
Packs are filled by best fit in blocks (`data.block_packs`); inside a block they follow the mean
place of their documents.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.shard_index import IndexRow
from trainer.data_settings import Curriculum as Settings
from trainer.data_settings import DataError

COLUMNS: dict[str, Callable[[IndexRow], float]] = {
    "seconds": lambda row: row.seconds,
    "chunks": lambda row: float(row.chunks),
    "characters": lambda row: float(row.characters),
    "words": lambda row: float(row.words),
    "characters_per_second": lambda row: row.characters / row.seconds if row.seconds else 0.0,
}


class Curriculum:
    """The order of one set's first pass."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings, self._name = settings, name
        self._column = COLUMNS.get(settings.by)
        self._known = {} if self._column is not None else read_difficulties(settings.by)

    def of(self, row: IndexRow) -> float:
        """How hard a document is. Raises `DataError` for one that the file does not name."""
        if self._column is not None:
            found = self._column(row)
        elif row.key in self._known:
            found = self._known[row.key]
        else:
            raise DataError(
                "no_difficulty",
                f"set {self._name!r}: document {row.key} has no difficulty in {self.settings.by}; "
                "add it, or leave such documents out",
            )
        return -found if self.settings.hardest_first else found

    def shards(
        self,
        order: Sequence[int],
        difficulties: Callable[[int], Sequence[float]],
        count: Callable[[int], int],
    ) -> list[int]:
        """Shards by mean difficulty until the warm-up is full, the rest as in `order`."""
        means = {}
        for shard in order:
            own = difficulties(shard)
            means[shard] = math.fsum(own) / len(own) if own else math.inf
        turn = {shard: place for place, shard in enumerate(order)}
        ranked = sorted(order, key=lambda shard: (means[shard], turn[shard]))
        left = self.settings.share * sum(count(shard) for shard in order)
        first = []
        for shard in ranked:
            if left <= 0:
                break
            first.append(shard)
            left -= count(shard)
        taken = set(first)
        return first + [shard for shard in order if shard not in taken]

    def arranged(
        self, order: Sequence[int], hard: Sequence[float], part: float, chance: str
    ) -> list[int]:
        """The shuffled `order` with its first `part` (0 to 1) by difficulty: a permutation of it.

        `hard` is the difficulty of each item; `chance` names the coins of `annealed`.
        """
        warm = math.ceil(part * len(order) - 1e-9)
        if warm <= 0:
            return list(order)
        turn = {item: place for place, item in enumerate(order)}
        ranked = sorted(order, key=lambda item: (hard[item], turn[item]))
        if self.settings.order == "sorted":
            taken = set(ranked[:warm])
            return ranked[:warm] + [item for item in order if item not in taken]
        found: list[int] = []
        used: set[int] = set()
        easy, any_ = iter(ranked), iter(order)
        for place in range(warm):
            source = easy if _coin(chance, place) >= place / warm else any_
            item = next(one for one in source if one not in used)
            used.add(item)
            found.append(item)
        return found + [item for item in order if item not in used]


def _coin(chance: str, place: int) -> float:
    digest = hashlib.blake2b(f"curriculum/{chance}/{place}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def read_difficulties(path: str) -> dict[str, float]:
    """Difficulty by document id: JSON `{id: number}`, or Parquet with `id` and `difficulty`."""
    try:
        if path.endswith(".parquet"):
            table = pq.ParquetFile(path).read(columns=["id", "difficulty"], use_threads=False)
            rows = zip(table["id"].to_pylist(), table["difficulty"].to_pylist(), strict=True)
            found: dict[Any, Any] = dict(rows)
            if len(found) != len(table):
                raise ValueError("an id stands twice")
        elif path.endswith(".json"):
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        else:
            raise ValueError(f"neither a .parquet or .json file nor one of {', '.join(COLUMNS)}")
        if not isinstance(found, dict):
            raise ValueError("not a mapping of ids to numbers")
        for key, value in found.items():
            sound = isinstance(value, int | float) and not isinstance(value, bool)
            if not (isinstance(key, str) and sound and math.isfinite(value)):
                raise ValueError(f"{key!r:.80}: {value!r:.40} is not a number")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DataError("bad_difficulties", f"curriculum by {path}: {error}") from error
    return {key: float(value) for key, value in found.items()}
