"""What a run would do, found out without doing any of it: nothing is written, no worker starts.

It goes the way of `pipeline.curate` with the same functions for keys, members and parts, so what is
shown as done is what a run takes as done. What depends on work that is still to do is estimated
and marked so: files not looked at yet by their headers or size (`pipeline/scan.py`), speech by the
share that this OUT or the samples had, time by this OUT's own tallies where it has any.
"""

import dataclasses
import json
import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from pipeline import commits, costs, device, hub_models, keys, layout
from pipeline import outline as outlines
from pipeline.commits import Ledger, ledger
from pipeline.curate import (
    SECONDS_PER_WORKER,
    Options,
    kept_tasks,
    limited,
    of_tasks,
    reach,
    refuse_mixed_channels,
    refuse_nested,
    target_of,
)
from pipeline.kinds import wanted
from pipeline.locks import held_by
from pipeline.outline import StreamOutline
from pipeline.parts import Member, Part, plan_parts
from pipeline.phases import gather as gathering
from pipeline.phases.form import form_of
from pipeline.phases.gather import BYTES_PER_SECOND, Census
from pipeline.phases.pages import CHARACTERS_PER_SECOND, MEASURED_PER_SECOND, with_pages
from pipeline.phases.select import input_digest, manifest_name, plan_blocks
from pipeline.phases.shards import plan_stream
from pipeline.phases.synthesize import RATE
from pipeline.recipe import Recipe
from pipeline.scan import Scan, scan_data
from schemas.ranges import cut
from schemas.records import Recording, Task
from schemas.store import Store
from transforms.engines.models import ModelError
from transforms.gather.crawl import Crawl
from transforms.hear.decode import Decode
from transforms.step import Step

LEAST_MEASURED = 60.0  # seconds of audio in tallies that are trusted above the table
MOST_COMMITS = 50  # that are read for tallies


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """One phase of one stream. Items and seconds are at its entrance."""

    phase: str
    steps: tuple[str, ...]
    key: str | None  # None: known only when the phases before it are done
    items: int
    seconds: float
    cached_items: int
    cached_seconds: float
    parts: int
    workers: int
    compute_seconds: float  # of one core
    measured: bool  # the compute time is from this OUT, not from the table
    held_by: str = ""  # a run that works on it now

    @property
    def wall_seconds(self) -> float:
        return self.compute_seconds / max(1, self.workers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelState:
    """Whether what a step needs is installed."""

    stream: str
    step: str
    engine: str
    missing: str = ""  # why, and what to do
    bytes: int = 0  # of memory, in each worker that runs the step
    fetched: str = ""  # what a run fetches from the hub before it begins; then it is not missing


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamPlan:
    name: str
    files: int  # sources in DATA
    dropped: Mapping[str, int]  # by crawl, reason -> sources
    recordings: int
    seconds: float
    known_files: int  # of which a look is remembered
    probed_files: int  # new, and asked for their headers just now
    guessed_files: int  # new, and judged by their size alone
    phases: tuple[PhasePlan, ...]
    limited: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """Bytes needed beyond what is there."""

    scratch: int
    stored: int
    shards: int
    free_out: int | None  # None: a remote store
    free_scratch: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    recipe: str
    out: str
    device: str
    streams: tuple[StreamPlan, ...]
    models: tuple[ModelState, ...]
    worker_bytes: int
    unmeasured: tuple[str, ...]  # engines of which no time is known here
    workers: int
    wall_seconds: float
    disk: Disk
    resources: Mapping[str, Mapping[str, str]]  # phase -> Beam's resource hints

    @property
    def missing(self) -> tuple[ModelState, ...]:
        return tuple(model for model in self.models if model.missing)


def worker_count(options: Options, planned: float, parts: int) -> int:
    """As `Curator` chooses it."""
    if options.workers is not None:
        return min(options.workers, parts)
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, parts, math.ceil(planned / SECONDS_PER_WORKER)))


