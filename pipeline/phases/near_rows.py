"""Near-duplicates over the rows of select: sketches by block in, drops by block and clusters out.

Of every row that is left, three numbers and its id are held (some 40 bytes); texts and fingerprints
are read block by block and wait in OUT. The clusters stay there as a table, for whoever must not
part them (splits), and so does the table of texts that repeat most, since equal texts are often
templates: one wants to see them before they are gone.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import layout
from pipeline.near import Each, Spill, find_links, find_stars, write_sketches
from pipeline.phases.rows import Alive
from pipeline.simple import SimpleJob
from schemas.store import Store
from transforms.select.dedup import Dedup
from transforms.select.drops import SECONDS_COLUMNS, clip_seconds
from transforms.select.matching import Matcher, Sketch
from transforms.select.near import best_scores, near_drops
from transforms.select.repeats import mostly_repeated
from transforms.select.rounds import rest_of
from transforms.select.survivors import id_places, settle_links

HEAD = frozenset({"id", "task", "recording"} | SECONDS_COLUMNS)
REPEATED_TEXTS = 100  # in the table of what repeats most
CLUSTERS = pa.schema(
    [
        pa.field("id", pa.string(), False),  # of the clip
        pa.field("cluster", pa.string(), False),  # of the clip after which the cluster is named
        pa.field("kind", pa.string(), False),  # near_text, near_audio
    ]
)


def clusters_name(key: str, kind: str) -> str:
    return f"{layout.phase_folder('select', key)}/clusters/{kind}.arrow"


def repeats_name(key: str) -> str:
    """The texts that repeated most, before all but one of each left."""
    return f"{layout.phase_folder('select', key)}/repeated_texts.json"


def read_clusters(store: Store, key: str) -> pa.Table:
    """The clusters of all kinds (`CLUSTERS`); rows of no cluster are not in it."""
    folder = f"{layout.phase_folder('select', key)}/clusters"
    tables = [
        pa.ipc.open_stream(store.get(entry.name)).read_all()
        for entry in store.list(folder)
        if entry.name.endswith(".arrow")
    ]
    return pa.concat_tables(tables) if tables else CLUSTERS.empty_table()


def read_repeats(store: Store, key: str) -> list[dict[str, Any]]:
    """What `repeats_name` holds: text, clips, seconds; the most repeated first."""
    if store.size(repeats_name(key)) is None:
        return []
    return list(json.loads(store.get(repeats_name(key))))


def settle_near(
    job: SimpleJob,
    label: str,
    step: Dedup,
    alive: Alive,
    drops: dict[str, list[pa.Table]],
    each: Each,
) -> None:
    """One round of near-duplicates: takes out who leaves, and adds the drops."""
    matcher = step.matcher()
    assert matcher is not None
    heads, ids, ranks, seconds = [], [], [], []
    for _, rows in alive.tables(step.needs() - {"text", "fingerprint.code"}):
        ids.append(rows["id"].combine_chunks())
        ranks.append(step.ranks(rows))
        seconds.append(clip_seconds(rows))
        heads.append(rows.num_rows)
    if not sum(heads):
        return
    starts = np.concatenate([[0], np.cumsum(heads)]).astype(np.int64)
    every = pa.chunked_array(ids)
    rank, length = np.concatenate(ranks), np.concatenate(seconds)
    folder = f"{layout.phase_folder('select', job.key)}/near/{label}"
    spill = Spill.of(job.store, folder, int(starts[-1]))
    write_sketches(spill, _sketches(matcher, step, alive, starts))
    links = find_links(spill, matcher, each)
    settled = settle_links(links, find_stars(spill, links, each), rank, length, id_places(every))
    _write_clusters(job, matcher, every, settled.member, settled.cluster)
    if step.near == "drop":
        named = every.take(pa.array(settled.stays))
        scores = best_scores(links, settled.leaves)
        leaves = np.zeros(int(starts[-1]), np.bool_)
        leaves[settled.leaves] = True
        by_recording = step.repeats == "recording" and step.audio is not None
        whole = _repeated(step, alive, leaves, starts) if by_recording else None
        for place, (block, rows) in enumerate(alive.tables(HEAD)):
            first, last = np.searchsorted(settled.leaves, starts[place : place + 2])
            flags = leaves[starts[place] : starts[place + 1]]
            own = length[starts[place] : starts[place + 1]]
            leaving = rows.filter(pa.array(flags))
            stays = named.slice(first, last - first)
            found = [
                near_drops(step.name(), matcher, leaving, stays, scores[first:last], own[flags])
            ]
            if whole is not None:
                more = pc.is_in(rows["recording"], whole).to_numpy() & ~flags
                found.append(rest_of(step, rows.filter(pa.array(more)), own[more]))
                flags = flags | more
            drops[block.id] += found
            alive.remove(block, flags)
    spill.clear()


def _repeated(
    step: Dedup,
    alive: Alive,
    leaves: npt.NDArray[np.bool_],
    starts: npt.NDArray[np.int64],
) -> pa.Array:
    """The recordings that leave as a whole."""
    tables = [
        pa.table(
            {
                "recording": rows["recording"],
                "seconds": clip_seconds(rows),
                "leaves": leaves[starts[place] : starts[place + 1]],
            }
        )
        for place, (_, rows) in enumerate(alive.tables(HEAD))
    ]
    return mostly_repeated(pa.concat_tables(tables), step.repeated_share)


def _sketches(
    matcher: Matcher, step: Dedup, alive: Alive, starts: npt.NDArray[np.int64]
) -> Iterator[Sketch]:
    for place, (_, rows) in enumerate(alive.tables(step.needs())):
        yield matcher.sketch(rows, np.arange(starts[place], starts[place + 1], dtype=np.int64))


def _write_clusters(
    job: SimpleJob,
    matcher: Matcher,
    ids: pa.ChunkedArray,
    member: npt.NDArray[np.int64],
    cluster: npt.NDArray[np.int64],
) -> None:
    columns = [
        ids.take(pa.array(member)),
        ids.take(pa.array(cluster)),
        pa.repeat(matcher.reason, len(member)),
    ]
    table = pa.table(columns, schema=CLUSTERS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, CLUSTERS) as writer:
        writer.write_table(table)
    name = clusters_name(job.key, matcher.reason)
    job.store.put_if_absent(name, sink.getvalue().to_pybytes())


def report_repeats(job: SimpleJob, left: pa.Table, alive: Alive) -> None:
    """Keep the texts that repeat most, with how often, before all but one of each leave."""
    equal = left.filter(pc.equal(left["reason"], "same_text"))
    if not equal.num_rows:
        return
    counted = (
        pa.table({"stays": equal["detail"], "seconds": equal["seconds"]})
        .group_by("stays")
        .aggregate([("seconds", "count"), ("seconds", "sum")])
        .sort_by([("seconds_count", "descending"), ("stays", "ascending")])
        .slice(0, REPEATED_TEXTS)
    )
    names = [one.rsplit(" ", 1)[-1] for one in counted["stays"].to_pylist()]
    known: dict[str, dict[str, Any]] = {}
    wanted = pa.array(names, pa.string())
    for _, rows in alive.tables(["id", "text", "start", "end", "rate"]):
        rows = rows.filter(pc.is_in(rows["id"], wanted))
        for row, own in zip(rows.to_pylist(), clip_seconds(rows), strict=True):
            known[row["id"]] = {"text": row["text"], "seconds": float(own)}
    found = [
        {
            "id": name,
            "clips": int(count) + 1,
            "seconds": round(float(total) + known[name]["seconds"], 3),
            "text": known[name]["text"],
        }
        for name, count, total in zip(
            names, *(counted[c].to_pylist() for c in ("seconds_count", "seconds_sum")), strict=True
        )
    ]
    data = json.dumps(found, ensure_ascii=False, indent=1).encode()
    job.store.put_if_absent(repeats_name(job.key), data)
