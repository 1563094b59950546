"""Dead letters: records that could not be worked on, found in the commits, and forgotten there.

A dead letter is a recording that decode let go of, a record that ended its workers (`crash`), or a
URL that could not be fetched. It stands in a commit like all that is done, so that no run tries it
for ever; nothing is built on it (later phases leave it out). Forgetting takes it, and nothing
else, out of its commit: the next run finds it not done. A commit that held nothing else is
removed. What is forgotten is under the phase's lock, and a crash in between leaves either the old
commit or the new one: the manifest that repeats it goes first.
"""

import dataclasses
import io
import re
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import commits, layout
from pipeline.commits import Content, ledger
from pipeline.failures import WELL_FORMED
from pipeline.locks import phase_lock
from pipeline.phases.fetch import fetch_key, frontier
from pipeline.phases.fetch_notes import noted
from schemas.ids import digest_of
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.gather.web.frontier import Row

PHASES = ("hear", "annotate", "extract", "measure", "synthesize")
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """One record that could not be worked on, and why."""

    phase: str
    key: str
    id: str  # of the recording, task, file of pages, page or URL
    step: str
    reason: str
    detail: str = ""

    def named(self, reason: str) -> bool:
        """Whether `reason` means it: `timeout`, `decode:timeout`, `fetch:timeout`, or `all`."""
        return reason in (self.reason, f"{self.step}:{self.reason}", "all")


def dead_letters(store: Store) -> list[DeadLetter]:
    """All dead letters of an OUT, phase by phase."""
    return [*_unfetched(store), *(one for pair in _keys(store) for one in _dead(store, *pair))]


def _keys(store: Store) -> list[tuple[str, str]]:
    found = {}
    for phase in PHASES:
        for entry in store.list(phase):
            parts = entry.name.split("/")
            if len(parts) == 4 and parts[2] == "commits" and _KEY.fullmatch(parts[1]):
                found[phase, parts[1]] = True
    return list(found)


def _dead(store: Store, phase: str, key: str) -> Iterator[DeadLetter]:
    known = ledger(store, phase, key)
    for name, ids in sorted(known.commits_of(sorted(known.dead)).items()):
        fields = ["root", "step", "reason", "detail"]
        for row in commits.column(store, name, "drop", fields).to_pylist():
            if row["root"] in ids and row["reason"] not in WELL_FORMED:
                yield DeadLetter(
                    phase=phase,
                    key=key,
                    id=row["root"],
                    step=row["step"],
                    reason=row["reason"],
                    detail=row["detail"] or "",
                )


def _unfetched(store: Store) -> Iterator[DeadLetter]:
    for row in _rows_of_web(store):
        yield DeadLetter(
            phase="fetch",
            key=fetch_key(),
            id=row.id,
            step="fetch",
            reason=row.reason or "waiting",
            detail=f"{row.url} {row.detail}".rstrip(),
        )


def _rows_of_web(store: Store) -> list[Row]:
    """URLs that could not be fetched, or wait because of a failure; by their URL."""
    key = fetch_key()
    ids: set[str] = set()
    for entry in store.list(layout.commits_folder("fetch", key)):
        if entry.name.endswith(".parquet"):
            ids |= set(commits.column(store, entry.name, "row", ["id"])["id"].to_pylist())
    ids |= {str(row["id"]) for row in noted(store, key)}  # of a round that was killed
    rows = frontier(store, key, ids).values() if ids else ()
    failed = [r for r in rows if r.state == "dead" or (r.state == "waiting" and r.attempts > 0)]
    return sorted(failed, key=lambda row: row.url)


def forget(store: Store, letters: Sequence[DeadLetter], run: str) -> None:
    """Take dead letters out of their commits. Raises `PhaseBusyError` where a run works there."""
    places = dict.fromkeys((letter.phase, letter.key) for letter in letters)
    for phase, key in places:
        ids = {one.id for one in letters if (one.phase, one.key) == (phase, key)}
        with phase_lock(store, phase, key, run):
            if phase == "fetch":
                _wait_again(store, key, ids, run)
            else:
                _forget(store, phase, key, ids)


def _forget(store: Store, phase: str, key: str, ids: set[str]) -> None:
    while True:  # a record may be dead in two commits, of which the ledger knows one at a time
        known = ledger(store, phase, key)
        found = known.commits_of(sorted(ids & known.dead))
        if not found:
            return
        _drop_manifests(store, phase, key, found.keys())
        for name, mine in sorted(found.items()):
            _rewrite(store, name, mine)


def _drop_manifests(store: Store, phase: str, key: str, names: Iterable[str]) -> None:
    """Remove the manifests that repeat some commits; the next run writes them anew."""
    wanted = pa.array(sorted(names), pa.string())
    for entry in store.list(f"{layout.phase_folder(phase, key)}/manifests"):
        with pq.ParquetFile(io.BytesIO(store.get(entry.name))) as file:
            held = file.read(columns=["commit"], use_threads=False)["commit"]
        if pc.any(pc.is_in(held, wanted)).as_py():
            store.delete(entry.name)


def _rewrite(store: Store, name: str, ids: set[str]) -> None:
    """A commit without some roots; removed where nothing would be left in it."""
    with pq.ParquetFile(io.BytesIO(store.get(name))) as file:
        table = file.read(use_threads=False)
    gone = pa.array(sorted(ids), pa.string())
    leaves = pa.array([False] * table.num_rows)
    for kind, field in (("done", "id"), ("drop", "root"), ("tally", "root")):
        roots = pc.struct_field(table[kind].combine_chunks(), field)
        leaves = pc.or_(leaves, pc.fill_null(pc.is_in(roots, gone), False))
    kept = table.filter(pc.invert(leaves))
    if not pc.any(kept["done"].combine_chunks().is_valid()).as_py():
        store.delete(name)
        return
    sink = io.BytesIO()
    pq.write_table(kept, sink, compression="zstd", row_group_size=1 << 16)
    store.replace(name, sink.getvalue())


def _wait_again(store: Store, key: str, ids: set[str], run: str) -> None:
    """URLs wait again from now on, as if they had never been asked for: a commit of newer rows."""
    fresh = tuple(
        dataclasses.replace(
            row,
            state="waiting",
            attempts=0,
            not_before=0,
            reason="",
            detail="",
            ended=row.ended + 1,  # newer than what it succeeds
        )
        for row in _rows_of_web(store)
        if row.id in ids
    )
    part = digest_of("retry", run, sorted(ids))
    commits.write(store, "fetch", key, part, Content(done=(), rows=fresh), arrow_schema(Row), run)