def forecast(recipe: Recipe, options: Options) -> Plan:
    """Plan a run. Raises `DataError`, `StoreError` as the run would; writes nothing."""
    refuse_nested(options)
    store = Store(options.out)
    models = tuple(_models(recipe))
    lacking = {model.stream for model in models if model.missing or model.fetched}
    planner = _Planner(recipe, options, store)
    streams = tuple(planner.stream(name, name in lacking) for name in recipe.streams)
    streams = planner.composed(streams)
    phases = [phase for stream in streams for phase in stream.phases]
    busy = [phase for phase in phases if phase.parts]
    steps = {step for name in recipe.streams for step in recipe.streams[name]}
    workers = max([phase.workers for phase in busy], default=0)
    wall = sum(phase.wall_seconds + costs.PHASE_SECONDS for phase in busy) + costs.REPORT_SECONDS
    return Plan(
        recipe=recipe.name,
        out=store.url,
        device=device.device_class(),
        streams=streams,
        models=models,
        worker_bytes=costs.worker_bytes(tuple(sorted(steps, key=lambda step: step.name()))),
        unmeasured=tuple(sorted({name for step in steps for name in costs.unmeasured(step)})),
        workers=workers,
        wall_seconds=wall + (costs.START_SECONDS if busy else 0.0),
        disk=planner.disk(workers),
        resources={phase: recipe.hints(phase) for phase in sorted(recipe.resources)},
    )


def _models(recipe: Recipe) -> Iterable[ModelState]:
    """Ask every step's fingerprint, which finds its files and libraries and loads no model."""
    for name, steps in recipe.streams.items():
        for step in steps:
            missing, fetched = "", _to_fetch(recipe, step)
            try:
                if not fetched:
                    keys.step_key(step)
                    reach(step)
            except (RuntimeError, ImportError, OSError, ModelError) as error:
                missing = " ".join(str(error).split())
            engines = ", ".join(costs.engines(step))
            if engines or missing or step.name() == "language":
                yield ModelState(
                    stream=name,
                    step=step.name(),
                    engine=engines,
                    missing=missing,
                    fetched=fetched,
                    bytes=costs.cost(step).bytes,
                )
        if recipe.shards.tokens:
            missing = ""
            try:
                form_of(recipe.shards)
            except (RuntimeError, ImportError, OSError, ModelError) as error:
                missing = " ".join(str(error).split())
            engines = ", ".join(recipe.shards.tokens)
            yield ModelState(stream=name, step="shards", engine=engines, missing=missing)


def _to_fetch(recipe: Recipe, step: Step) -> str:
    """The models of a step that a run would fetch first, for people; "" for none."""
    try:
        absent = [] if hub_models.forbidden(recipe) else list(hub_models.absent(step))
    except ModelError:
        return ""  # its fingerprint says what is wrong
    return ", ".join(model.name for model in absent)


@dataclasses.dataclass
class _Arranged:
    """What compose needs of a stream whose documents are all there."""

    outline: StreamOutline
    key: str
    ledger: Ledger
    blocks: tuple[Any, ...]


