"""What of an OUT no finished run reaches any more, and how it is removed.

Reached is what a pointer in `runs/` leads to by its keys; looks at files (gather) are always kept,
because they save digesting and hold nothing else. Work of a run that did not finish is kept as
well: it may be hours of transcripts that the same command would go on from. Anything that does not
look like ours is left alone. Removal goes so that a crash in the middle leaves no half thing that
looks whole: manifests go before shards, commits before the tars that they name.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline import commits, layout
from pipeline.locks import Holder, PhaseBusyError, held_by
from pipeline.pointers import Pointer, read_pointers
from schemas.manifest import NAME, read_manifest
from schemas.shard import ShardError
from schemas.store import Entry, Store, StoreError

KEYED = ("hear", "annotate", "extract", "measure", "select", "synthesize", "arrange")
DEAR = (
    "hear",
    "annotate",
    "extract",
    "measure",
    "synthesize",
)  # phases whose unfinished work is worth keeping
STORED = ("hear", "synthesize")  # phases that store audio
SPILLED = ("losers/", "keys/", "near/")  # below select, of no use once it has judged
FRESH_SECONDS = 60.0  # a log that was written within this belongs to a run that may be at work

_KEY = re.compile(r"[0-9a-f]{32}")
_STAGED = re.compile(r".+#[0-9]+")  # what a killed upload leaves on a local disk


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One object that can go, or a note that must be changed before."""

    kind: str
    name: str
    size: int  # bytes that removing it frees
    instead: bytes | None = None  # not removed: rewritten to this


@dataclasses.dataclass(frozen=True, kw_only=True)
class Garbage:
    """All that can go, in the order in which it must; and what is kept although unreached."""

    items: tuple[Item, ...]
    unfinished: Mapping[tuple[str, str], int]  # (phase, key) -> bytes

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """Objects and bytes by kind."""
        found: dict[str, tuple[int, int]] = {}
        for item in self.items:
            if item.instead is None:
                count, size = found.get(item.kind, (0, 0))
                found[item.kind] = (count + 1, size + item.size)
        return dict(sorted(found.items()))


# `layout.locks_folder`, read backwards.
_LOCK = re.compile(
    r"(?:(?P<phase>[a-z]+)/(?P<key>[0-9a-f]{32})/locks|compose/locks/(?P<composition>[0-9a-f]{32}))"
    r"/(?P<number>[0-9]{6})\.[a-z]+"
)


def refuse_while_held(store: Store, names: Sequence[str]) -> None:
    """Raise `PhaseBusyError` where a run is at work in this store, or may be."""
    folders = sorted({name.rsplit("/", 1)[0] for name in names if _lock_number(name)})
    known: dict[str, Holder] = {}
    for folder in folders:
        found = _LOCK.fullmatch(f"{folder}/000000.json")
        assert found is not None  # it was one above
        phase = found["phase"] or "compose"
        key = found["key"] or found["composition"]
        holder = held_by(store, phase, key)
        if holder is not None:
            raise _busy(store, f"run {holder.run} works on phase {phase} ({key[:8]})", holder)
    for name in names:
        if _lock_number(name) and name.endswith(".json"):
            with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
                holder = Holder(**json.loads(store.get(name)))
                known[holder.run] = holder
                if holder.alive_here() and holder.pid != os.getpid():
                    raise _busy(store, f"run {holder.run} is between two phases", holder)
    for run in _unfinished_runs(store, names):
        age = store.age(layout.log_name(run))
        if run not in known and age is not None and age < FRESH_SECONDS:
            raise PhaseBusyError(
                f"run {run} wrote its log in {store.url} {age:.0f} s ago and has not finished. "
                "Nothing was removed; try again when it is done, or in a minute"
            )


def _busy(store: Store, what: str, holder: Holder) -> PhaseBusyError:
    return PhaseBusyError(
        f"{what} in {store.url} (process {holder.pid} on {holder.host}, since {holder.since}). "
        "Nothing was removed; try again when it is done"
    )


def garbage(store: Store, forget: Collection[str] = (), unfinished: bool = False) -> Garbage:
    """What can be removed, `forget` naming recipes whose runs count as unwanted.

    With `unfinished`, also the work of runs that did not finish. Raises `StoreError` where the
    store has no such recipe, or none at all.
    """
    entries = store.list("")
    names = [entry.name for entry in entries]
    pointers = read_pointers(store)
    _check_forget(store, pointers, forget)
    kept = [pointer for pointer in pointers if pointer.name not in forget]
    if not kept and not forget and not unfinished:
        raise StoreError(
            f"{store.url} holds no finished run, so nothing says what is wanted there. Finish a "
            "run first; or give --unfinished to remove all but what is known of the files"
        )
    reached = {pair for pointer in kept for pair in pointer.reached()}
    spared = {} if unfinished else _spared(store, entries, reached)
    return Garbage(
        items=(
            *(Item("pointers", layout.run_pointer(name), 0) for name in sorted(forget)),
            *_entries(store, entries, kept),
            *_compositions(store, entries, kept),
            *_phases(store, entries, reached | set(spared)),
            *_logs(store, entries, names, kept, bool(spared)),
            *_staged(store),
        ),
        unfinished=spared,
    )


