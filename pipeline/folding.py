"""What a phase took, gave and dropped, for some of its records: summed over commits.

A manifest holds the sums of its commits. They count for all of these at once where each record is
asked for and no other commit accounts for it; else the commits are read one by one, and the rows of
the records that are asked for added up. Both come to the same, to the bit (`pipeline/sums.py`).
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import commits
from pipeline.accounts import Accounts, batches, places
from pipeline.commits import Ledger
from pipeline.manifests import manifest_rows, manifests, sums_in
from pipeline.spilling import keys_of
from pipeline.sums import DROP, TALLY, Sums
from schemas.store import Store


def folded(store: Store, known: Ledger, roots: Iterable[str]) -> Sums:
    """The sums of the steps of a phase over some records of it."""
    total = Sums()
    if known.accounts is None:
        groups = known.by_commit(roots)
    else:
        accounts = known.accounts
        asked = np.zeros(len(accounts.ids), np.bool_)
        asked[accounts.rows(roots)] = True
        told = _from_manifests(store, accounts, asked, total)
        left = np.flatnonzero(asked & ~told[accounts.commit]).astype(np.int32)
        groups = accounts.grouped(left)
    for some in batches(groups, commits.READ_AT_ONCE):
        read = commits.read_some(store, [name for name, _ in some], {"tally": TALLY, "drop": DROP})
        found: dict[str, list[pa.Table]] = {"tally": [], "drop": []}
        for rows, (_, ids) in zip(read, some, strict=True):
            mine = pa.array(ids, pa.string())
            for kind, table in rows.items():
                found[kind].append(table.filter(pc.is_in(table["root"], value_set=mine)))
        total.fold(*(pa.concat_tables(tables) for tables in found.values()))
    return total


def _from_manifests(
    store: Store, accounts: Accounts, asked: npt.NDArray[np.bool_], total: Sums
) -> npt.NDArray[np.bool_]:
    """Add what manifests tell; which commits that accounts for."""
    told = np.zeros(len(accounts.files), np.bool_)
    keys = keys_of(accounts.files)
    phase, key, _ = accounts.folder.split("/")
    for _, file in manifests(store, phase, key):
        sums = sums_in(file)
        found = None if sums is None else _wholly(file, accounts, keys, asked)
        if sums is not None and found is not None and not told[found].any():
            total.add(Sums.read(sums))
            told[found] = True
        accounts.release()
    return told


def _wholly(
    file: pq.ParquetFile,
    accounts: Accounts,
    keys: npt.NDArray[np.uint64],
    asked: npt.NDArray[np.bool_],
) -> npt.NDArray[np.intp] | None:
    """The commits of a manifest where all of its rows count and are asked for; else None."""
    found = []
    for batch in file.iter_batches(1 << 16, use_threads=False):
        names, ids, _, _ = manifest_rows(batch, len(accounts.folder) + 1)
        commit = places(accounts.files, keys, names)
        row = places(accounts.ids, accounts.keys, ids)
        known = (commit >= 0) & (row >= 0)
        if not known.all() or not (asked[row] & (accounts.commit[row] == commit)).all():
            return None
        found.append(commit)
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.intp)