class _Planner:
    def __init__(self, recipe: Recipe, options: Options, store: Store):
        self.recipe = recipe
        self.options = options
        self.store = store
        self.device = device.device_class()
        # What streams planned before will have done: (phase, key) -> id -> seconds.
        self._coming: dict[tuple[str, str], dict[str, float]] = {}
        self._arranged: dict[str, _Arranged] = {}
        self._scratch: list[int] = []  # bytes of each part's samples
        self._stored = self._shards = 0.0
        self._looks_coming: set[str] = set()
        self._pcm: dict[str, int] = {}  # stream -> bytes per second of its samples
        self._topics: dict[str, str] = {}  # of the pages of the stream that is planned now

    def stream(self, name: str, lacking: bool) -> StreamPlan:
        """One stream, up to its documents. Where a model is missing only DATA can be told."""
        crawl = next((s for s in self.recipe.steps(name, "gather") if isinstance(s, Crawl)), None)
        scan = scan_data(
            self.store,
            self.options,
            crawl or Crawl(),
            self.recipe.kind(name),
            wanted(self.recipe),
        )
        counted = limited(scan.census, self.options.limit_seconds)
        phases = [self._gather(scan)]
        if not lacking:
            line = outlines.outline(self.recipe, name, self.device)
            refuse_mixed_channels(line, scan.census.sources)
            phases += self._phases(line, counted)
        return StreamPlan(
            name=name,
            files=len(scan.census.sources) + len(scan.census.drops),
            dropped=dict(sorted(Counter(d.reason for d in scan.census.drops).items())),
            recordings=len(counted.recordings),
            seconds=sum(r.seconds for r in counted.recordings.values()),
            known_files=scan.known,
            probed_files=scan.probed,
            guessed_files=scan.guessed,
            phases=tuple(phases),
            limited=len(counted.recordings) < len(scan.census.recordings),
        )

    def _gather(self, scan: Scan) -> PhasePlan:
        key = outlines.gather_key()
        new = {name: size for name, size in scan.new.items() if name not in self._looks_coming}
        self._looks_coming |= set(new)
        total = sum(new.values())
        parts = _parts_of_bytes(new)
        compute = len(new) * costs.LOOK_SECONDS + total / costs.DIGEST_BYTES
        planned = sum(found / BYTES_PER_SECOND for found in parts)
        return PhasePlan(
            phase="gather",
            steps=("crawl",),
            key=key,
            items=scan.known + len(scan.new),
            seconds=0.0,
            cached_items=scan.known + len(scan.new) - len(new),
            cached_seconds=0.0,
            parts=len(parts),
            workers=worker_count(self.options, planned, len(parts)) if parts else 0,
            compute_seconds=compute,
            measured=False,
            held_by=self._holder("gather", key),
        )

    def _phases(self, line: StreamOutline, counted: Census) -> list[PhasePlan]:
        if line.kind == "page":
            return self._of_pages(line, counted)
        found = []
        pcm = 2 * next(step.rate for step in line.hear if isinstance(step, Decode))
        self._pcm[line.name] = pcm
        heard, plan = self._records(
            "hear", line.hear_key, line.hear, outlines.hear_members(counted), 1.0
        )
        found.append(plan)
        share = _stored_share(self.store, line.hear_key, heard)
        todo = plan.seconds - plan.cached_seconds
        coming = outlines.hear_members(counted)
        parts = plan_parts(coming, (), target_of(self.options, coming))
        self._scratch += [round(part.seconds * pcm) for part in parts if todo]
        self._stored += todo * share * pcm * costs.FLAC_SHARE
        members = outlines.annotate_members(counted, heard)
        annotated, plan = self._records(
            "annotate", line.annotate_key, line.annotate, members, share
        )
        found.append(plan)
        members = outlines.measure_members(counted, annotated)
        return [*found, *self._judged(line, counted, annotated, members, found)]

    def _of_pages(self, line: StreamOutline, counted: Census) -> list[PhasePlan]:
        """Pages that were extracted are known; of files that were not, nothing but their size is,
        and they are taken for one page each, that is kept and spoken whole."""
        self._topics = {}
        rate = synthesized_rate(line.annotate)
        self._pcm[line.name] = 2 * rate if line.annotate else int(MEASURED_PER_SECOND)
        files = outlines.extract_members(counted)
        _, plan = self._records("extract", line.hear_key, line.hear, files, 0.0)
        found = [plan]
        known = ledger(self.store, "extract", line.hear_key)
        here = {name: r for name, r in counted.recordings.items() if name in known.done}
        paged, pages = with_pages(self.store, _of_files(counted, here), known)
        guessed = {
            name: recording.size / CHARACTERS_PER_SECOND
            for name, recording in counted.recordings.items()
            if name not in known.done
        }
        whole = dataclasses.replace(
            paged,
            tasks={
                **paged.tasks,
                **{name: Task(id=name, recording=name, seconds=s) for name, s in guessed.items()},
            },
        )
        said = {**pages.said, **guessed}
        rows = Ledger(
            {**pages.rows.done, **dict.fromkeys(guessed, "")},
            {
                **pages.rows.seconds,
                **{
                    name: s * CHARACTERS_PER_SECOND / MEASURED_PER_SECOND
                    for name, s in guessed.items()
                },
            },
            (),
        )
        members = outlines.measure_members(whole, rows)
        if line.before is None:
            return [*found, *self._judged(line, whole, rows, members, found, not guessed)]
        shards = self._shards
        found += self._judged(line.before, whole, rows, members, found, not guessed)[:-1]
        self._arranged.pop(line.name, None)  # nothing is arranged of pages that are to be spoken
        self._shards = shards
        kept: Collection[str] = whole.tasks
        self._topics = {}
        judged = None if guessed else self._select_key(line.before, whole, rows)
        if judged is not None and self.store.size(manifest_name(judged[0])) is not None:
            kept = kept_tasks(self.store, *judged)
            self._topics = outlines.page_topics(self.store, line.before, judged[1], kept)
        spoken = dataclasses.replace(pages, rows=rows, said=said)
        members = outlines.synthesize_members(whole, spoken, kept)
        made, plan = self._records("synthesize", line.annotate_key, line.annotate, members, 1.0)
        found.append(plan)
        todo = plan.seconds - plan.cached_seconds
        self._stored += todo * self._pcm[line.name] * costs.FLAC_SHARE
        mine = of_tasks(whole, frozenset(kept))
        members = outlines.measure_members(mine, made)
        found += self._judged(line, mine, made, members, found, not guessed)
        self._topics = {}
        return found

    def _select_key(
        self, line: StreamOutline, counted: Census, rows: Ledger
    ) -> tuple[str, tuple[Any, ...]] | None:
        """The key and blocks of a select phase; None where a measure lacks rows."""
        measured = [ledger(self.store, "measure", key) for key in line.measure_keys]
        if any(name not in one.done for one in measured for name in counted.tasks):
            return None
        held = outlines.task_rows(counted, rows, measured)
        return outlines.select_key(self.recipe, line, input_digest(held)), plan_blocks(held)

    def _judged(
        self,
        line: StreamOutline,
        counted: Census,
        rows: Ledger,
        members: Sequence[Member],
        before: Sequence[PhasePlan],
        whole: bool = True,
    ) -> list[PhasePlan]:
        """The measures of a stream's rows, then select and arrange. `whole`: all rows are known."""
        measured = []
        found = []
        for measure, key in zip(line.measures, line.measure_keys, strict=True):
            known, plan = self._records("measure", key, (measure,), members, 1.0)
            measured.append(known)
            found.append(plan)
        complete = whole and all(p.items == p.cached_items for p in [*before, *found])
        return [*found, *self._sets(line, counted, rows, measured, members, complete)]

    def _records(
        self,
        phase: str,
        key: str,
        steps: Sequence[Step],
        members: Sequence[Member],
        share: float,
    ) -> tuple[Ledger, PhasePlan]:
        """A record-wise phase, and its ledger as it will be. `share`: seconds out of seconds in."""
        known = ledger(self.store, phase, key)
        coming = self._coming.setdefault((phase, key), {})
        target = target_of(self.options, members)
        parts = plan_parts(members, known.done.keys() | coming.keys(), target)
        planned = sum(part.seconds for part in parts)
        new = {member.id: member.seconds for part in parts for member in part.members}
        rate = measured_rate(self.store, phase, key, known)
        each = _table_rate(steps, parts) if rate is None else rate
        plan = PhasePlan(
            phase=phase,
            steps=tuple(step.name() for step in steps),
            key=key,
            items=len(members),
            seconds=sum(member.seconds for member in members),
            cached_items=len(members) - len(new),
            cached_seconds=sum(member.seconds for member in members if member.id not in new),
            parts=len(parts),
            workers=worker_count(self.options, planned, len(parts)) if parts else 0,
            compute_seconds=planned * each,
            measured=rate is not None,
            held_by=self._holder(phase, key),
        )
        coming.update({name: seconds * share for name, seconds in new.items()})
        done = {**dict.fromkeys(coming, ""), **known.done}
        seconds = {**coming, **known.seconds}
        return Ledger(done, seconds, known.commits, dead=known.dead), plan

    def _sets(
        self,
        line: StreamOutline,
        counted: Census,
        annotated: Ledger,
        measured: list[Ledger],
        members: Sequence[Member],
        complete: bool,
    ) -> list[PhasePlan]:
        """select and arrange: their keys are known once all rows are."""
        seconds = sum(member.seconds for member in members)
        select_key = arrange_key = None
        selected = False
        arranged = 0
        if complete:
            rows = outlines.task_rows(counted, annotated, measured, self._topics)
            blocks = plan_blocks(rows)
            select_key = outlines.select_key(self.recipe, line, input_digest(rows))
            selected = self.store.size(manifest_name(select_key)) is not None
            arrange_key = outlines.arrange_key(self.recipe, line, select_key)
            known = ledger(self.store, "arrange", arrange_key)
            arranged = sum(row.task in known.done for row in rows)
            if selected and arranged == len(rows):
                self._arranged[line.name] = _Arranged(line, arrange_key, known, blocks)
        if line.name not in self._arranged:
            self._shards += seconds * self._pcm[line.name] * costs.FLAC_SHARE
        found = []
        for phase, steps, key, cached in (
            ("select", line.select, select_key, len(members) if selected else 0),
            (
                "arrange",
                (*([line.mask] if line.mask else []), line.interleave),
                arrange_key,
                arranged,
            ),
        ):
            todo = bool(members) and cached < len(members)
            found.append(
                PhasePlan(
                    phase=phase,
                    steps=tuple(step.name() for step in steps),
                    key=key,
                    items=len(members),
                    seconds=seconds,
                    cached_items=cached,
                    cached_seconds=seconds if not todo else 0.0,
                    parts=int(todo),
                    workers=int(todo),
                    compute_seconds=costs.SET_SECONDS * seconds if todo else 0.0,
                    measured=False,
                    held_by=self._holder(phase, key),
                )
            )
        return found

    def composed(self, streams: tuple[StreamPlan, ...]) -> tuple[StreamPlan, ...]:
        """The streams with their compose phase: all of them stand in one composition."""
        complete = len(self._arranged) == len(streams)
        key = None
        if complete:
            arranged = {name: one.key for name, one in self._arranged.items()}
            key = outlines.compose_key(self.recipe, arranged, self.device)
        return tuple(
            dataclasses.replace(stream, phases=(*stream.phases, self._compose(stream, key)))
            if len(stream.phases) > 1
            else stream
            for stream in streams
        )

    def _compose(self, stream: StreamPlan, key: str | None) -> PhasePlan:
        one = self._arranged.get(stream.name)
        target = self.recipe.shards.hours * 3600
        if one is None:
            seconds = stream.phases[-1].seconds
            count = math.ceil(seconds / target)
            shards = [(seconds / max(1, count), False)] * count
        else:
            parts = plan_stream(
                self.store,
                one.outline.name,
                one.outline.audio,
                one.ledger,
                one.blocks,
                target,
                form_of(self.recipe.shards),
                self.device,
                spoken=one.outline.rows != "extract",
            )
            shards = [(part.seconds, _written(self.store, part.id)) for part in parts]
        todo = [seconds for seconds, cached in shards if not cached]
        if one is not None:
            self._shards += sum(todo) * self._pcm[stream.name] * costs.FLAC_SHARE
        return PhasePlan(
            phase="compose",
            steps=("shards",),
            key=key,
            items=len(shards),
            seconds=sum(seconds for seconds, _ in shards),
            cached_items=len(shards) - len(todo),
            cached_seconds=sum(seconds for seconds, cached in shards if cached),
            parts=len(todo),
            workers=worker_count(self.options, sum(todo), len(todo)) if todo else 0,
            compute_seconds=sum(todo) * costs.COMPOSE_SECONDS,
            measured=False,
            held_by=self._holder("compose", key),
        )

    def _holder(self, phase: str, key: str | None) -> str:
        holder = held_by(self.store, phase, key) if key else None
        return f"run {holder.run}, process {holder.pid} on {holder.host}" if holder else ""

    def disk(self, workers: int) -> Disk:
        scratch = self.options.scratch or tempfile.gettempdir()
        return Disk(
            scratch=sum(sorted(self._scratch, reverse=True)[:workers]),
            stored=round(self._stored),
            shards=round(self._shards),
            free_out=self.store.free(),
            free_scratch=shutil.disk_usage(_existing(Path(scratch))).free,
        )


