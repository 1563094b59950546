"""Notes of a round that was killed: what was noted whole is known, wherever the kill came."""

import dataclasses
import errno
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.phases.fetch import fetch_key, frontier
from pipeline.phases.fetch_notes import Notes, clear, noted, notes_folder, opened
from pipeline.purge import Gone, _notes
from schemas.store import Store
from transforms.gather.web.frontier import Row, flat, new
from transforms.gather.web.urls import canonical

KEY, PART = fetch_key(), "0" * 32


def row(number: int, detail: str = "") -> Row:
    url = canonical(f"http://example.org/{number}.flac")
    return dataclasses.replace(new(url), state="dead", reason="gone", detail=detail, attempts=1)


def write(store: Store, rows: list[Row]) -> Path:
    with opened(store, KEY, PART) as notes:
        for one in rows:
            notes.add(one)
    (path,) = (Path(store.url) / notes_folder(KEY)).iterdir()
    return path


@settings(deadline=None, max_examples=60)
@given(details=st.lists(st.text(max_size=8), min_size=1, max_size=5), data=st.data())
def test_a_torn_line_costs_its_row_alone_and_another_attempt_goes_on(
    details: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("out"))
    rows = [row(number, detail) for number, detail in enumerate(details)]
    path = write(store, rows)
    written = path.read_bytes()
    cut = data.draw(st.integers(0, len(written)))
    path.write_bytes(written[:cut])
    lines = written.split(b"\n")[1:-1]  # after the names
    ends = [len(written.split(b"\n")[0]) + 1]
    for line in lines:
        ends.append(ends[-1] + len(line) + 1)
    whole = sum(end - 1 <= cut for end in ends[1:])  # a line may lack nothing but its end
    assert list(noted(store, KEY)) == [flat(one) for one in rows[:whole]]
    again = [row(100), row(101)]
    write(store, again)
    known = frontier(store, KEY, [one.id for one in [*rows, *again]])
    assert known == {one.id: one for one in [*rows[:whole], *again]}


def test_notes_of_other_fields_are_read_by_their_names(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = write(store, [row(1)])
    names, values = path.read_text().splitlines()
    turned = json.dumps(["id", *json.loads(names)[:0:-1]])
    told = json.loads(values)
    path.write_text(
        f"{turned}\n{json.dumps([told[0], *told[:0:-1]])}\n{json.dumps(flat(row(2)))}\n"
    )
    assert list(noted(store, KEY)) == [flat(row(1)), flat(row(2))]


def test_a_note_that_is_cut_short_is_no_note(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        name = "notes"
        room = 10_000

        def write(self, data: Any) -> int:
            took = bytes(data)[: self.room]
            self.room -= len(took)
            return super().write(took)

    file = Full()
    notes = Notes(Store(tmp_path), KEY, PART, file)
    notes.add(row(1))
    file.room = 50
    with pytest.raises(OSError, match="cut short") as caught:
        notes.add(row(2))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("torn", [b"", b'["', b'\n["x", "http://example.org/1.fl'])
def test_a_purge_leaves_no_note_of_what_goes_and_no_torn_line(torn: bytes, tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = write(store, [row(1), row(2), row(3)])
    with path.open("ab") as file:
        file.write(torn)
    purged = Gone(uris=frozenset([row(2).url] if not torn else [row(1).url]))
    _notes(store, purged)
    left = [row(1), row(3)] if not torn else [row(2), row(3)]
    assert list(noted(store, KEY)) == [flat(one) for one in left]
    assert torn.strip() not in path.read_bytes() or not torn
    assert all(url.encode() not in path.read_bytes() for url in purged.uris)
    before = path.read_bytes()
    _notes(store, purged)
    assert path.read_bytes() == before
    write(store, [row(4)])
    assert list(noted(store, KEY)) == [flat(one) for one in [*left, row(4)]]


def test_notes_are_gone_once_they_are_committed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = write(store, [row(1)])
    clear(store, KEY, PART, [row(1)])
    assert not path.exists() and list(noted(store, KEY)) == []


def test_a_store_that_cannot_append_has_an_object_a_note() -> None:
    store = Store("memory://")
    with opened(store, KEY, PART) as notes:
        assert not notes.quick
        notes.add(row(1))
        notes.add(row(2, "ö"))
    assert sorted(map(str, noted(store, KEY))) == sorted(
        map(str, (flat(row(1)), flat(row(2, "ö"))))
    )
    clear(store, KEY, PART, [row(1), row(2)])
    assert list(noted(store, KEY)) == []