def remove(store: Store, found: Garbage) -> None:
    """Remove it, in its order, and the folders that are empty then."""
    folders = set()
    for _, group in itertools.groupby(found.items, _beside):
        items = list(group)
        if items[0].instead is not None:
            store.replace(items[0].name, items[0].instead)
        elif store.remote:
            store.delete_all([item.name for item in items])
        else:
            for path in [Path(store.url) / item.name for item in items]:
                folders.add(path.parent)
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
    root = Path(store.url)
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):  # not empty: the end of the climb
            while folder != root:
                folder.rmdir()
                folder = folder.parent


def _beside(item: Item) -> str:
    """Equal for what may go in any order: objects of one folder. What is changed stands alone."""
    return item.name.rpartition("/")[0] if item.instead is None else f"{item.name}/"


def _check_forget(store: Store, pointers: Sequence[Pointer], forget: Collection[str]) -> None:
    names = sorted(pointer.name for pointer in pointers)
    for name in forget:
        if name not in names:
            listed = ", ".join(names) or "none"
            raise StoreError(f"{store.url} has no run of a recipe {name!r}; it has: {listed}")


def _keyed(name: str) -> tuple[str, str, str] | None:
    """Phase, key and the rest of a name below a phase's folder; None for anything else."""
    parts = name.split("/", 2)
    if len(parts) < 3 or not _KEY.fullmatch(parts[1]):
        return None
    return parts[0], parts[1], parts[2]


def _lock_number(name: str) -> int:
    """The number of a lock, its heartbeat or its release; 0 for what is none of these."""
    found = _LOCK.fullmatch(name)
    return int(found["number"]) if found else 0


def _unfinished_runs(store: Store, names: Sequence[str]) -> list[str]:
    """Runs whose log does not end as that of a finished run does."""
    found = []
    for name in names:
        if re.fullmatch(r"logs/[^/]+\.jsonl", name):
            lines = store.get(name).rstrip().rsplit(b"\n", 1)
            try:
                done = json.loads(lines[-1] or b"{}").get("event") == "counters"
            except ValueError:  # cut off by a kill
                done = False
            if not done:
                found.append(name.removeprefix("logs/").removesuffix(".jsonl"))
    return found


