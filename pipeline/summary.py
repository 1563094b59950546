"""From the commits of a run to the `RunSummary` that reports show.

Reads rows by block, so that a large run costs time and not memory; audio is read for the few clips
that are shown, by reference. What is picked is drawn by the ids, so equal runs show equal clips.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import keys, spending
from pipeline.balance import balanced, weights_bytes
from pipeline.clip_cards import UNITS, ClipCards, Picked, pick, thresholds
from pipeline.contamination import set_hits
from pipeline.curate import RunResult, StreamResult
from pipeline.document_cards import document_cards
from pipeline.phases.arrange import topics_of
from pipeline.phases.form import form_of
from pipeline.phases.near_rows import read_repeats, repeats_name
from pipeline.phases.rows import kept_rows
from pipeline.phases.select import read_verdicts, seconds_of
from pipeline.phases.split_rows import read_largest
from pipeline.report import histogram
from pipeline.report.content import (
    ClipCard,
    DocumentCard,
    DroppedCard,
    FunnelRow,
    Limits,
    RunSummary,
    ShardRow,
    Share,
    StreamTopics,
    Threshold,
    Totals,
)
from schemas.store import Store
from transforms.compose.interleave import Interleave
from transforms.measure.topic import Topic

REPEATS_SHOWN, REPEAT_CHARACTERS = 3, 80
GIANT = 0.2  # of the kept audio in one group: far above any share of valid or test
VERSIONS = (
    "speechloom",
    "apache-beam",
    "av",
    "ctranslate2",
    "fasttext",
    "faster-whisper",
    "numpy",
    "onnxruntime",
    "pocketsphinx",
    "pyarrow",
    "silero-vad",
    "soundfile",
    "torch",
)


@dataclasses.dataclass
class _Gathered:
    """Sums over all rows of a run, filled block by block."""

    values: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    missing: Counter[str] = dataclasses.field(default_factory=Counter)
    shares: dict[str, dict[str, list[float]]] = dataclasses.field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # picked clips
    kept_items: int = 0
    kept_seconds: float = 0.0


def versions() -> tuple[tuple[str, str], ...]:
    """The packages that a run's results depend on, where they are installed."""
    found = ((name, keys.version_of(name)) for name in VERSIONS)
    return tuple((name, version) for name, version in found if version != "absent")


def summarize(
    store: Store,
    result: RunResult,
    recipe_text: str,
    funnel: Sequence[FunnelRow],
    limits: Limits | None = None,
) -> RunSummary:
    """All that the report, the data card and the terminal show of a run."""
    limits = limits or Limits()
    gathered = _Gathered()
    kept_cards: list[ClipCard] = []
    dropped_cards: list[DroppedCard] = []
    documents: list[DocumentCard] = []
    refused: list[str] = []
    for stream in result.streams:
        verdicts = read_verdicts(store, stream.select_key, [b.id for b in stream.blocks])
        picked = pick(result.recipe.seed, verdicts, limits)
        gathered.rows = {}  # of this stream: another's clips lie in other commits
        _gather(store, stream, verdicts, picked, gathered)
        show = ClipCards(store, stream, gathered.rows, limits)
        if stream.before is not None:
            dropped_cards += _left_before(store, stream.before, result.recipe.seed, limits)
        kept_cards += show.kept(verdicts, picked)
        dropped_cards += show.dropped(verdicts, picked, result.recipe.seed)
        documents += document_cards(store, stream, result.recipe.seed, limits, refused)
    balanced_run = balanced(store, result)
    return RunSummary(
        name=result.recipe.name,
        recipe=recipe_text,
        totals=_totals(result, funnel, gathered),
        funnel=tuple(funnel),
        device=result.device,
        versions=versions(),
        streams=tuple(s.outline.name for s in result.streams),
        policy=", ".join(dict.fromkeys(policy_words(s.outline.interleave) for s in result.streams)),
        histograms=tuple(_histograms(result, gathered)),
        speakers=_shares(gathered, "speaker"),
        languages=_shares(gathered, "language"),
        licences=_shares(gathered, "licence"),
        qualities=_shares(gathered, "quality"),
        splits=_shares(gathered, "split"),
        kept=tuple(kept_cards[: limits.kept]),
        dropped=tuple(dropped_cards),
        documents=tuple(documents[: limits.documents]),
        tokens=tuple(one.name for one in form_of(result.recipe.shards).load()),
        audio=result.recipe.shards.audio == "flac",
        shards=tuple(
            ShardRow(
                path=entry.name,
                stream=entry.stream,
                split=entry.split,
                documents=entry.documents,
                seconds=entry.seconds,
                size=entry.bytes,
                sha256=entry.sha256,
                characters=entry.characters,
            )
            for entry in result.shards
        ),
        evaluation_sets=set_hits(store, result),
        coverage=None if balanced_run is None else balanced_run[0],
        weights=None if balanced_run is None else weights_bytes(balanced_run[1]),
        topics=tuple(found for s in result.streams if (found := _topics(store, s)) is not None),
        notices=(*_notices(store, result), *refused),
        limits=limits,
    )


