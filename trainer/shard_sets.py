"""A set of shards as a reader sees it: which shards, their indexes, and any member's bytes.

An address leads to a manifest, the manifest to shards by digest and size, an index to members by
place and checksum: nothing is read that this chain does not name, and all of it is checked. Indexes
and files are opened when they are first needed, so a set of any size opens at once.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import mmap
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from schemas.ids import bytes_digest, fraction
from schemas.manifest import NAME, Manifest, ShardEntry, index_name, read_manifest
from schemas.shard import ShardError
from schemas.shard_index import IndexRow, bad_index, index_table
from schemas.shard_reader import Fetch
from trainer.cache import Cache
from trainer.data_settings import DataError, DataSettings, SetSettings
from trainer.index_columns import Rows, read_rows
from trainer.outlines import Outlines, outlines_of
from trainer.places import Place, place_of
from transforms.compose.policies import Policy

OPEN = 128  # files and indexes held open at once
AT_ONCE = 64 << 10  # bytes that the system maps together by itself
POPULATE_READ = 22  # MADV_POPULATE_READ, of Linux since 5.14, for which `mmap` has no name


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """How the documents of a stream are shown."""

    coarse: tuple[float, float] | None  # widest gap and longest chunk, in seconds; None: fine
    policy: Policy | None  # None: as stored


Index = tuple[Rows, Outlines | None]


class _Map(NamedTuple):
    """A mapped file."""

    file: mmap.mmap
    whole: memoryview
    array: npt.NDArray[np.uint8]


class ShardSet:
    """One set of a mixture. Cheap to pickle and safe to fork: files are opened anew."""

    def __init__(self, name: str, settings: SetSettings, run: DataSettings) -> None:
        self.name, self.settings = name, settings
        self.place, self.manifest = open_manifest(settings, run)
        self._cache = Cache(run.cache, run.cache_bytes) if run.cache else None
        self.entries = self._chosen(self.manifest)
        self._kept: dict[int, frozenset[int]] = {}
        self._indexes: OrderedDict[int, Index] = OrderedDict()
        self._reads: OrderedDict[int, Fetch] = OrderedDict()  # of files, each held open
        self._maps: OrderedDict[int, _Map] = OrderedDict()
        self._populates = sys.platform == "linux"
        self._ahead: threading.Thread | None = None
        self._restrict()
        self.views = {
            stream: _view(stream, settings, self.manifest)
            for stream in sorted({entry.stream for entry in self.entries})
        }

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_indexes", "_reads", "_maps")
        new: dict[str, Any] = {name: OrderedDict() for name in opened}
        return {**self.__dict__, **new, "_ahead": None}

    @property
    def documents(self) -> int:
        """How many documents a pass has, weights aside."""
        return sum(self.count(shard) for shard in range(len(self.entries)))

    def count(self, shard: int) -> int:
        kept = self._kept.get(shard)
        return self.entries[shard].documents if kept is None else len(kept)

    def where(self, shard: int) -> str:
        return f"{self.place.url}/{self.entries[shard].name}"

    def rows(self, shard: int) -> list[tuple[int, IndexRow]]:
        """The documents of a shard that belong to the set: place in its index, and row."""
        kept = self._kept.get(shard)
        rows = self.index(shard)
        return [(place, row) for place, row in enumerate(rows) if kept is None or place in kept]

    def keys(self, shard: int) -> Iterable[tuple[int, str]]:
        """The same by place and id, for who needs no more."""
        kept, keys = self._kept.get(shard), self.index(shard).keys
        return enumerate(keys) if kept is None else [(p, keys[p]) for p in sorted(kept)]

    def index(self, shard: int) -> Rows:
        """The index of a shard. Raises `ShardError` where it is not the manifest's."""
        return self._index(shard)[0]

    def outlines(self, shard: int) -> Outlines | None:
        """What the index says of each document's chunks; None in indexes of the first days."""
        return self._index(shard)[1]

    def _index(self, shard: int) -> Index:
        if shard not in self._indexes:
            if len(self._indexes) >= OPEN:
                self._indexes.popitem(last=False)
            self._indexes[shard] = self._read_index(self.entries[shard])
        return self._indexes[shard]

    def fetch(self, shard: int) -> Fetch:
        """Reads byte ranges of a shard: of a local file, or by ranged requests.

        Local files are compared by size, copies of remote ones by sha256 when they are made;
        members are compared by checksum as they are read.
        """
        found = self._reads.get(shard)
        if found is None:
            name, file = self.entries[shard].name, self._open(shard)
            found = functools.partial(self.place.read_range, name)
            if file is not None:
                found = functools.partial(_read, file)
            if len(self._reads) >= OPEN:
                self._reads.popitem(last=False)
            self._reads[shard] = found
        return found

    def mapped(self, shard: int) -> memoryview | None:
        """The whole of a shard's local file; None for one that is read by ranged requests.

        For what is long: a page that is first looked at costs more than a short read.
        """
        found = self._map(shard)
        return None if found is None else found.whole

    def array(self, shard: int, start: int, size: int) -> npt.NDArray[np.uint8] | None:
        """Bytes of `mapped` as an array: unlike a memoryview, it is nothing to a garbage
        collector. Its pages are asked for at once, not one by one as they are looked at."""
        found = self._map(shard)
        if found is None:
            return None
        if size > AT_ONCE and self._populates:
            first = start - start % mmap.PAGESIZE
            try:
                found.file.madvise(POPULATE_READ, first, start - first + size)
            except OSError:  # an older kernel: they come as they are looked at
                self._populates = False
        return found.array[start : start + size]

    def _map(self, shard: int) -> _Map | None:
        found = self._maps.get(shard)
        if found is not None:
            return found
        file = self._open(shard)
        if file is None:
            return None
        with file:
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self._maps) >= OPEN:
            self._maps.popitem(last=False)
        found = self._maps[shard] = _Map(held, memoryview(held), np.frombuffer(held, np.uint8))
        return found

    def _open(self, shard: int) -> BinaryIO | None:
        """A shard's local file, of the size it should have; None where there is none."""
        entry = self.entries[shard]
        path = self.place.local(entry.name)
        if path is None:
            if self._cache is None:
                return None
            path = self._cache.path(self.place, entry)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise DataError(
                "missing_shard", f"{path}: the manifest names it and it is not there"
            ) from error
        except OSError as error:
            raise DataError("unreadable", f"{path}: {error}") from error
        size = os.fstat(file.fileno()).st_size
        if size != entry.bytes:
            file.close()
            code = "truncated" if size < entry.bytes else "altered"
            raise DataError(code, f"{path}: {size} bytes, the manifest says {entry.bytes}")
        return file

    def fetch_ahead(self, now: Sequence[int], later: Sequence[int]) -> None:
        """Begin to copy the shards that are needed `later`, where the cache holds both.

        In the background, one shard after the other; what fails there fails again, with a message,
        where it is read.
        """
        if self._cache is None or self.place.local("") is not None:
            return
        size = sum(self.entries[shard].bytes for shard in {*now, *later})
        busy = self._ahead is not None and self._ahead.is_alive()
        if busy or size > self._cache.limit:
            return
        self._ahead = threading.Thread(target=self._copy, args=(tuple(later),), daemon=True)
        self._ahead.start()

    def _copy(self, shards: Sequence[int]) -> None:
        assert self._cache is not None
        with contextlib.suppress(ShardError, FileNotFoundError):
            for shard in shards:
                self._cache.path(self.place, self.entries[shard])

    def _read_index(self, entry: ShardEntry) -> Index:
        name = index_name(entry.name)
        where = f"{self.place.url}/{name}"
        try:
            data = self.place.read(name)
        except FileNotFoundError as error:
            raise DataError("missing_index", f"{where}: {entry.name} needs it") from error
        if bytes_digest(data) != entry.index_sha256:
            raise DataError("altered", f"{where}: not the index that the manifest names")
        try:
            table = index_table(data)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise bad_index(where, error) from error
        rows, outlines = read_rows(table, where), outlines_of(table, where)
        said = {
            "documents": len(rows),
            **{name: rows.total(name) for name in ("chunks", "characters", "words")},
        }
        wrong = {
            key: (n, getattr(entry, key)) for key, n in said.items() if getattr(entry, key) != n
        }
        end = rows.end
        if wrong or end > entry.bytes:
            raise DataError(
                "index_disagrees",
                f"{where}: its rows sum to other counts than the manifest's {wrong}, or end at "
                f"{end} of {entry.bytes} bytes; compose the set again",
            )
        return rows, outlines

    def _chosen(self, manifest: Manifest) -> tuple[ShardEntry, ...]:
        own = [entry for entry in manifest.shards if entry.split == self.settings.split]
        streams = self.settings.streams
        found = [entry for entry in own if streams is None or entry.stream in streams]
        if found:
            return tuple(found)
        there = sorted({f"{entry.split}/{entry.stream}" for entry in manifest.shards})
        raise DataError(
            "empty_set",
            f"set {self.name!r}: {self.place.url} has no shards of split "
            f"{self.settings.split!r}{f' and streams {list(streams)}' if streams else ''}; it has "
            f"{there or 'none at all'}",
        )

    def _restrict(self) -> None:
        """Keep the documents of a subset, then of a cap: functions of the shards alone."""
        kept = self._cap(self._subset())
        if kept is None:
            return
        self.entries = tuple(entry for entry in self.entries if kept.get(entry.name))
        self._kept = {place: kept[entry.name] for place, entry in enumerate(self.entries)}
        if not self.entries:
            fits = "fits its cap" if self.settings.subset is None else "fits its subset and cap"
            raise DataError("empty_set", f"set {self.name!r}: no document {fits}")

    def _subset(self) -> dict[str, frozenset[int]] | None:
        """The documents whose digest falls below the share. A smaller share's are among them."""
        share = self.settings.subset
        if share is None:
            return None
        return {
            entry.name: frozenset(
                place
                for place, key in enumerate(self._read_index(entry)[0].keys)
                if subset_of(key) < share
            )
            for entry in self.entries
        }

    def _cap(self, given: dict[str, frozenset[int]] | None) -> dict[str, frozenset[int]] | None:
        """Of the documents `given` (None: all), those of a cap: shards, then documents, by digest
        until it is full, so that a larger cap holds a smaller one's documents."""
        left, seconds = self.settings.max_documents, self.settings.max_seconds
        if left is None and seconds is None:
            return given
        kept: dict[str, frozenset[int]] = {}
        order = sorted(self.entries, key=lambda e: hashlib.sha256(e.sha256.encode()).digest())
        for entry in order:
            own = None if given is None else given[entry.name]
            rows = [
                (place, row)
                for place, row in enumerate(self._read_index(entry)[0])
                if own is None or place in own
            ]
            rows.sort(key=lambda one: _digest(one[1].key))
            chosen = []
            for place, row in rows:
                full = left == 0 or (seconds is not None and row.seconds > seconds)
                if full:
                    break
                chosen.append(place)
                left = None if left is None else left - 1
                seconds = None if seconds is None else seconds - row.seconds
            if chosen:
                kept[entry.name] = frozenset(chosen)
            if len(chosen) < len(rows):
                break
        return kept


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    try:
        return os.pread(file.fileno(), size, start)
    except OSError as error:
        raise DataError("unreadable", f"{file.name}: {error}") from error


