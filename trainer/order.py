"""The order of documents: a pure function of (seed, epoch, place), from digests and nothing else.

Shards are put in a new order each epoch and cut into windows of whole shards; inside a window all
documents are shuffled together. So at any time only a window's shards are needed, the next one's
name is known long before, and a place in the order is two numbers. Larger windows mix better and
need more shards at hand. Sorting by a digest, not a generator's shuffle: the order then does not
depend on the version of any library, nor on how many documents come before.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.ids import fraction
from schemas.shard import ShardError
from trainer.curriculum import Curriculum
from trainer.data_settings import DataError, DataSettings, may_skip
from trainer.shard_sets import ShardSet

DIGEST = 16  # bytes of a document's chance


class Drawn(NamedTuple):
    """A document in the order: where it is, and which time it is shown in this epoch. A tuple: one
    is made for each document of an epoch."""

    shard: int
    row: int  # place in the shard's index
    copy: int  # 0, or more where its weight shows it several times


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """Something that was to be read and was not, by a policy that says so. For the log."""

    set_name: str
    code: str
    where: str
    documents: int = 0
    chunks: int = 0
    seconds: float = 0.0


Place = tuple[int, int]  # window, and document in it


class Order:
    """The documents of one set, epoch by epoch."""

    def __init__(
        self, shards: ShardSet, run: DataSettings, weights: Mapping[str, float] | None = None
    ) -> None:
        self._shards, self._run, self._weights = shards, run, weights
        own = shards.settings.curriculum
        self._curriculum = None if own is None else Curriculum(own, shards.name)
        self._windows: tuple[int, list[list[int]]] = (-1, [])
        self._dealt: dict[tuple[int, int], list[Drawn | Lost]] = {}

    def windows(self, epoch: int) -> list[list[int]]:
        """Which shards each window of an epoch holds."""
        if self._windows[0] != epoch:
            self._windows = (epoch, self._cut(epoch))
        return self._windows[1]

    def window(self, epoch: int, number: int) -> list[Drawn | Lost]:
        """The documents of one window, in order. A shard without a sound index is `Lost`, first."""
        key = (epoch, number)
        if key not in self._dealt:
            for old in list(self._dealt)[:-1]:  # a block may straddle two windows, never three
                del self._dealt[old]
            self._dealt[key] = self._deal(epoch, self.windows(epoch)[number])
        return self._dealt[key]

    def after(self, epoch: int, place: Place) -> Iterator[tuple[Drawn | Lost, Place]]:
        """What stands at `place` and after it in an epoch, each with the place that follows it."""
        window, first = place
        for number in range(window, len(self.windows(epoch))):
            found = self.window(epoch, number)
            for at in range(first, len(found)):
                yield found[at], (number, at + 1)
            first = 0

    def share(self, epoch: int, place: Place) -> float:
        """Which part of an epoch lies before a place, by documents: of a pass over the set."""
        total = self._shards.documents
        windows = self.windows(epoch)
        before = 0.0 + sum(
            self._shards.count(shard) for group in windows[: place[0]] for shard in group
        )
        if place[0] < len(windows) and place[1]:
            dealt = self.window(epoch, place[0])
            inside = sum(self._shards.count(shard) for shard in windows[place[0]])
            before += inside * place[1] / max(len(dealt), 1)
        return before / total

    def warming(self, epoch: int, place: Place) -> bool:
        """Whether documents come by difficulty at a place: packs then keep their order, too."""
        own = self._curriculum
        return own is not None and epoch == 0 and self.share(epoch, place) < own.settings.share

    def _cut(self, epoch: int) -> list[list[int]]:
        shards = self._shards
        order = sorted(
            range(len(shards.entries)),
            key=lambda shard: self._chance(epoch, "shard", shards.entries[shard].sha256),
        )
        if self._curriculum is not None and epoch == 0:
            order = self._curriculum.shards(order, self._difficulties, shards.count)
        found: list[list[int]] = []
        documents = size = 0
        for shard in order:
            count, bytes_ = shards.count(shard), shards.entries[shard].bytes
            full = documents + count > self._run.window_documents
            if not found or full or size + bytes_ > self._run.window_bytes:
                found.append([])
                documents = size = 0
            found[-1].append(shard)
            documents, size = documents + count, size + bytes_
        return found

    def _deal(self, epoch: int, group: list[int]) -> list[Drawn | Lost]:
        lost: list[Drawn | Lost] = []
        chances: list[bytes] = []
        found: list[Drawn | Lost] = []
        begun = hashlib.blake2b(self._spelt(epoch, "document", ""), digest_size=DIGEST)
        for shard in group:
            try:
                keys = self._shards.keys(shard)
            except ShardError as error:
                if not may_skip(error, self._run.on_bad_shard):
                    raise
                entry = self._shards.entries[shard]
                lost.append(
                    Lost(
                        set_name=self._shards.name,
                        code=error.code,
                        where=str(error),
                        documents=self._shards.count(shard),
                        seconds=entry.seconds,
                    )
                )
                continue
            for place, key in keys:
                for copy in range(self._copies(epoch, key)):
                    chance = begun.copy()
                    chance.update(f"{key}\0{copy}".encode())
                    chances.append(chance.digest())
                    found.append(Drawn(shard, place, copy))
        order = sorted(range(len(found)), key=chances.__getitem__)
        if self._curriculum is not None and epoch == 0:
            order = self._by_difficulty(group, found, order)
        return lost + [found[place] for place in order]

    def _by_difficulty(self, group: list[int], found: Sequence[Any], order: list[int]) -> list[int]:
        """The shuffled `order` of a window as the curriculum has it."""
        own = self._curriculum
        assert own is not None
        before = 0
        for window in self.windows(0):
            if window == group:
                break
            before += sum(self._shards.count(shard) for shard in window)
        warm = own.settings.share * self._shards.documents - before
        part = min(max(warm / max(len(found), 1), 0.0), 1.0)
        of: dict[int, list[float]] = {shard: self._difficulties(shard) for shard in group}
        places = {
            shard: {row: n for n, (row, _) in enumerate(self._shards.rows(shard))}
            for shard in {one.shard for one in found}
        }
        hard = [of[one.shard][places[one.shard][one.row]] for one in found]
        chance = f"{self._run.seed}/{self._shards.name}/{before}"
        return own.arranged(order, hard, part, chance)

    def _difficulties(self, shard: int) -> list[float]:
        """Of the documents of a shard that belong to the set; none where it cannot be read."""
        own = self._curriculum
        assert own is not None
        try:
            return [own.of(row) for _, row in self._shards.rows(shard)]
        except ShardError as error:
            if not may_skip(error, self._run.on_bad_shard):
                raise
            return []

    def _copies(self, epoch: int, key: str) -> int:
        """How often a document is shown: its weight, rounded by a draw of its own."""
        if self._weights is None:
            return 1
        weight = self._weights.get(key, self._shards.settings.unweighted)
        if weight is None:
            raise DataError(
                "no_weight",
                f"set {self._shards.name!r}: document {key} has no weight in "
                f"{self._shards.settings.weights}; add it or set unweighted",
            )
        whole = int(weight)
        draw = fraction(self._run.seed, f"weight/{self._shards.name}/{epoch}", key)
        return whole + (draw < weight - whole)

    def _chance(self, epoch: int, *parts: str) -> bytes:
        return _digest(self._spelt(epoch, *parts))

    def _spelt(self, epoch: int, *parts: str) -> bytes:
        return "\0".join((str(self._run.seed), self._shards.name, str(epoch), *parts)).encode()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST).digest()


def read_weights(path: str) -> dict[str, float]:
    """Weights by document id: JSON `{id: weight}`, or Parquet with columns `id` and `weight`."""
    try:
        if path.endswith(".parquet"):
            table = pq.ParquetFile(path).read(columns=["id", "weight"], use_threads=False)
            ids, values = table["id"].to_pylist(), table["weight"].to_pylist()
            if len(set(ids)) != len(ids):
                raise ValueError("an id stands twice")
            found: dict[Any, Any] = dict(zip(ids, values, strict=True))
        else:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a mapping of ids to weights")
        for key, value in found.items():
            sound = isinstance(value, int | float) and not isinstance(value, bool)
            if not (isinstance(key, str) and sound and 0 <= value < 1000):
                raise ValueError(f"{key!r:.80}: {value!r:.40} is not a weight of 0 to 1000")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DataError("bad_weights", f"weights {path}: {error}") from error
    return {key: float(value) for key, value in found.items()}