def _left_before(
    store: Store, stream: StreamResult, seed: int, limits: Limits
) -> list[DroppedCard]:
    """Pages that were dropped before they were spoken."""
    verdicts = read_verdicts(store, stream.select_key, [b.id for b in stream.blocks])
    picked = dataclasses.replace(pick(seed, verdicts, limits), kept=())
    gathered = _Gathered()
    _gather(store, stream, verdicts, picked, gathered)
    return ClipCards(store, stream, gathered.rows, limits).judged(verdicts, picked)


def policy_words(interleave: Interleave) -> str:
    """The default view in words: "fine, deterministic"."""
    words = f"{interleave.granularity}, {interleave.policy.kind}"
    return f"{words}, materialised" if interleave.materialize else words


def _gather(
    store: Store, stream: StreamResult, verdicts: pa.Table, picked: Picked, into: _Gathered
) -> None:
    kept_ids = verdicts.filter(verdicts["kept"])
    split_of = dict(zip(kept_ids["id"].to_pylist(), kept_ids["split"].to_pylist(), strict=True))
    wanted = pa.array(sorted(picked.ids()), pa.string())
    for block in stream.blocks:
        rows = kept_rows(store, block, stream.outline.measures)
        rows = rows.append_column("seconds", seconds_of(rows))
        for name in rows.column_names:
            kind = rows[name].type
            number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
            if number and ("." in name or name == "seconds"):
                into.values.setdefault(name, []).append(rows[name].drop_null().to_numpy())
                into.missing[name] += rows[name].null_count
        kept = rows.filter(pc.is_in(rows["id"], pa.array(list(split_of), pa.string())))
        if stream.outline.rows != "extract":  # a page is no clip, and has no speaker
            into.kept_items += kept.num_rows
            into.kept_seconds += pc.sum(kept["seconds"]).as_py() or 0.0
            _share(into, "speaker", kept, _speakers(kept))
        _share(into, "language", kept, _languages(kept))
        _share(into, "licence", kept, kept["licence"].to_pylist())
        _share(into, "quality", kept, kept["quality"].to_pylist())
        _share(into, "split", kept, [split_of[one] for one in kept["id"].to_pylist()])
        for row in rows.filter(pc.is_in(rows["id"], wanted)).to_pylist():
            into.rows[row["id"]] = row | {"split": split_of.get(row["id"], "")}


def _speakers(rows: pa.Table) -> list[str]:
    """Given names; speakers that a diarizer found are told apart within their recording only."""
    return [
        name if given else f"{name} of {recording[:8]}"
        for name, given, recording in zip(
            *(rows[c].to_pylist() for c in ("speaker", "speaker_given", "recording")), strict=True
        )
    ]


def _languages(rows: pa.Table) -> list[str]:
    heard = (
        rows["language.language"].to_pylist() if "language.language" in rows.column_names else []
    )
    carried = rows["language"].to_pylist()
    return [
        one or other or "unknown"
        for one, other in zip(heard or [None] * len(carried), carried, strict=True)
    ]


def _share(into: _Gathered, kind: str, rows: pa.Table, names: Iterable[str]) -> None:
    table = into.shares.setdefault(kind, {})
    for name, seconds in zip(names, rows["seconds"].to_pylist(), strict=True):
        entry = table.setdefault(name, [0, 0.0])
        entry[0] += 1
        entry[1] += seconds


def _shares(gathered: _Gathered, kind: str) -> tuple[Share, ...]:
    table = gathered.shares.get(kind, {})
    return tuple(
        Share(name=name, items=int(entry[0]), seconds=entry[1])
        for name, entry in sorted(table.items(), key=lambda pair: (-pair[1][1], pair[0]))
    )


