"""DATA as it is now, without digesting or committing anything: what `plan` knows before a run.

Files that a run has looked at before are known exactly. Of the others the headers of some are
asked, spread evenly over them, and the length of the rest is judged by their size, as the known
files of their kind have it.
"""

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping

from pipeline import commits, suppression
from pipeline import outline as outlines
from pipeline.archives import found_in_archives
from pipeline.commits import ledger
from pipeline.curate import Options
from pipeline.fetching import Fetching, found_on_web
from pipeline.hub_datasets import found_in_dataset, names_dataset
from pipeline.kinds import taken
from pipeline.phases import gather as gathering
from pipeline.phases.gather import BYTES_PER_SECOND, Census, Look, census, look_id
from pipeline.phases.objects import found_in_objects, names_objects
from schemas.ids import bytes_digest
from schemas.records import Drop, Modality, Recording
from schemas.store import Store
from transforms.door import Door, MediaError
from transforms.gather.crawl import Crawl
from transforms.gather.entry import AUDIO
from transforms.gather.found import Found
from transforms.gather.listing import find
from transforms.gather.web.data import recognise

PROBED = 100  # files whose headers are asked where they are not known yet


@dataclasses.dataclass(frozen=True)
class Scan:
    """DATA as it is now."""

    census: Census
    new: Mapping[str, float]  # look id -> bytes, of files that gather would look at
    known: int
    probed: int
    guessed: int


def scan_data(
    store: Store,
    options: Options,
    crawl: Crawl,
    own: Modality = "audio",
    kinds: frozenset[Modality] = AUDIO,
) -> Scan:
    """List what a stream takes of DATA, and know or estimate how much audio each file is."""
    key = outlines.gather_key()
    generation = gathering.generation(store, key) + int(options.rehash)
    listed = suppression.suppressed(store)
    found = suppression.heeded(listed, taken(_found(store, options, crawl, kinds), own, kinds))
    looks = {
        place: look_id(item.path, generation)
        for place, item in enumerate(found)
        if item.drop is None
    }
    remembered = _remembered(store, key, {name for name in looks.values() if name})
    new = {
        name: found[place]
        for place, name in looks.items()
        if name is not None and name not in remembered
    }
    sizes = {name: gathering.size_of(item.path) for name, item in new.items()}
    seconds, probed = _estimates(new, sizes, remembered.values())
    pairs: list[tuple[Found, Recording | Drop]] = []
    for place, item in enumerate(found):
        name = looks.get(place)
        if item.drop is not None:
            pairs.append((item, item.drop))
        elif name is None:
            gone = Drop(
                id=item.source.id,
                root=item.source.id,
                step=crawl.name(),
                reason="missing",
                seconds=0.0,
            )
            pairs.append((item, gone))
        elif name in remembered:
            pairs.append((item, suppression.heeded_bytes(listed, item, remembered[name])))
        else:
            pairs.append((item, _stand_in(item, name, sizes[name], seconds[name])))
    return Scan(census(pairs), sizes, len(remembered), probed, len(new) - probed)


def _found(store: Store, options: Options, crawl: Crawl, kinds: frozenset[Modality]) -> list[Found]:
    """The items of DATA; of the web what a run has fetched before, for nothing is asked here."""
    if names_objects(options.data):
        return found_in_objects(options.data, crawl, store, None, {}, "")
    if names_dataset(options.data, options.kind):
        return found_in_dataset(options.data, crawl, store, None, {}, lambda kind, value: None)
    data = recognise(options.data, options.kind, kinds)
    if data is None:
        return list(find(options.data, crawl, kinds))
    known = Fetching(
        store=store,
        crawl=crawl,
        workers=1,
        run=None,
        run_id="",
        device="",
        observe=lambda kind, value: None,
    )
    if data.archived:
        return found_in_archives(data, known, None, kinds)
    return found_on_web(data, known)


def _remembered(store: Store, key: str, wanted: set[str]) -> dict[str, Recording]:
    known = ledger(store, "gather", key)
    return {
        look.id: look.recording
        for name in known.commits_of(wanted)
        for look in commits.records(store, name, "row", Look)
        if look.id in wanted and look.id in known.done
    }


def _stand_in(item: Found, look: str, size: float, seconds: float) -> Recording:
    """A file that was not digested, as a recording that no phase knows."""
    name = bytes_digest(look.encode())
    return Recording(id=name, uri=item.source.uri, size=int(size), seconds=seconds)


def _estimates(
    new: Mapping[str, Found], sizes: Mapping[str, float], known: Iterable[Recording]
) -> tuple[dict[str, float], int]:
    """Seconds of each new file: by its header, or by its size as files of its kind have them."""
    names = sorted(new)
    step = max(1, math.ceil(len(names) / PROBED))
    heard = {name: new[name].path for name in names[::step] if new[name].source.kind == "audio"}
    asked = _headers(heard)
    ratios = _Ratios()
    for recording in known:
        ratios.add(recording.uri, recording.seconds, recording.size)
    for name, seconds in asked.items():
        ratios.add(new[name].source.uri, seconds, sizes[name])
    found = {
        name: asked[name] if name in asked else ratios.seconds(new[name].source.uri, sizes[name])
        for name in names
        if new[name].source.kind == "audio"
    }
    found |= {name: 0.0 for name in names if new[name].source.kind == "page"}
    return found, len(asked)


def _headers(paths: Mapping[str, str]) -> dict[str, float]:
    """What the headers of some files say; files that say nothing are left out."""
    found: dict[str, float] = {}
    if not paths:
        return found
    with Door() as door:
        for name, path in paths.items():
            try:
                seconds = door.probe(path).seconds
            except (MediaError, OSError):
                continue
            if seconds > 0:
                found[name] = seconds
    return found


class _Ratios:
    """Seconds per byte of files by suffix."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def add(self, uri: str, seconds: float, size: float) -> None:
        if seconds > 0 and size > 0:
            for suffix in (os.path.splitext(uri)[1].lower(), "*"):
                sums = self._sums.setdefault(suffix, [0.0, 0.0])
                sums[0] += seconds
                sums[1] += size

    def seconds(self, uri: str, size: float) -> float:
        sums = self._sums.get(os.path.splitext(uri)[1].lower()) or self._sums.get("*")
        return size * sums[0] / sums[1] if sums else size / BYTES_PER_SECOND
