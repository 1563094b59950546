"""The suppression list of an OUT: numbered files of lines, each created once, never changed.

So two runs that find opt-outs at the same time lose none of them, on any store. All recipes of an
OUT share it; every run reads it whole (a line is some hundred bytes).
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence

from schemas.records import Drop, Recording
from schemas.store import Store, StoreError
from transforms.gather.found import Found, dropped
from transforms.gather.suppressed import Entry, Suppressed

FOLDER = "suppressed"
_FIELDS = frozenset(field.name for field in dataclasses.fields(Entry))


def entries(store: Store) -> list[Entry]:
    """All lines, the oldest first. Raises `StoreError` for a line that is none."""
    found = []
    for one in store.list(FOLDER):
        if not one.name.endswith(".jsonl"):
            continue
        text = store.get(one.name).decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                found.append(_entry(line, f"{store.where(one.name)}:{number}"))
    return found


def _entry(line: str, where: str) -> Entry:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{where} is no line of a suppression list ({error!r:.120}). A line is an object with "
            f"the fields {', '.join(sorted(_FIELDS))}; correct it, for nothing is fetched before"
        ) from error


def suppressed(store: Store) -> Suppressed:
    """The list as it stands."""
    return Suppressed.of(entries(store))


def add(store: Store, more: Sequence[Entry]) -> int:
    """Append what the list does not say yet. Returns how many lines that were."""
    known = entries(store)
    last = {(one.by, one.kind, one.value): one.lifted for one in known}
    fresh = {(one.by, one.kind, one.value): one for one in more}
    lines = [one for key, one in fresh.items() if last.get(key, True) != one.lifted]
    if not lines:
        return 0
    text = "".join(json.dumps(dataclasses.asdict(one), sort_keys=True) + "\n" for one in lines)
    number = len(store.list(FOLDER))
    while not store.put_if_absent(f"{FOLDER}/{number:06d}.jsonl", text.encode()):
        number += 1
    return len(lines)


def heeded(listed: Suppressed, found: Iterable[Found]) -> list[Found]:
    """The items of DATA, those that are not to be taken as drops."""
    if not listed:
        return list(found)
    return [
        Found(source=one.source, drop=dropped(one.source, "suppressed"))
        if one.drop is None and listed.source(one.source)
        else one
        for one in found
    ]


def heeded_bytes(listed: Suppressed, item: Found, answer: Recording | Drop) -> Recording | Drop:
    """What became of an item, once its bytes are known."""
    if isinstance(answer, Recording) and listed.recording(answer.id):
        return dropped(item.source, "suppressed")
    return answer