def _spared(
    store: Store, entries: Sequence[Entry], reached: set[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Unreached phases, all of whose commits are by runs that did not finish, with their bytes."""
    unfinished = set(_unfinished_runs(store, [entry.name for entry in entries]))
    by: dict[tuple[str, str], set[str]] = defaultdict(set)
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        place = _keyed(entry.name)
        if place is None or place[0] not in DEAR or place[:2] in reached:
            continue
        sizes[place[:2]] += entry.size
        if place[2].startswith("commits/") and unfinished:
            by[place[:2]].add(str(commits.about(store, entry.name).get("run")))
    return {pair: sizes[pair] for pair, runs in sorted(by.items()) if runs <= unfinished}


def _phases(store: Store, entries: Sequence[Entry], keep: set[tuple[str, str]]) -> Iterator[Item]:
    wanted = _tars(store, entries, keep)
    newest: dict[str, int] = defaultdict(int)
    for entry in entries:
        folder = entry.name.rsplit("/", 1)[0]
        newest[folder] = max(newest[folder], _lock_number(entry.name))
    judged = {name.split("/")[1] for name in (e.name for e in entries) if _is_select_manifest(name)}
    for entry in entries:
        place = _keyed(entry.name)
        if place is None or place[0] not in (*KEYED, "gather", "compose"):
            continue
        phase, key, rest = place
        if phase in KEYED and (phase, key) not in keep:
            yield Item(_kind(phase, rest), entry.name, entry.size)
        elif 0 < _lock_number(entry.name) < newest[entry.name.rsplit("/", 1)[0]]:
            yield Item("old locks", entry.name, entry.size)
        elif phase in KEYED and rest.startswith("attempts/"):
            yield Item("notes of attempts", entry.name, entry.size)
        elif phase in STORED and rest.startswith("tars/") and entry.name not in wanted:
            yield Item("audio of lost attempts", entry.name, entry.size)
        elif phase == "select" and rest.startswith(SPILLED) and key in judged:
            yield Item("spilled duplicates", entry.name, entry.size)


def _kind(phase: str, rest: str) -> str:
    notes = {"locks": "old locks", "attempts": "notes of attempts"}
    return notes.get(rest.split("/", 1)[0], f"{phase} of other settings")


def _is_select_manifest(name: str) -> bool:
    return bool(re.fullmatch(r"select/[0-9a-f]{32}/manifest\.json", name))


def _tars(store: Store, entries: Sequence[Entry], keep: set[tuple[str, str]]) -> set[str]:
    """The tars that commits name."""
    found = set()
    for entry in entries:
        place = _keyed(entry.name)
        if place and place[0] in STORED and place[:2] in keep and place[2].startswith("commits/"):
            digest = commits.about(store, entry.name).get("tar")
            if digest:
                folder = place[1] if place[0] == "hear" else layout.phase_folder(*place[:2])
                found.add(layout.tar_name(folder, digest))
    return found


def _compositions(
    store: Store, entries: Sequence[Entry], kept: Sequence[Pointer]
) -> Iterator[Item]:
    """Compositions and reports of other runs; the manifest of each first."""
    reached = {pointer.compose for pointer in kept}
    gone = [
        (place, entry)
        for entry in entries
        if (place := _keyed(entry.name)) is not None
        and place[0] in ("compose", "report")
        and place[1] not in reached
    ]
    for place, entry in sorted(gone, key=lambda pair: (pair[0][2] != NAME, pair[1].name)):
        kind = "compositions" if place[0] == "compose" else "reports"
        yield Item(kind, entry.name, 0 if _linked(store, entry.name) else entry.size)


def _linked(store: Store, name: str) -> bool:
    """Whether a file has another name that stays or goes by itself: removing it frees nothing."""
    local = store.local(name)
    return local is not None and local.stat().st_nlink > 1


def _entries(store: Store, entries: Sequence[Entry], kept: Sequence[Pointer]) -> Iterator[Item]:
    """Notes of shards: turned to a composition that stays, or removed with their shard."""
    notes = [entry for entry in entries if entry.name.startswith("compose/entries/")]
    present = {entry.name for entry in entries}
    staying = _staying(store, kept) if notes else {}
    for entry in notes:
        note = json.loads(store.get(entry.name))
        tar = str(note["tar"])
        if tar in staying.values() and tar in present:
            continue
        place = staying.get((note["entry"]["name"], note["entry"]["sha256"]))
        if place is not None and place in present:
            moved = json.dumps({**note, "tar": place}, sort_keys=True).encode()
            yield Item("notes of shards", entry.name, 0, moved)
        else:
            yield Item("notes of shards", entry.name, entry.size)


def _staying(store: Store, kept: Sequence[Pointer]) -> dict[tuple[str, str], str]:
    """Where the shards of the compositions that stay lie, by name and digest."""
    found = {}
    for pointer in kept:
        folder = layout.composition_folder(pointer.compose)
        try:
            manifest = read_manifest(lambda name, folder=folder: store.get(f"{folder}/{name}"))
        except (ShardError, FileNotFoundError) as error:
            raise StoreError(
                f"{store.where(folder)} is the composition of recipe {pointer.name}, but its "
                f"manifest cannot be read ({error}). Run curate with that recipe again, or give "
                f"--forget {pointer.name}; nothing was removed"
            ) from error
        for shard in manifest.shards:
            found[(shard.name, shard.sha256)] = f"{folder}/{shard.name}"
    return found


def _logs(
    store: Store,
    entries: Sequence[Entry],
    names: Sequence[str],
    kept: Sequence[Pointer],
    spared: bool,
) -> Iterator[Item]:
    """Logs of other runs; those of unfinished runs stay as long as their work does."""
    wanted = {layout.log_name(pointer.run) for pointer in kept}
    if spared:
        wanted |= {layout.log_name(run) for run in _unfinished_runs(store, names)}
    for entry in entries:
        if re.fullmatch(r"logs/[^/]+\.jsonl", entry.name) and entry.name not in wanted:
            yield Item("logs", entry.name, entry.size)


def _staged(store: Store) -> Iterator[Item]:
    """What killed writes left on a local disk; a listing of the store does not show it."""
    root = store.local("")
    if root is None:
        return
    for phase in (*KEYED, "gather", "compose", "report", "runs", "logs"):
        for path in sorted((root / phase).rglob("*#*")):
            if _STAGED.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                name = path.relative_to(root).as_posix()
                yield Item("unfinished writes", name, path.stat().st_size)
