"""Notes: what became of each URL of a round that has no commit yet.

A row is noted the moment its URL ends, so a kill costs the URLs in flight. Locally a part's notes
are lines at the end of one file; stores that cannot append have an object a note. Either is removed
once the round's commit holds the same rows. A line is one write, whole or torn: a torn one counts
for nothing, and its URL is asked for again.
"""

import contextlib
import errno
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

from pipeline import layout
from schemas.store import Store
from transforms.gather.web.frontier import FIELDS, Row, flat, values

READERS = 16  # notes that are read at the same time: in a bucket there is one for each URL


def notes_folder(key: str) -> str:
    return f"{layout.phase_folder('fetch', key)}/notes"


def _file_name(key: str, part: str) -> str:
    return f"{notes_folder(key)}/{part}.jsonl"


def _object_name(key: str, part: str, row: Row) -> str:
    return f"{notes_folder(key)}/{part}/{row.id}.jsonl"


class Notes:
    """Takes the rows of one part."""

    def __init__(self, store: Store, key: str, part: str, file: BinaryIO | None) -> None:
        self._store, self._key, self._part, self._file = store, key, part, file
        if file is not None:
            if file.tell():  # of an attempt that was killed: its last line may be torn
                file.write(b"\n")
            self._append(FIELDS)

    @property
    def quick(self) -> bool:
        """Whether a note is a short write: a thread would cost more than it does."""
        return self._file is not None

    def add(self, row: Row) -> None:
        """Note a row. Raises `OSError` or `StoreError` where the place is full or gone."""
        if self._file is None:
            self._store.replace(_object_name(self._key, self._part, row), _line(flat(row)))
        else:
            self._append(values(row))

    def _append(self, note: tuple[object, ...]) -> None:
        assert self._file is not None
        line = _line(note)
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, "a note was cut short: is the disk full?", self._file.name)


def _line(note: object) -> bytes:
    return json.dumps(note).encode() + b"\n"


@contextlib.contextmanager
def opened(store: Store, key: str, part: str) -> Iterator[Notes]:
    """The notes of a part, for more of them."""
    local = store.local(_file_name(key, part))
    if local is None:
        yield Notes(store, key, part, None)
        return
    local.parent.mkdir(parents=True, exist_ok=True)
    with local.open("ab", buffering=0) as file:
        yield Notes(store, key, part, cast(BinaryIO, file))


def clear(store: Store, key: str, part: str, rows: Iterable[Row]) -> None:
    """Remove the notes of a part, whose commit holds these rows."""
    store.delete(_file_name(key, part))
    store.delete_all([_object_name(key, part, row) for row in rows if store.remote])


def noted(store: Store, key: str) -> Iterator[Mapping[str, object]]:
    """All rows that are noted, as plain values by name."""
    names = [entry.name for entry in store.list(notes_folder(key))]
    with ThreadPoolExecutor(READERS, "notes") as pool:
        for data in (pool.map if store.remote else map)(store.get, names):
            yield from (row for row in _rows(data) if row is not None)


def purge(store: Store, key: str, stays: Callable[[Mapping[str, object]], bool]) -> None:
    """Leave the rows that stay, and no torn line: it may speak of one that does not."""
    for entry in store.list(notes_folder(key)):
        rows = list(_rows(store.get(entry.name)))
        left = [row for row in rows if row is not None and stays(row)]
        if len(left) != len(rows):
            store.replace(entry.name, b"".join(map(_line, left)))


def _rows(data: bytes) -> Iterator[Mapping[str, object] | None]:
    """The rows of one file: objects, or lists of values after a list of their names; None: torn.

    Names once, and not in every line, halve what each URL that ends costs.
    """
    names: list[str] | None = None
    for line in filter(None, data.split(b"\n")):
        try:
            note = json.loads(line)
        except ValueError:
            yield None
            continue
        if isinstance(note, dict):
            yield note
        elif note[0] == FIELDS[0]:  # no id is "id"
            names = note
        else:
            yield dict(zip(names, note, strict=True)) if names is not None else None
