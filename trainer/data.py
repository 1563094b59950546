"""The data of a run: batches of packs from shards, in an order that nothing but settings decides.

`open_data(settings, text, speech)`, then `for given in data.batches(state): ...`. The same packs
come whatever the number of workers and of ranks; the state that comes with each batch is a few
integers and leads to exactly the next one. Workers plan everything (cheap) and fill their own
batches (dear), and hand over whole numbers in one shared block, never floats: shipping waveforms
as floats costs about as much as decoding them.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from schemas.shard import ShardError
from trainer.data_settings import DataError, DataSettings, SetSettings
from trainer.encoding import SpeechTokenizer, StoredOnly, TextTokenizer
from trainer.experiments.inserting import Inserted, Inserter
from trainer.filling import fill_packs
from trainer.order import Lost
from trainer.pack import Batch, Pack, Vocabulary
from trainer.permuting import permuted
from trainer.planning import DataState, PackPlan, Planner
from trainer.set_reader import SetReader
from trainer.shard_sets import ShardSet, open_experiments, open_sets

__all__ = [
    "Data",
    "DataError",
    "DataSettings",
    "DataState",
    "Given",
    "Lost",
    "SetSettings",
    "StoredOnly",
    "open_data",
]

ARRAYS = ("ids", "codes", "modality", "piece", "place", "borders")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """One step of one rank: its batch, the state after it, and what was left out, for the log.

    Each loss comes once over all ranks: sum them.
    """

    batch: Batch
    state: DataState
    lost: tuple[Lost, ...]
    inserted: tuple[Inserted, ...] = ()  # of this rank's packs


class Data:
    """The opened mixture. See `open_data`."""

    def __init__(
        self,
        settings: DataSettings,
        sets: list[ShardSet],
        text: TextTokenizer,
        speech: SpeechTokenizer | None,
        rank: int,
        ranks: int,
        experiments: Sequence[ShardSet] = (),
    ) -> None:
        self.settings = settings
        self._experiments, self._steps = tuple(experiments), 0
        self._sets, self._text, self._speech = sets, text, speech
        self.rank, self.ranks = rank, ranks
        self.vocabulary = (
            Vocabulary(text=text.size)
            if speech is None
            else Vocabulary(
                text=text.size,
                codebooks=speech.codebooks,
                levels=speech.levels,
                pad=getattr(speech, "pad", None),
            )
        )
        self._open()

    def _open(self) -> None:
        def of(sets: Sequence[ShardSet]) -> dict[str, SetReader]:
            run, text, speech = self.settings, self._text, self._speech
            return {one.name: SetReader(one, run, text, speech) for one in sets}

        self.readers, self.experiments = of(self._sets), of(self._experiments)

    def spread(self, steps: int) -> None:
        """Say how many steps the run has: experiments are spread over all of them."""
        self._steps = steps

    def planner(self, state: DataState) -> Planner:
        """Plans the packs of the run from a state on, experiments among them."""
        insert = None
        if self._experiments:
            if not self._steps:
                raise RuntimeError("experiments are spread over a run: say its steps, see spread")
            insert = Inserter(self.settings, self.experiments, self._steps)
        return Planner(list(self.readers.values()), self.settings, state, insert)

    def start(self) -> DataState:
        """The state before the first batch."""
        return DataState()

    def batches(
        self,
        state: DataState | None = None,
        *,
        steps: int | None = None,
        workers: int = 0,
        prefetch: int = 2,
    ) -> Iterator[Given]:
        """Batches from a state on, up to `steps` of them or until the data end.

        With workers, each prepares every so many-th batch, `prefetch` ahead, on one thread. Raises
        `ShardError` for data that cannot be read.
        """
        state = DataState() if state is None else state
        if workers == 0:
            yield from self._produce(state, steps, 0, 1)
            return
        loader: Any = torch.utils.data.DataLoader(
            _Stream(self, state, steps),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=prefetch,
            worker_init_fn=_one_thread,
            # bucket clients hold threads, which a fork would lose
            multiprocessing_context="spawn" if self._buckets() else "fork",
        )
        for shipped in loader:
            if isinstance(shipped, _Failure):
                raise DataError(shipped.code, shipped.message)
            yield _unpacked(shipped)

    def passes(self, state: DataState) -> dict[str, float]:
        """How often each set's documents were passed through: above 1, content repeats."""
        found = {}
        for name, reader in self.readers.items():
            one = dict(state.sets).get(name)
            if one is None:
                found[name] = 0.0
            elif one.done:
                found[name] = float(one.epoch + 1)
            else:
                begun = reader.order.share(one.epoch, one.start)
                block = reader.order.share(one.epoch, one.end) - begun if one.packs else 0.0
                found[name] = one.epoch + begun + block * one.taken / max(one.packs, 1)
        return found

    def about(self) -> dict[str, dict[str, Any]]:
        """What each set holds: for the log and for the record of a run."""
        found = {}
        for one in self._sets:
            entries = one.entries
            stored = self.readers[one.name].stored
            found[one.name] = {
                "shards": one.place.url,
                "documents": one.documents,
                "seconds": sum(entry.seconds for entry in entries),
                "words": sum(entry.words for entry in entries),
                "share": one.settings.share,
                "stored_tokens": stored.name if stored else None,
            }
        return found

    def _buckets(self) -> bool:
        return any(one.place.url.startswith(("gs://", "s3://")) for one in self._sets)

    def _produce(
        self, state: DataState, steps: int | None, worker: int, workers: int
    ) -> Iterator[Given]:
        """Every `workers`-th batch, all of them planned."""
        planner = self.planner(state)
        whole = self.settings.packs
        for number in itertools.count() if steps is None else range(steps):
            plans = planner.step()
            if not plans or (len(plans) < whole and self.settings.last == "drop"):
                return
            if number % workers == worker:
                yield self._filled(plans, planner.state)

    def _filled(self, plans: list[PackPlan], state: DataState) -> Given:
        each = self.settings.packs // self.ranks
        own = plans[self.rank * each : (self.rank + 1) * each]
        packs, lost = fill_packs(
            own, self.readers, self.vocabulary, self.settings, self.experiments
        )
        inserted = [one for plan in own for one in plan.inserted]
        step = plans[0].number // self.settings.packs
        if self.settings.permute_audio:
            packs = permuted(packs, self.settings.seed, step)
        batch = Batch(step=step, packs=tuple(packs))
        return Given(batch=batch, state=state, lost=tuple(lost), inserted=tuple(inserted))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "readers": None, "experiments": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