def _table_rate(steps: Sequence[Step], parts: Sequence[Part]) -> float:
    """Core seconds per second of audio by the table; given texts need no recognizer after them."""
    members = [member for part in parts for member in part.members]
    total = sum(member.seconds for member in members)
    silent = sum(m.seconds for m in members if getattr(m.root, "text", None) is None)
    found = 0.0
    for step in steps:
        engines = costs.engines(step)
        share = silent / total if engines[:1] == ("given",) and total else 1.0
        found += costs.cost(step).seconds * share
    return found


def synthesized_rate(steps: Sequence[Step]) -> int:
    """The sample rate that a stream of pages is spoken at."""
    return next((r for step in steps if (r := getattr(step, "rate", None))), RATE)


def _of_files(counted: Census, files: Mapping[str, Recording]) -> Census:
    """The census with some of its files."""
    return dataclasses.replace(
        counted,
        recordings=dict(files),
        sources=tuple(s for s in counted.sources if counted.holds[s.id] in files),
    )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _parts_of_bytes(sizes: Mapping[str, float]) -> list[float]:
    """Bytes of each part of new files, cut as gather cuts them."""
    return [
        found.size
        for found in cut(
            ((name, max(size, 1e6)) for name, size in sizes.items()), gathering.PART_BYTES
        )
    ]