def subset_of(key: str) -> float:
    """Where a document stands between 0 and 1: it is in every subset above that."""
    return fraction(0, "subset", key)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def open_manifest(settings: SetSettings, run: DataSettings) -> tuple[Place, Manifest]:
    """The folder and manifest that an address leads to. Raises `DataError` where there is none."""
    address = settings.shards
    plain, _, query = address.partition("?")
    if plain.rstrip("/").endswith(f"/{NAME}") or plain == NAME:
        address = plain.rstrip("/").removesuffix(NAME).rstrip("/") or "."
        address = f"{address}?{query}" if query else address
    place = place_of(address, run.timeout, run.retries)
    try:
        return place, read_manifest(place.read)
    except FileNotFoundError:
        pass
    place, folder = place_of(address, run.timeout, run.retries), _composition(place, settings)
    below = place_of(_below(address, folder), run.timeout, run.retries)
    try:
        return below, read_manifest(below.read)
    except FileNotFoundError as error:
        raise DataError(
            "missing_manifest", f"{below.url}: the run's pointer leads there, and no {NAME} is"
        ) from error


def _below(address: str, folder: str) -> str:
    plain, _, query = address.partition("?")
    return f"{plain.rstrip('/')}/{folder}{f'?{query}' if query else ''}"


def _composition(place: Place, settings: SetSettings) -> str:
    """The folder of an OUT's composition, from the pointer of a run."""
    recipe = settings.recipe
    if recipe is None:
        names = place.names("runs")
        found = [n.removesuffix(".json") for n in names or [] if n.endswith(".json")]
        whole = [name for name in found if not name.endswith(".trial")] or found
        if len(whole) != 1:
            raise DataError(
                "missing_manifest",
                f"{place.url}: has neither a {NAME} nor one run to follow"
                + (f": name one of {whole} as recipe" if whole else "; is it a curated OUT?"),
            )
        recipe = whole[0]
    try:
        pointer = json.loads(place.read(f"runs/{recipe}.json"))
        key = pointer["compose"]
    except FileNotFoundError as error:
        raise DataError("missing_manifest", f"{place.url}: no run of {recipe!r}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("bad_pointer", f"{place.url}/runs/{recipe}.json: {error!r}") from error
    if not (isinstance(key, str) and key.isalnum()):
        raise DataError("bad_pointer", f"{place.url}/runs/{recipe}.json: compose is {key!r:.80}")
    return f"compose/{key}"


def _view(stream: str, settings: SetSettings, manifest: Manifest) -> View:
    """The settings' view of a stream; what they leave open is the manifest's, else fine."""
    views = manifest.views if isinstance(manifest.views, Mapping) else {}
    said: Any = views.get(stream) or {}
    kind = settings.granularity or said.get("granularity", "fine")
    bounds = None
    if kind == "coarse":
        gap = settings.coarse_max_gap
        longest = settings.coarse_max_chunk
        bounds = (
            float(said.get("coarse_max_gap", 2.0) if gap is None else gap),
            float(said.get("coarse_max_chunk", 30.0) if longest is None else longest),
        )
    policy = settings.policy
    if policy is None and said.get("policy") is not None:
        try:
            policy = pydantic.TypeAdapter(Policy).validate_python(said["policy"])
        except pydantic.ValidationError as error:
            raise DataError(
                "bad_manifest", f"{NAME}: the policy of stream {stream!r}: {error}"
            ) from error
    return View(coarse=bounds, policy=policy)


def open_sets(run: DataSettings) -> Sequence[ShardSet]:
    """All sets of a mixture, in the order of their names."""
    return _opened(run.sets, "set", run)


def open_experiments(run: DataSettings) -> Sequence[ShardSet]:
    """The sets of all experiments, in the order of their names."""
    return _opened(run.experiments, "experiment", run)


def _opened(sets: Mapping[str, SetSettings], kind: str, run: DataSettings) -> Sequence[ShardSet]:
    found = []
    for name in sorted(sets):
        try:
            found.append(ShardSet(name, sets[name], run))
        except ShardError as error:
            raise DataError(error.code, f"{kind} {name!r}: {error}") from error
    return found
