"""The funnel of a run: every step's items and seconds in, out and dropped, by reason.

Counted from the commits, never from what a run did: a run that found everything done has the same
funnel as the one that did it. Only the roots of this run are counted, whatever else the commits
hold. The law of conservation is checked here once more, over the whole run.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import commits
from pipeline.commits import Ledger
from pipeline.curate import RunResult, StreamResult, kept_tasks
from pipeline.folding import folded
from pipeline.outline import StreamOutline
from pipeline.phases.select import read_verdicts
from pipeline.report.content import DropCount, FunnelRow
from pipeline.sums import Dropped, Sums, Taken, rounded
from pipeline.work import ConservationError
from schemas.records import frames
from schemas.store import Store
from transforms.compose.interleave import Interleave
from transforms.select.filter import Filter
from transforms.step import registry

_NOUNS = {
    "crawl": ("sources", "sources"),
    "decode": ("recordings", "channels"),
    "segment": ("channels", "segments"),
    "gate": ("segments", "segments"),
    "diarize": ("segments", "clips"),
    "extract": ("files", "pages"),
    "rewrite": ("scripts", "scripts"),
    "question": ("scripts", "scripts"),
    "chunk": ("scripts", "utterances"),
    "speak": ("utterances", "clips"),
}


PHASE_REASONS = {
    "crash": "the worker died on this record alone",
    "no_such_channel": "the table names a channel of which nothing is stored",
    "channel_not_named": "rows name other channels of this recording, and none names this one",
    "copy": "the same text stands elsewhere: it is one page, with the sources of all its places",
}


def meaning(step: str, reason: str) -> str:
    """What a reason code means, in the step's own words."""
    found = registry().get(step)
    if found is None:  # a phase: what no step of it saw
        return PHASE_REASONS.get(reason, "")
    named = "A rule that the recipe gives this name." if issubclass(found, Filter) else ""
    return found.reasons.get(reason, found.reasons.get(reason.removesuffix("_unknown"), named))


def _drop_counts(step: str, drops: pa.Table) -> tuple[DropCount, ...]:
    mine = drops.filter(pc.equal(drops["step"], step))
    found = []
    for reason in sorted(set(mine["reason"].to_pylist())):
        seconds = mine.filter(pc.equal(mine["reason"], reason))["seconds"]
        found.append(
            DropCount(
                reason=reason,
                items=len(seconds),
                seconds=_total(seconds),
                meaning=meaning(step, reason),
            )
        )
    return tuple(sorted(found, key=lambda count: (-count.seconds, count.reason)))


def _total(numbers: pa.ChunkedArray) -> float:
    """An exactly rounded sum: the order of rows, and so where parts were cut, cannot show."""
    return math.fsum(numbers.to_numpy())


def _phase(
    store: Store,
    phase: str,
    steps: Iterable[str],
    known: Ledger,
    roots: Sequence[str],
    stream: str,
    more: Sequence[DropCount] = (),
    timeless: Collection[str] = (),
    noun: str = "clips",
) -> list[FunnelRow]:
    """The rows of one phase. `timeless`: steps whose records take no time yet, or never will.
    `noun`: what a step takes and gives where nothing more is known of it."""
    sums = folded(store, known, roots)
    found = []
    for step in steps:
        mine = sums.taken.get(step, Taken())
        nouns = _NOUNS.get(step, (noun, noun))
        found.append(
            FunnelRow(
                phase=phase,
                step=step,
                items_in=mine.items_in,
                items_out=mine.items_out,
                seconds_in=None if step in timeless else rounded(mine.seconds_in),
                seconds_out=None if step in timeless else rounded(mine.seconds_out),
                drops=_left(sums, step, True, step != phase),
                noun_in=nouns[0],
                noun_out=nouns[1],
                stream=stream,
            )
        )
    # a step may have the phase's name (extract), but then it took what it dropped
    crashed = (*_left(sums, phase, False), *more)
    if crashed:  # records that no step saw, because they end the process that works on them
        items, seconds = sum(c.items for c in crashed), sum(c.seconds for c in crashed)
        found.insert(
            0,
            FunnelRow(
                phase=phase,
                step=phase,
                items_in=items,
                items_out=0,
                seconds_in=seconds,
                seconds_out=0.0,
                drops=crashed,
                noun_in="records",
                noun_out="records",
                stream=stream,
            ),
        )
    return found


