"""Splits over the rows of select: what ties recordings together, and which group is the largest.

Feeds come with the tasks, clusters of near-duplicates from the table that dedup left; the joined
table holds neither, so a corrected feed makes no row again. Held are a few columns of all kept
rows, because ties reach over blocks.
"""

import dataclasses
import itertools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import layout
from pipeline.phases.near_rows import read_clusters
from pipeline.phases.rows import Alive
from pipeline.simple import SimpleJob
from schemas.store import Store
from transforms.select.drops import SECONDS_COLUMNS, clip_seconds
from transforms.select.split import Split

_LISTS = pa.list_(pa.string())


def largest_name(key: str) -> str:
    """What is told of the largest group of a select phase."""
    return f"{layout.phase_folder('select', key)}/largest_group.json"


def read_largest(store: Store, key: str) -> dict[str, Any] | None:
    """The largest group: name, split, share of the seconds, and how much of what; None: no rows."""
    if store.size(largest_name(key)) is None:
        return None
    return dict(json.loads(store.get(largest_name(key))))


def assign_splits(job: SimpleJob, split: Split, seed: int, alive: Alive) -> list[pa.Array]:
    """The split of every row that is left, block by block; notes the largest group beside."""
    needs = split.needs() | {"id", "task"} | SECONDS_COLUMNS
    tables = [rows for _, rows in alive.tables(needs)]
    if not tables:
        return []
    rows = pa.concat_tables(tables)
    if "feed" in split.by:
        rows = rows.append_column("feeds", _feeds(rows["task"], alive))
    if "cluster" in split.by:
        rows = rows.append_column(
            "clusters", _clusters(rows["id"], read_clusters(job.store, job.key))
        )
    dealt = split.deal(rows, seed)
    found = dealt.largest(clip_seconds(rows))
    if found is not None:
        group, share = found
        told = {**dataclasses.asdict(group), "share": round(share, 6), "groups": len(dealt.names)}
        data = json.dumps(told, sort_keys=True, ensure_ascii=False).encode()
        job.store.put_if_absent(largest_name(job.key), data)
    ends = itertools.accumulate(table.num_rows for table in tables)
    return [
        dealt.splits.slice(end - table.num_rows, table.num_rows)
        for table, end in zip(tables, ends, strict=True)
    ]


def _feeds(tasks: pa.ChunkedArray, alive: Alive) -> pa.Array:
    """The feeds of each row's task."""
    known = [task for block in alive.blocks for task in block.tasks if task.feeds]
    at = pc.index_in(
        tasks.combine_chunks(), value_set=pa.array([t.task for t in known], pa.string())
    )
    return _filled(pa.array([list(t.feeds) for t in known], _LISTS).take(at))


def _clusters(ids: pa.ChunkedArray, clusters: pa.Table) -> pa.Array:
    """The clusters of each row, by kind and name."""
    rows = ids.combine_chunks()
    named = pc.binary_join_element_wise(clusters["kind"], clusters["cluster"], ":")
    every = pa.table({"id": clusters["id"], "name": named})
    mine = every.filter(pc.is_in(every["id"], value_set=rows))
    lists = mine.group_by("id", use_threads=False).aggregate([("name", "list")])
    at = pc.index_in(rows, value_set=lists["id"].combine_chunks())
    return _filled(lists["name_list"].combine_chunks().take(at))


def _filled(lists: pa.Array) -> pa.Array:
    """Rows without a list get an empty one."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pc.list_flatten(lists))
