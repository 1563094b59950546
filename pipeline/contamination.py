"""What decontamination found, for people and for the trainer's test.

Hits lie beside the verdicts of each stream (`limits/<place>.arrow`, a table of
`transforms.select.hits.HITS`). Of them come two files beside the shards: `contamination.json`, per
stream and set how many items and clips, with every flagged item in its context; and
`flagged.jsonl`, one `{"set": ..., "id": ...}` per flagged item of any stream, which is what
`speechloom-train evaluate --flagged` takes for its random-removal test. An empty file says that
nothing was found; no file, that nothing was looked for.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline.curate import RunResult, StreamResult
from pipeline.phases.select import from_ipc, limits_name
from pipeline.report.content import LeakedItem, SetHits
from schemas.store import Store
from transforms.select.decontaminate import Decontaminate

FLAGGED, REPORT = "flagged.jsonl", "contamination.json"
Row = dict[str, Any]


def hits_of(store: Store, stream: StreamResult) -> Iterator[tuple[Decontaminate, pa.Table]]:
    """Each decontamination of a stream, with its hits."""
    for place, step in enumerate(stream.outline.select):
        if isinstance(step, Decontaminate):
            yield step, from_ipc(store.get(limits_name(stream.select_key, place)))


def set_hits(store: Store, result: RunResult) -> tuple[SetHits, ...]:
    """What was found, by stream and set, every flagged item with its strongest hit."""
    found = []
    for stream in result.streams:
        for step, table in hits_of(store, stream):
            rows = table.to_pylist()
            for one in rows:
                if one["what"] == "set":
                    mine = [row for row in rows if row["set"] == one["set"]]
                    found.append(_of_set(stream.outline.name, step, one, mine))
    return tuple(found)


def _of_set(stream: str, step: Decontaminate, head: Row, rows: list[Row]) -> SetHits:
    items = [row for row in rows if row["what"] == "item"]
    return SetHits(
        stream=stream,
        name=head["set"],
        dropped=step.hits == "drop",
        items=head["count"],
        out_of_reach=head["out_of_reach"],
        flagged=len({row["item"] for row in items}),
        clips=len({row["clip"] for row in rows if row["what"] == "clip"}),
        leaks=tuple(
            LeakedItem(
                item=row["item"],
                kind=row["kind"],
                score=row["score"],
                clip=row["clip"],
                clips=row["count"],
                seconds=row["seconds"],
                shared=row["shared"],
                context=row["context"],
            )
            for row in sorted(items, key=_strongest)
        ),
    )


def _strongest(row: Row) -> tuple[int, float, str]:
    return ("ngram", "fuzzy", "audio").index(row["kind"]), -row["score"], row["item"]


def flagged_lines(sets: tuple[SetHits, ...]) -> bytes:
    """Flagged items of all streams, by set and id, each with the kinds of its hits."""
    kinds: dict[tuple[str, str], set[str]] = {}
    for one in sets:
        for leak in one.leaks:
            kinds.setdefault((one.name, leak.item), set()).add(leak.kind)
    lines = [
        json.dumps({"set": name, "id": item, "kinds": sorted(found)}, ensure_ascii=True)
        for (name, item), found in sorted(kinds.items())
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def contamination_files(sets: tuple[SetHits, ...]) -> dict[str, bytes]:
    """The files by name; none where nothing was looked for."""
    if not sets:
        return {}
    names = sorted({one.name for one in sets})
    lines = flagged_lines(sets)
    told = {
        "format": 1,
        "flagged": {
            name: len({leak.item for one in sets if one.name == name for leak in one.leaks})
            for name in names
        },
        "sets": [
            {
                "stream": one.stream,
                "set": one.name,
                "clips_with_hits": "drop" if one.dropped else "note",
                "items": one.items,
                "items_out_of_reach": one.out_of_reach,
                "flagged": one.flagged,
                "rate": round(one.flagged / one.items, 6) if one.items else 0.0,
                "clips": one.clips,
                "hits": [
                    {
                        "id": leak.item,
                        "kind": leak.kind,
                        "score": leak.score,
                        "clip": leak.clip,
                        "clips": leak.clips,
                        "seconds": leak.seconds,
                        "shared": leak.shared,
                        "context": leak.context,
                    }
                    for leak in one.leaks
                ],
            }
            for one in sets
        ],
    }
    return {
        FLAGGED: lines,
        REPORT: json.dumps(told, ensure_ascii=True, indent=1, sort_keys=True).encode() + b"\n",
    }