def _left(sums: Sums, step: str, *seen: bool) -> tuple[DropCount, ...]:
    """What left in the name of a step that had taken the record (`seen`), or had not."""
    found: dict[str, Dropped] = {}
    for (name, reason, took), one in sums.dropped.items():
        if name == step and took in seen:
            known = found.setdefault(reason, Dropped())
            known.items += one.items
            known.seconds += one.seconds
    counts = (
        DropCount(
            reason=reason,
            items=one.items,
            seconds=rounded(one.seconds),
            meaning=meaning(step, reason),
        )
        for reason, one in found.items()
    )
    return tuple(sorted(counts, key=lambda count: (-count.seconds, count.reason)))


def _crawl(stream: StreamResult) -> FunnelRow:
    reasons: dict[str, int] = {}
    for drop in stream.census.drops:
        reasons[drop.reason] = reasons.get(drop.reason, 0) + 1
    step = stream.outline.crawl.name()
    return FunnelRow(
        phase="gather",
        step=step,
        items_in=len(stream.census.sources) + len(stream.census.drops),
        items_out=len(stream.census.sources),
        seconds_in=None,
        seconds_out=None,
        drops=tuple(
            DropCount(reason=reason, items=count, seconds=0.0, meaning=meaning(step, reason))
            for reason, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        ),
        noun_in="sources",
        noun_out="sources",
        stream=stream.outline.name,
    )


def unnamed_segments(store: Store, stream: StreamResult) -> Iterator[tuple[dict[str, Any], float]]:
    """Segments of channels that no row names, of recordings whose rows name channels; each with
    its seconds."""
    named: dict[str, set[int | None]] = {}
    for task in stream.census.tasks.values():
        named.setdefault(task.recording, set()).add(task.channel)
    partly = {name: channels for name, channels in named.items() if None not in channels}
    for name, ids in stream.heard.by_commit(sorted(partly)):
        mine = set(ids)
        fields = ["id", "recording", "channel", "start", "end", "rate"]
        for row in commits.column(store, name, "row", fields).to_pylist():
            if row["recording"] in mine and row["channel"] not in partly[row["recording"]]:
                span = frames(row["end"], row["rate"]) - frames(row["start"], row["rate"])
                yield row, span / row["rate"]


def _unnamed(store: Store, stream: StreamResult) -> list[DropCount]:
    """What these come to."""
    lengths = [seconds for _, seconds in unnamed_segments(store, stream)]
    if not lengths:
        return []
    reason = "channel_not_named"
    return [
        DropCount(
            reason=reason,
            items=len(lengths),
            seconds=math.fsum(lengths),
            meaning=meaning("annotate", reason),
        )
    ]


def _select(store: Store, stream: StreamResult) -> list[FunnelRow]:
    """The steps of select; of pages nothing is counted in seconds."""
    pages = stream.outline.rows == "extract"
    noun = "pages" if pages else "clips"
    verdicts = read_verdicts(store, stream.select_key, [block.id for block in stream.blocks])
    drops = verdicts.filter(pc.invert(verdicts["kept"]))
    items = verdicts.num_rows
    seconds = _total(verdicts["seconds"])
    found = []
    names = dict.fromkeys(step.name() for step in stream.outline.select)
    for step in names:
        counted = _drop_counts(step, drops)
        left = items - sum(count.items for count in counted)
        after = seconds - sum(count.seconds for count in counted)
        found.append(
            FunnelRow(
                phase="select",
                step=step,
                items_in=items,
                items_out=left,
                seconds_in=None if pages else seconds,
                seconds_out=None if pages else after,
                drops=counted,
                noun_in=noun,
                noun_out=noun,
                stream=stream.outline.name,
            )
        )
        items, seconds = left, after
    kept = verdicts.filter(verdicts["kept"])
    if kept.num_rows != items:
        raise ConservationError(f"select: {items} {noun} should be left, {kept.num_rows} are kept")
    return found