def open_data(
    settings: DataSettings,
    text: TextTokenizer,
    speech: SpeechTokenizer | None = None,
    *,
    rank: int = 0,
    ranks: int = 1,
) -> Data:
    """Open a mixture: manifests are read, everything else when it is needed.

    `settings.packs` is the global batch; rank r gets the r-th part of each. Raises `ShardError`
    for sets that are missing, empty or store another tokenizer's tokens, ValueError where the ranks
    do not divide the batch.
    """
    if not 0 <= rank < ranks or settings.packs % ranks:
        raise ValueError(f"rank {rank} of {ranks} cannot share {settings.packs} packs evenly")
    if settings.last == "keep" and ranks > 1:
        raise ValueError("last: keep gives a batch that ranks cannot share evenly; use drop")
    if settings.permute_audio and ranks > 1:
        raise ValueError("permute_audio shuffles the speech of a whole step: it needs one rank")
    sets, experiments = list(open_sets(settings)), open_experiments(settings)
    return Data(settings, sets, text, speech, rank, ranks, experiments)


@dataclasses.dataclass(frozen=True, slots=True)
class _Failure:
    """An error of a worker that people are to read, not a trace of it."""

    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Shipped:
    """Arrays of a batch in one shared block, and all that is not an array."""

    block: torch.Tensor  # uint8
    lengths: tuple[int, ...]  # of the packs
    given: Given  # its packs' arrays are empty


class _Stream(torch.utils.data.IterableDataset[Any]):
    def __init__(self, data: Data, state: DataState, steps: int | None) -> None:
        self._data, self._state, self._steps = data, state, steps

    def __iter__(self) -> Iterator[_Shipped | _Failure]:
        about = torch.utils.data.get_worker_info()
        worker, workers = (0, 1) if about is None else (about.id, about.num_workers)
        try:
            for given in self._data._produce(self._state, self._steps, worker, workers):
                yield _packed(given)
        except ShardError as error:
            yield _Failure(error.code, str(error))


def _one_thread(worker: int) -> None:
    """Workers are parallel by process; libraries with threads of their own only spin.

    What was imported lives as long as the worker: its garbage collector need not look there again.
    """
    import gc

    import threadpoolctl

    gc.freeze()

    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


def _packed(given: Given) -> _Shipped:
    packs, arrays = [], []
    for pack in given.batch.packs:
        own = _arrays(pack)
        arrays += [array.reshape(-1).view(np.uint8) for array in own.values()]
        packs.append(dataclasses.replace(pack, **{n: array[:0] for n, array in own.items()}))
    # written into shared memory at once: a tensor that is not there would be copied once more
    untyped: Any = torch.UntypedStorage
    block = torch.empty(0, dtype=torch.uint8).set_(untyped._new_shared(sum(map(len, arrays))))
    if arrays:
        np.concatenate(arrays, out=block.numpy())
    batch = dataclasses.replace(given.batch, packs=tuple(packs))
    lengths = tuple(len(pack.ids) for pack in given.batch.packs)
    return _Shipped(block, lengths, dataclasses.replace(given, batch=batch))


def _unpacked(shipped: _Shipped) -> Given:
    held = shipped.block.numpy()
    packs: list[Pack] = []
    at = 0
    for pack, length in zip(shipped.given.batch.packs, shipped.lengths, strict=True):
        arrays = {}
        for name, empty in _arrays(pack).items():
            size = _width(empty) * length
            flat = held[at : at + size].view(empty.dtype)
            arrays[name] = flat.reshape(length, *empty.shape[1:])
            at += size
        packs.append(dataclasses.replace(pack, **arrays))
    batch = dataclasses.replace(shipped.given.batch, packs=tuple(packs))
    return dataclasses.replace(shipped.given, batch=batch)


def _arrays(pack: Pack) -> dict[str, Any]:
    """By name, those that a pack has."""
    own = {name: getattr(pack, name) for name in ARRAYS}
    return {name: array for name, array in own.items() if array is not None}


def _width(array: Any) -> int:
    """Bytes of one position."""
    return int(array.dtype.itemsize * np.prod(array.shape[1:], dtype=int))
