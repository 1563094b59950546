"""What a phase took, gave and dropped, for some of its records: summed over commits.

A manifest holds the sums of its commits. They count for all of these at once where each record is
asked for and no other commit accounts for it; else the commits are read one by one, and the rows of
the records that are asked for added up. Both come to the same, to the bit (`pipeline/sums.py`).
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import commits
from pipeline.accounts import Accounts, batches, places, spans
from pipeline.commits import Ledger
from pipeline.manifests import manifests, sums_in
from pipeline.spilling import Buckets, Column, Columns, Texts, bucket_ends, keys_of, texts_of
from pipeline.sums import DROP, TALLY, Sums
from schemas.store import Store


def folded(store: Store, known: Ledger, roots: Iterable[str]) -> Sums:
    """The sums of the steps of a phase over some records of it."""
    total = Sums()
    if known.accounts is None:
        groups = known.by_commit(roots)
    else:
        accounts = known.accounts
        asked = accounts.flags(roots)
        told = _from_manifests(store, accounts, asked, total)
        left = [
            np.flatnonzero(asked[rows] & ~told[accounts.commit[rows]]).astype(np.int32) + rows.start
            for rows in spans(len(asked))
        ]
        groups = accounts.grouped(np.concatenate([np.zeros(0, np.int32), *left]))
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
    """Add what manifests tell; which commits that accounts for.

    A manifest counts where as many records of each of its commits are asked for, and are that
    commit's, as it tells of; then these are the same. Of two that tell of one commit, one counts.
    """
    told = np.zeros(len(accounts.files), np.bool_)
    if not len(told):
        return told
    wanted = np.zeros(len(told), np.int32)
    for rows in spans(len(asked)):
        np.add.at(wanted, accounts.commit[rows][asked[rows]], 1)
    phase, key, _ = accounts.folder.split("/")
    sums: list[dict[str, Any] | None] = []
    named = Buckets()
    for _, file in manifests(store, phase, key):
        names, counts = _commits_in(file, len(accounts.folder) + 1)
        named.add(names, np.full(len(names), len(sums), np.int32), counts)
        sums.append(sums_in(file))
    counted = np.array([one is not None for one in sums], np.bool_)
    commits_of, manifest_of = Column(np.int32), Column(np.int32)
    for low, high, bucket in _with_files(named, accounts):
        files = accounts.files[low:high]
        texts, manifest, counts = bucket
        at = places(files, keys_of(files), texts)
        numbers = np.where(at >= 0, at + low, 0)
        wrong = (at < 0) | (wanted[numbers] != counts)
        order = np.lexsort((manifest, numbers))
        again = numbers[order][1:] == numbers[order][:-1]
        wrong[order[1:][again & (at[order][1:] >= 0)]] = True
        counted[manifest[wrong]] = False
        commits_of.add(numbers[~wrong])
        manifest_of.add(manifest[~wrong])
        accounts.release()
    commit, manifest = commits_of.values(), manifest_of.values()
    for rows in spans(len(commit)):
        told[commit[rows][counted[manifest[rows]]]] = True
    for one in itertools.compress(sums, counted):
        total.add(Sums.read(one or {}))
    return told


def _commits_in(file: pq.ParquetFile, start: int) -> tuple[Texts, npt.NDArray[np.int32]]:
    """The commits that a manifest tells of, and of how many records of each."""
    names = [batch["commit"] for batch in file.iter_batches(1 << 16, None, ["commit"], False)]
    found = pa.chunked_array(names, pa.string()).value_counts()
    texts = pc.utf8_slice_codeunits(found.field("values"), start)
    return texts_of(texts), found.field("counts").to_numpy().astype(np.int32)


def _with_files(named: Buckets, accounts: Accounts) -> Iterator[tuple[int, int, Columns]]:
    """Each bucket with the range of the accounts' commits that its names may be of."""
    ends = bucket_ends(accounts.files) if named.spilled else [len(accounts.files)]
    for low, high, bucket in zip([0, *ends[:-1]], ends, named.each(), strict=True):
        if bucket:
            yield low, high, bucket