def _histograms(result: RunResult, gathered: _Gathered) -> Iterator[Any]:
    limits_of: dict[str, list[Threshold]] = {}
    for stream in result.streams:
        for column, found in thresholds(stream).items():
            limits_of.setdefault(column, []).extend(found)
    for name, blocks in gathered.values.items():
        values = np.concatenate(blocks) if blocks else np.zeros(0)
        if len(values):
            yield histogram.of_values(
                name,
                UNITS.get(name, ""),
                values,
                tuple(dict.fromkeys(limits_of.get(name, []))),
                gathered.missing[name],
            )


def _totals(result: RunResult, funnel: Sequence[FunnelRow], gathered: _Gathered) -> Totals:
    decoded = sum(row.seconds_in or 0.0 for row in funnel if row.step == "decode")
    drops = [drop for row in funnel for drop in row.drops]
    return Totals(
        sources=len(
            {source.id for s in result.streams for source in (*s.census.sources, *s.census.dropped)}
        ),
        recordings=len({r for s in result.streams for r in s.census.recordings if not s.pages}),
        pages=len({page for s in result.streams if s.pages for page in s.pages.said}),
        recorded_seconds=decoded,
        clips=gathered.kept_items,
        clip_seconds=gathered.kept_seconds,
        documents=sum(entry.documents for entry in result.shards),
        document_seconds=sum(entry.seconds for entry in result.shards),
        spoken_seconds=sum(
            entry.seconds for entry in result.shards if result.recipe.kind(entry.stream) == "page"
        ),
        dropped_items=sum(drop.items for drop in drops),
        dropped_seconds=sum(drop.seconds for drop in drops),
        speakers=len(gathered.shares.get("speaker", {})),
    )


def _topics(store: Store, stream: StreamResult) -> StreamTopics | None:
    """What the documents of a stream are about; None where nothing tells topics of it."""
    halves = [stream.outline, *([stream.before.outline] if stream.before else [])]
    if not any(isinstance(one, Topic) for line in halves for one in line.measures):
        return None
    totals: dict[str, list[float]] = {}
    mine = [task.task for block in stream.blocks for task in block.tasks]
    for name in sorted(stream.arranged.commits_of(mine)):
        for row in topics_of(store, name).to_pylist():
            totals.setdefault(row["topic"], []).append(row["seconds"])
    shares = (
        Share(name=name, items=len(found), seconds=math.fsum(found))
        for name, found in totals.items()
    )
    ordered = sorted(shares, key=lambda share: (-share.seconds, share.name))
    return StreamTopics(stream=stream.outline.name, topics=tuple(ordered)) if ordered else None


def _notices(store: Store, result: RunResult) -> Iterator[str]:
    if any(stream.limited for stream in result.streams):
        yield "A trial run: --limit took only part of DATA."
    for stream in result.streams:
        yield from giant(stream.outline.name, read_largest(store, stream.select_key))
        yield from _repeated(stream.outline.name, store, stream.select_key)
        if stream.outline.rows == "synthesize":
            used = stream.annotated.commits_of(stream.census.tasks)
            yield from spending.notices(store, stream.outline.name, used)


def _repeated(stream: str, store: Store, key: str) -> Iterator[str]:
    """The texts that said the same most often, before all but one clip of each left."""
    found = read_repeats(store, key)
    if found:
        shown = "; ".join(
            f"\u201c{_short(one['text'])}\u201d ({one['clips']} clips)"
            for one in found[:REPEATS_SHOWN]
        )
        yield (
            f"Stream {stream}: texts that repeat, of which one clip each stays, are often "
            f"templates. The most repeated: {shown}. More: {repeats_name(key)}."
        )


def _short(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= REPEAT_CHARACTERS else f"{text[:REPEAT_CHARACTERS]}\u2026"


def giant(stream: str, largest: Mapping[str, Any] | None) -> Iterator[str]:
    """Says where one group of recordings that no split may part makes the shares miss."""
    if largest is None or largest["recordings"] < 2 or largest["share"] < GIANT:
        return
    tied = [
        f"{largest[many]} {many if largest[many] > 1 else one}"
        for one, many in (("speaker", "speakers"), ("feed", "feeds"), ("cluster", "clusters"))
        if largest[many]
    ]
    yield (
        f"{stream}: {100 * largest['share']:.0f} % of the kept audio hangs together "
        f"({largest['recordings']} recordings by {', '.join(tied)}) and is all in "
        f"{largest['split']}; `split.by` says what ties."
    )