def _pages(store: Store, stream: StreamResult) -> list[FunnelRow]:
    """From files of pages to the rows that documents are made of."""
    name, line, recordings = stream.outline.name, stream.outline, sorted(stream.census.recordings)
    steps = [step.name() for step in line.hear]
    rows = _phase(store, "extract", steps, stream.heard, recordings, name, timeless=steps)
    if stream.pages is not None and stream.pages.copies:
        pages, copies = len(stream.pages.said), len(stream.pages.copies)
        copied = DropCount(
            reason="copy", items=copies, seconds=0.0, meaning=meaning("pages", "copy")
        )
        rows.append(
            FunnelRow(
                phase="extract",
                step="pages",
                items_in=pages + copies,
                items_out=pages,
                seconds_in=None,
                seconds_out=None,
                drops=(copied,),
                noun_in="pages",
                noun_out="pages",
                stream=name,
            )
        )
    if stream.before is None:
        return rows
    rows += _select(store, stream.before)
    silent = itertools.takewhile(
        lambda step: not getattr(step, "makes_audio", False), line.annotate
    )
    return rows + _phase(
        store,
        "synthesize",
        [step.name() for step in line.annotate],
        stream.annotated,
        tasks_of(store, stream),
        name,
        timeless=[step.name() for step in silent],
    )


def tasks_of(store: Store, stream: StreamResult) -> list[str]:
    """The tasks that rows were looked for: all, or the pages that were to be spoken, also those
    of which nothing became."""
    if stream.before is None:
        return sorted(stream.census.tasks)
    return sorted(kept_tasks(store, stream.before.select_key, stream.before.blocks))


def _compose(line: StreamOutline) -> list[str]:
    return [step.name() for step in (line.mask, line.interleave) if step is not None]


def funnel(store: Store, result: RunResult) -> tuple[FunnelRow, ...]:
    """The funnel of a run, stream by stream."""
    rows: list[FunnelRow] = []
    for stream in result.streams:
        name, line = stream.outline.name, stream.outline
        recordings = sorted(stream.census.recordings)
        tasks = sorted(stream.census.tasks)
        rows.append(_crawl(stream))
        if not stream.census.sources:
            continue  # DATA holds nothing of its kind, or nothing that can be read
        if line.kind == "page":
            rows += _pages(store, stream)
        else:
            steps = [s.name() for s in line.hear]
            rows += _phase(store, "hear", steps, stream.heard, recordings, name)
            rows += _phase(
                store,
                "annotate",
                [s.name() for s in line.annotate],
                stream.annotated,
                tasks,
                name,
                _unnamed(store, stream),
            )
        rows += _select(store, stream)
        silent = line.rows == "extract"  # pages as they are: text takes no time
        rows += _phase(
            store,
            "compose",
            _compose(line),
            stream.arranged,
            tasks,
            name,
            timeless=_compose(line) if silent else (),
            noun="pages" if silent else "clips",
        )
    check(rows)
    return tuple(rows)


def check(rows: Sequence[FunnelRow]) -> None:
    """Refuse a funnel that does not add up. Half a millisecond is float noise over a run."""
    for row in rows:
        left = row.unexplained
        if left is not None and abs(left) > 5e-4:
            raise ConservationError(
                f"{row.phase}/{row.step}: {row.seconds_in} s went in, {row.seconds_out} s came "
                f"out, and drops explain all but {left:.4f} s"
            )


def check_shards(result: RunResult, rows: Sequence[FunnelRow]) -> None:
    """What arrange let through stands in the shards, to the frame."""
    composed = sum(row.seconds_out or 0.0 for row in rows if row.step == Interleave.name())
    written = sum(entry.seconds for entry in result.shards)  # text-only documents take none
    materialised = any(s.outline.interleave.materialize for s in result.streams)
    if not materialised and abs(composed - written) > 5e-4:
        raise ConservationError(f"compose: {composed} s of kept clips, {written} s in the shards")
