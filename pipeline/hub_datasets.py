"""DATA that is a Hugging Face dataset: each row is a file in OUT, or a drop that says why not.

`hf://owner/name[@revision][:config[:split]]`, or with `--kind dataset` a local folder. What a data
set consists of is noted in OUT when it is read; `plan` goes by that note, and asks nobody.
"""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pipeline import bodies, layout, suppression
from pipeline.commits import ledger
from pipeline.dataset_library import HUB, Named, Unit, named, opened
from pipeline.phases.dataset_rows import (
    DatasetJob,
    DatasetRow,
    dataset_key,
    known_rows,
    trouble,
    unit_uri,
)
from schemas.ids import digest_of
from schemas.records import Source, source_id
from schemas.store import Store
from transforms.gather.crawl import Crawl
from transforms.gather.dataset_columns import Columns
from transforms.gather.found import Found, dropped

Run = Callable[[DatasetJob, Sequence[Unit]], None]
Observe = Callable[[str, Any], None]


def names_dataset(data: str, kind: str | None) -> bool:
    """Whether DATA is a data set: by its scheme, or because `--kind` says so."""
    return data.lower().startswith(HUB) or kind == "dataset"


def found_in_dataset(
    data: str, crawl: Crawl, store: Store, run: Run | None, common: dict[str, Any], observe: Observe
) -> list[Found]:
    """Every row of DATA: a file with its bytes, or a drop with its reason.

    `run` None: nothing is read, what was read before is told. `common`: as a job has them.
    """
    asked = named(data, crawl)
    note = f"{layout.phase_folder('unpack', dataset_key())}/listings/{_request(asked, crawl)}.json"
    if run is None:
        units, whole = _noted(store, note, asked)
        return _found(units, store, crawl, asked, whole)
    units = opened(asked, crawl)
    lines = [dataclasses.asdict(unit) for unit in units]
    told = {"state": _state(asked), "units": lines}
    store.replace(note, json.dumps(told, sort_keys=True).encode())
    observe("dataset", _told(asked, units))
    job = DatasetJob(
        max_bytes=crawl.max_bytes,
        follow_links=crawl.follow_links,
        unwanted=frozenset(
            value for kind, value in suppression.suppressed(store).owned if kind == "recording"
        ),
        **common,
    )
    _read(units, job, run, crawl.web.max_items)
    return _found(units, store, crawl, asked, True)


def _read(units: Sequence[Unit], job: DatasetJob, run: Run, limit: int | None) -> None:
    """Read what is not read yet; under a limit one unit after the other, as far as it goes."""
    done = ledger(job.store, job.phase, job.key).done
    if limit is None:
        todo = [unit for unit in units if unit.id not in done]
        if todo:
            run(job, todo)
        return
    for unit in units:
        if limit > (had := len(known_rows(job.store, unit))) and unit.id not in done:
            run(dataclasses.replace(job, rows=limit), [unit])
            had = len(known_rows(job.store, unit))
        limit -= had
        if limit <= 0:
            return


def _found(
    units: Sequence[Unit], store: Store, crawl: Crawl, asked: Named, whole: bool
) -> list[Found]:
    """The rows of all units. Behind a unit that was not read to its end the numbers of the rows of
    its split are not known: what is there waits."""
    done = ledger(store, "unpack", dataset_key()).done
    limit = crawl.web.max_items
    found: list[Found] = []
    before: Counter[str] = Counter()
    stuck: set[str] = set()
    for unit in units:
        if limit is not None and len(found) >= limit:
            return found[:limit]
        if unit.split in stuck:
            found.append(_lost(unit.uri, "waiting", "behind one that was not read to its end"))
            continue
        rows = known_rows(store, unit)
        found += [
            _row(unit, place, before[unit.split] + place, row, store)
            for place, row in enumerate(rows)
        ]
        before[unit.split] += len(rows)
        if unit.id not in done and (limit is None or len(found) < limit):
            found.append(_lost(unit.uri, *trouble(store, unit)))
            stuck.add(unit.split)
    if not whole:
        found.append(_lost(asked.name, "waiting", "what changed since it was read"))
    return found if limit is None else found[:limit]


def _row(unit: Unit, place: int, number: int, row: DatasetRow, store: Store) -> Found:
    uri = unit_uri(unit, place)
    where = f"{unit.name}{':' + unit.split if unit.split else ''}:{number}"
    source = Source(
        id=source_id(uri, where),
        uri=uri,
        provenance=where,
        text=row.text,
        speaker=row.speaker,
        language=row.language,
        licence=row.licence,
        channel=row.channel,
        feed=row.feed,
    )
    if row.reason:
        return Found(source=source, drop=dropped(source, row.reason, row.detail))
    return Found(source=source, path=bodies.place_of(store, row.sha256))


def _lost(uri: str, reason: str, detail: str) -> Found:
    source = Source(id=source_id(uri, uri), uri=uri, provenance=uri)
    return Found(source=source, drop=dropped(source, reason, detail))


def _told(asked: Named, units: Sequence[Unit]) -> dict[str, Any]:
    """For the log: what is taken, and what is not."""
    first = units[0].columns if units else Columns(audio="", given=())
    return {
        "name": asked.name,
        "revision": units[0].revision if units else None,
        "splits": sorted({unit.split for unit in units}),
        "columns": {"audio": first.audio, **dict(first.given)},
        "ignored": list(first.ignored),
    }


def _request(asked: Named, crawl: Crawl) -> str:
    """What was asked for, as far as it decides which units there are."""
    place = [asked.place, asked.revision, asked.config, asked.split]
    taken = crawl.dataset.model_dump(exclude={"config", "split"})
    ignored = list(crawl.ignore_columns)
    return digest_of("request", place, sorted(taken.items()), ignored, crawl.max_bytes)


def _noted(store: Store, note: str, asked: Named) -> tuple[list[Unit], bool]:
    """The units that were there when DATA was read last, and whether it is still the same."""
    try:
        told = json.loads(store.get(note))
    except FileNotFoundError:
        return [], False
    units = [_unit(line) for line in told["units"]]
    return units, told["state"] == _state(asked)


def _unit(line: dict[str, Any]) -> Unit:
    columns = line["columns"]
    return Unit(
        **{
            **line,
            "files": tuple(line["files"]),
            "columns": Columns(
                audio=columns["audio"],
                given=tuple((field, name) for field, name in columns["given"]),
                labels=tuple((name, tuple(names)) for name, names in columns["labels"]),
                ignored=tuple(columns["ignored"]),
            ),
        }
    )


def _state(asked: Named) -> str:
    """Of a local folder: its files by name, size and time. The hub is not asked."""
    if asked.remote:
        return ""
    found = []
    for folder, folders, names in os.walk(asked.root):
        folders.sort()
        for name in sorted(names):
            state = os.lstat(os.path.join(folder, name))
            path = os.path.relpath(os.path.join(folder, name), asked.root)
            found.append([os.fsencode(path).hex(), state.st_size, state.st_mtime_ns])
    return digest_of("folder", found)
