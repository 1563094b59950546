"""From what a person types to the ledger of one run: a recipe's name, a run's id, a folder, a file.

Nothing is guessed: what may mean several runs is refused, and what is unknown is answered with the
runs that are there.
"""

import os
from collections.abc import Sequence

from pipeline.pointers import Pointer, read_pointers
from pipeline.verdicts import Verdicts, open_verdicts, verdicts_file
from schemas.store import Store, StoreError

SHORTEST = 6  # characters of a run's id or a composition's key


class UnknownRunError(ValueError):
    """No run, or no single one, is meant."""


def chosen_run(store: Store, text: str) -> Verdicts:
    """The ledger that `text` means. Raises `UnknownRunError`, `StoreError`."""
    folder, name = os.path.split(text)
    out, last = os.path.split(folder)
    if name.endswith(".parquet") and _is_file(text):
        return open_verdicts(Store(folder or "."), name)
    if name.endswith(".json") and last == "runs" and _is_file(text):
        return _named(Store(out or "."), name.removesuffix(".json"))
    pointers = read_pointers(store)
    if any(pointer.name == text for pointer in pointers):
        return _named(store, text)
    marked = _by_mark(store, text)
    if len(marked) == 1:
        return _opened(store, marked[0], text)
    if len(marked) > 1:
        raise UnknownRunError(f"{text!r} may mean {len(marked)} runs of {store.url}; give more")
    if os.path.isdir(text) or "://" in text:
        return _folder(Store(text), text)
    raise UnknownRunError(f"{store.url} has no run {text!r}; {_known(pointers)}")


def _is_file(text: str) -> bool:
    """Whether there is a file, or an object in a bucket, of that name."""
    if "://" not in text:
        return os.path.isfile(text)
    folder, name = os.path.split(text)
    return Store(folder).size(name) is not None


def _folder(store: Store, text: str) -> Verdicts:
    """The one recipe that an OUT holds."""
    pointers = read_pointers(store)
    if len(pointers) != 1:
        many = f"the runs of {len(pointers)} recipes" if pointers else "no finished run"
        how = f"{text.rstrip('/')}/runs/NAME.json"
        raise UnknownRunError(f"{text} holds {many}; name one as {how}: {_known(pointers)}")
    return _named(store, pointers[0].name)


def _named(store: Store, name: str) -> Verdicts:
    pointer = next((one for one in read_pointers(store) if one.name == name), None)
    if pointer is None:
        raise UnknownRunError(f"{store.url} has no run of a recipe {name!r}")
    return _opened(store, pointer.compose, name)


def _opened(store: Store, compose: str, text: str) -> Verdicts:
    try:
        return open_verdicts(store, verdicts_file(compose))
    except FileNotFoundError as error:
        raise StoreError(
            f"the run {text} left no ledger ({error}). Run curate with that recipe again: where "
            "everything is done, it only writes what reports are made of"
        ) from error


def _by_mark(store: Store, text: str) -> list[str]:
    """Compositions by the id of a run that ended in them, by their key, or by how these begin."""
    if len(text) < SHORTEST or "/" in text:
        return []
    found = {}
    for entry in store.list("report"):
        parts = entry.name.split("/")
        if parts[2:3] == ["runs"] and parts[-1].startswith(text):
            found[parts[1]] = True
        if parts[2:] == ["verdicts.parquet"] and parts[1].startswith(text):
            found[parts[1]] = True
    return list(found)


def _known(pointers: Sequence[Pointer]) -> str:
    if not pointers:
        return "it holds no finished run: run curate to its end first"
    return "it has " + ", ".join(f"{one.name} ({one.run})" for one in pointers)
