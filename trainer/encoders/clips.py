"""Windows of speech from shards, in an order that nothing but settings decides.

The documents of a set are cut into windows of so many seconds; those of one window of the order
(`trainer.order`) are shuffled together by digest, so that clips of one step are of different
documents. Where a run stands is three whole numbers. Text is not read: what has no sound is passed
over.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.shard import ShardError
from schemas.shard_reader import read_flac
from trainer.data_settings import DataError, DataSettings
from trainer.order import Drawn, Order
from trainer.shard_sets import ShardSet
from trainer.sound import Window, decode_ranges

Pcm16 = npt.NDArray[np.int16]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Samples of one window."""

    document: str
    start: float  # seconds
    pcm: Pcm16
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.rate


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClipState:
    """Which clip comes next: its number in a window of the order of an epoch."""

    epoch: int = 0
    window: int = 0
    clip: int = 0

    @staticmethod
    def of_json(value: Mapping[str, Any]) -> "ClipState":
        """Raises `DataError` for anything but three whole numbers."""
        try:
            names = [one.name for one in dataclasses.fields(ClipState)]
            found = {name: int(value[name]) for name in names}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("bad_state", f"not the state of clips: {error!r}") from error
        return ClipState(**found)


class Clips:
    """The speech of one set. Raises `ShardError` for what cannot be read."""

    def __init__(self, shards: ShardSet, run: DataSettings, seconds: float, least: float) -> None:
        self._shards, self._run = shards, run
        self._seconds, self._least = seconds, least
        self._order = Order(shards, run)
        self._dealt: tuple[tuple[int, int], list[tuple[Drawn, int]]] = ((-1, -1), [])

    @property
    def unique_seconds(self) -> float:
        """Of all documents that a pass reads."""
        return sum(
            row.seconds
            for shard in range(len(self._shards.entries))
            for _, row in self._shards.rows(shard)
            if row.flac_size
        )

    def after(self, state: ClipState) -> Iterator[tuple[Clip, ClipState]]:
        """Clips from a state on, without end, each with the state after it."""
        epoch, window, first = state.epoch, state.window, state.clip
        while True:
            any_clip = False
            for number in range(window, len(self._order.windows(epoch))):
                dealt = self._clips(epoch, number)
                for at in range(first, len(dealt)):
                    any_clip = True
                    clip = self._read(*dealt[at])
                    yield clip, ClipState(epoch=epoch, window=number, clip=at + 1)
                first = 0
            if not any_clip and window == 0 and state.clip == 0:
                raise DataError(
                    "empty_set",
                    f"set {self._shards.name!r}: no document has {self._least:g} s of sound",
                )
            epoch, window, first, state = epoch + 1, 0, 0, ClipState()

    def _clips(self, epoch: int, number: int) -> list[tuple[Drawn, int]]:
        """Which windows of which documents, shuffled."""
        if self._dealt[0] != (epoch, number):
            found, chances = [], []
            for drawn in self._order.window(epoch, number):
                if not isinstance(drawn, Drawn):
                    raise DataError(drawn.code, drawn.where)
                row = self._shards.index(drawn.shard)[drawn.row]
                if not row.flac_size:
                    continue
                for place in range(self._count(row.seconds)):
                    chance = f"{self._run.seed}\0{epoch}\0{row.key}\0{place}"
                    chances.append(hashlib.blake2b(chance.encode(), digest_size=16).digest())
                    found.append((drawn, place))
            order = sorted(range(len(found)), key=chances.__getitem__)
            self._dealt = ((epoch, number), [found[at] for at in order])
        return self._dealt[1]

    def _count(self, seconds: float) -> int:
        whole = int(seconds // self._seconds)
        return whole + (seconds - whole * self._seconds >= self._least)

    def _read(self, drawn: Drawn, place: int) -> Clip:
        import soundfile

        row, where = self._shards.index(drawn.shard)[drawn.row], self._shards.where(drawn.shard)
        data = memoryview(read_flac(self._shards.fetch(drawn.shard), row, where))
        try:
            with soundfile.SoundFile(Window(data)) as file:
                rate, samples = file.samplerate, file.frames
        except soundfile.LibsndfileError as error:
            raise DataError("bad_flac", f"{where}: {row.key}: {error}") from error
        first = round(place * self._seconds * rate)
        last = min(first + round(self._seconds * rate), samples)
        if first >= last:
            raise ShardError(
                "index_disagrees", f"{where}: {row.key} has {samples / rate} s, not {row.seconds}"
            )
        [pcm] = decode_ranges(data, [(first, last)], rate, f"{where}: {row.key}")
        return Clip(document=row.key, start=first / rate, pcm=pcm, rate=rate)


def batches(clips: Clips, state: ClipState, size: int) -> Iterator[tuple[list[Clip], ClipState]]:
    """So many clips at a time, and the state after them, without end."""
    source = clips.after(state)
    while held := list(itertools.islice(source, size)):
        yield [clip for clip, _ in held], held[-1][1]