def _written(store: Store, plan: str) -> bool:
    """Whether a shard of this content exists, here or in another composition."""
    try:
        note = json.loads(store.get(layout.shard_entry_name(plan)))
    except FileNotFoundError:
        return False
    return store.size(note["tar"]) == note["entry"]["bytes"]


def measured_rate(store: Store, phase: str, key: str, known: Ledger) -> float | None:
    """Core seconds per second of audio at a phase's entrance, by its own tallies; None: too few."""
    spent = audio = 0.0
    for name in known.commits[:MOST_COMMITS]:
        spent += pc.sum(commits.column(store, name, "tally", ["compute_seconds"])[0]).as_py() or 0.0
        audio += pc.sum(commits.column(store, name, "done", ["seconds"])[0]).as_py() or 0.0
    return spent / audio if audio >= LEAST_MEASURED else None


def _stored_share(store: Store, key: str, known: Ledger) -> float:
    """Stored speech per second of recording, by this OUT's own hear, else by the samples."""
    heard = kept = 0.0
    for name in known.commits[:MOST_COMMITS]:
        rows = commits.column(store, name, "row", ["start", "end"])
        kept += (pc.sum(pc.subtract(rows["end"], rows["start"])).as_py() or 0.0) if len(rows) else 0
        heard += pc.sum(commits.column(store, name, "done", ["seconds"])[0]).as_py() or 0.0
    return min(1.0, kept / heard) if heard >= LEAST_MEASURED else costs.STORED_SHARE
