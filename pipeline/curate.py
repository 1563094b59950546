"""A run: the phases one after another, each planned from what is committed and then worked on.

Every phase goes the same way: read its ledger, subtract what is done, cut the rest into parts, take
the phase's lock, let the workers run, compact, and check that nothing was lost. A run that finds
everything done takes no lock, starts no worker and writes only its report.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pipeline import commits, device, hub_models, layout, suppression
from pipeline import outline as outlines
from pipeline.archives import found_in_archives
from pipeline.breaker import USUAL, Breaker, MaxFailures
from pipeline.commits import Ledger, ledger
from pipeline.fetching import Fetching, found_on_web
from pipeline.hub_datasets import found_in_dataset, names_dataset
from pipeline.kinds import taken, wanted
from pipeline.locks import phase_lock
from pipeline.outline import StreamOutline
from pipeline.parts import Member, Parts, part_target, plan
from pipeline.phases import gather as gathering
from pipeline.phases.annotate import AnnotateJob
from pipeline.phases.arrange import ArrangeJob
from pipeline.phases.dataset_rows import dataset_key
from pipeline.phases.extract import ExtractJob
from pipeline.phases.fetch import fetch_key
from pipeline.phases.form import form_of
from pipeline.phases.gather import (
    Census,
    GatherJob,
    Look,
    census,
    look_id,
    plan_gather,
)
from pipeline.phases.hear import HearJob
from pipeline.phases.measure import MeasureJob
from pipeline.phases.objects import found_in_objects, names_objects
from pipeline.phases.pages import CHARACTERS_PER_SECOND, Pages, with_pages
from pipeline.phases.rows import Block
from pipeline.phases.select import (
    SelectJob,
    SelectPart,
    input_digest,
    manifest_name,
    plan_blocks,
    read_verdicts,
)
from pipeline.phases.shards import ShardJob, entry_of, plan_stream, reuse
from pipeline.phases.synthesize import SynthesizeJob
from pipeline.recipe import Recipe
from pipeline.runners.engine import Engine, engine_of, refuse_unreachable
from pipeline.runners.submit import Submitted
from pipeline.simple import SimpleJob
from pipeline.supervise import Workers
from pipeline.work import ConservationError
from schemas.ids import digest_of
from schemas.manifest import ShardEntry
from schemas.records import Drop, Recording, Source
from schemas.store import Store, StoreError
from transforms.gather.found import DataError, Found, shown
from transforms.gather.listing import find, not_only_drops
from transforms.gather.web.data import recognise
from transforms.hear.decode import Decode
from transforms.step import Step

SECONDS_PER_WORKER = 300.0  # planned audio that pays for the start of one more worker
HERE_SECONDS = 1e9 / gathering.BYTES_PER_SECOND  # a gigabyte: digested in about a second

Observe = Callable[[str, Any], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to run; nothing here may change a result."""

    data: str
    out: str
    workers: int | None = None  # None: chosen from cores and planned audio
    part_seconds: float | None = None  # of audio in a part; None: chosen from audio and workers
    limit_seconds: float | None = None
    rehash: bool = False
    scratch: str | None = None
    runner: str = "direct"
    beam: str = ""  # options for another runner than direct, as a shell would split them
    kind: str | None = None  # of DATA; None: by what it is
    max_failures: MaxFailures = USUAL
    refetch: bool = False  # ask for URLs again, which servers may answer by "unchanged"


NOTHING = Ledger({}, {}, ())


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamResult:
    """What a stream came to, by keys and ledgers: all that reports and checks need."""

    outline: StreamOutline
    census: Census
    heard: Ledger
    annotated: Ledger
    measured: tuple[Ledger, ...]
    blocks: tuple[Block, ...]
    select_key: str
    arrange_key: str = ""
    arranged: Ledger = NOTHING
    limited: bool = False  # by --limit: not all of DATA
    pages: Pages | None = None  # of a stream of pages
    before: "StreamResult | None" = None  # of pages that are spoken: how they were judged


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    run: str
    recipe: Recipe
    device: str
    streams: tuple[StreamResult, ...]
    compose_key: str
    shards: tuple[ShardEntry, ...]
    counters: dict[str, int]


def new_run_id() -> str:
    """A name for a run: when it began, and chance, so that two never share one."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + os.urandom(3).hex()


class Curator:
    """One run over one store."""

    def __init__(self, recipe: Recipe, options: Options, observe: Observe, run: str | None = None):
        self.recipe = recipe
        self.options = options
        self.store = Store(options.out)
        self.run_id = run or new_run_id()
        self.device = device.device_class()
        self.counters: dict[str, int] = {}
        self._observe = observe
        self._breaker = Breaker(options.max_failures, options.out)
        self._workers: Workers | Submitted = _workers_of(options, recipe, self.run_id, self._tell)
        self._asked: set[str] = set()  # URLs that this run has asked for, over all streams

    def _tell(self, kind: str, value: Any) -> None:
        """Pass an event on. Raises `TooManyFailuresError` where too much of a phase failed."""
        if kind == "phase":
            self._breaker.begin(value["phase"])
        if kind != "outcomes":
            self._observe(kind, value)
            return
        failed = [one for one in value if one is not None]
        if failed:
            self._observe("failures", failed)
        self._breaker.note(value)

    def curate(self) -> RunResult:
        """Run all phases. Raises `RunFailedError`, `PhaseBusyError`, `DataError`, `StoreError`."""
        hub_models.prepare(self.recipe, self._tell)
        _make(self.options.scratch)
        with self._workers:
            streams = tuple(self._stream(name) for name in self.recipe.streams)
            compose_key, shards = self._compose(streams)
        return RunResult(
            run=self.run_id,
            recipe=self.recipe,
            device=self.device,
            streams=streams,
            compose_key=compose_key,
            shards=shards,
            counters=dict(sorted(self.counters.items())),
        )

    def _stream(self, name: str) -> StreamResult:
        form_of(self.recipe.shards)  # a tokenizer that is missing is told before any work
        line = outlines.outline(self.recipe, name, self.device)
        whole = self._gather(line)
        counted = limited(whole, self.options.limit_seconds)
        short = len(counted.recordings) < len(whole.recordings)
        heard = self._opened(line, counted)
        if line.kind == "audio":
            annotated = self._annotate(line, counted, heard)
            return self._judged(line, counted, heard, annotated, short)
        counted, pages = with_pages(self.store, counted, heard)
        if line.before is None:
            found = self._judged(line, counted, heard, pages.rows, short)
            return dataclasses.replace(found, pages=pages)
        before = self._selected(line.before, counted, heard, pages.rows, short)
        kept = kept_tasks(self.store, before.select_key, before.blocks)
        spoken = self._synthesize(line, outlines.synthesize_members(counted, pages, kept))
        mine = of_tasks(counted, kept)
        topics = outlines.page_topics(self.store, line.before, before.blocks, kept)
        found = self._judged(line, mine, heard, spoken, short, topics)
        return dataclasses.replace(found, census=counted, pages=pages, before=before)

    def _judged(
        self,
        line: StreamOutline,
        counted: Census,
        heard: Ledger,
        annotated: Ledger,
        short: bool,
        topics: Mapping[str, str] | None = None,
    ) -> StreamResult:
        """Measure and judge the rows of a stream, and make documents of what is kept."""
        found = self._selected(line, counted, heard, annotated, short, topics)
        arrange_key = outlines.arrange_key(self.recipe, line, found.select_key)
        arranged = self._arrange(line, found.select_key, arrange_key, found.blocks)
        return dataclasses.replace(found, arrange_key=arrange_key, arranged=arranged)

    def _selected(
        self,
        line: StreamOutline,
        counted: Census,
        heard: Ledger,
        annotated: Ledger,
        short: bool,
        topics: Mapping[str, str] | None = None,
    ) -> StreamResult:
        measured = self._measure(line, counted, annotated)
        rows = outlines.task_rows(counted, annotated, measured, topics)
        blocks = plan_blocks(rows)
        select_key = outlines.select_key(self.recipe, line, input_digest(rows))
        self._select(line, select_key, blocks)
        return StreamResult(
            outline=line,
            census=counted,
            heard=heard,
            annotated=annotated,
            measured=tuple(measured),
            blocks=blocks,
            select_key=select_key,
            limited=short,
        )

    def _work(
        self,
        phase: str,
        key: str,
        job: Any,
        parts: Collection[Any],
        lock: tuple[str, str] | None = None,
        then: Sequence[Step] = (),
    ) -> None:
        """Run a job over parts under the phase's lock; nothing where there is nothing to do.

        `lock`: another phase and key to hold instead of its own. `then`: steps of the next phase,
        whose models a worker that is done here may load.
        """
        planned = sum(part.seconds for part in parts)
        self._tell("phase", {"phase": phase, "parts": len(parts), "seconds": planned})
        if not parts:
            return
        job = dataclasses.replace(job, hints=self.recipe.hints(phase))
        with phase_lock(self.store, *(lock or (phase, key)), self.run_id):
            few = planned < HERE_SECONDS if phase == "gather" else len(parts) == 1
            if phase in ("gather", "fetch", "unpack") and few:
                counted = self._here(job, parts)
            else:
                count = self._worker_count(planned, len(parts))
                counted = self._workers.run(job, parts, count, then)
        for name, value in counted.items():
            self.counters[name] = self.counters.get(name, 0) + value

    def _here(self, job: SimpleJob, parts: Collection[Any]) -> dict[str, int]:
        """Look at a few files, or ask one part's hosts, in this process: it is done before a worker
        has imported Beam."""
        for part in parts:
            self._tell("begin", part.id)
            outcomes = job.run_part(part)
            if outcomes:
                self._tell("outcomes", outcomes)
            self._tell("committed", (part.id, part.seconds))
        return {f"{job.phase}/commits": len(parts)}

    def _worker_count(self, planned: float, parts: int) -> int:
        if self.options.workers is not None:
            return min(self.options.workers, parts)
        cores = len(os.sched_getaffinity(0))
        return max(1, min(cores, parts, math.ceil(planned / SECONDS_PER_WORKER)))

    def _common(self, key: str) -> dict[str, Any]:
        return {
            "key": key,
            "store": self.store,
            "run": self.run_id,
            "device": self.device,
            "scratch": self.options.scratch,
        }

    def _gather(self, line: StreamOutline) -> Census:
        key = outlines.gather_key()
        if self.options.rehash:
            gathering.forget(self.store, key)
        refuse_nested(self.options)
        generation = gathering.generation(self.store, key)
        listed = suppression.suppressed(self.store)
        found = suppression.heeded(listed, taken(self._found(line), line.kind, wanted(self.recipe)))
        refuse_mixed_channels(line, [item.source for item in found])
        looks = {
            place: look_id(item.path, generation)
            for place, item in enumerate(found)
            if item.drop is None
        }
        known = ledger(self.store, "gather", key)
        todo = [
            (name, found[place])
            for place, name in looks.items()
            if name is not None and name not in known.done
        ]
        parts = plan_gather(todo, self.run_id)
        if parts:  # new files will be heard: let the workers that it takes get ready meanwhile
            planned = sum(part.seconds for part in parts)
            count = self._worker_count(planned, len(todo))
            # What was only touched needs no models of annotate.
            self._workers.start(count, line.hear, then=(*line.annotate, *line.measures))
        job = GatherJob(crawl=line.crawl, **self._common(key))
        # All recipes share what is known of files, and looking twice does no harm: only runs that
        # would hear the same exclude each other, or two recipes could not start side by side.
        self._work("gather", key, job, parts, lock=(line.opens, line.hear_key))
        commits.compact(self.store, "gather", key)
        answers = self._looks(key, {n for n in looks.values() if n}, parts)
        told = [(item, _answer(line, item, looks.get(p), answers)) for p, item in enumerate(found)]
        return census([(item, suppression.heeded_bytes(listed, item, a)) for item, a in told])

    def _found(self, line: StreamOutline) -> list[Found]:
        """The items of DATA: files that are there, or that were fetched first."""
        if names_objects(self.options.data):
            self._tell("data", {"kind": "objects"})
            found = found_in_objects(
                self.options.data,
                line.crawl,
                self.store,
                lambda job, parts: self._work("fetch", job.key, job, parts),
                self._common(fetch_key()),
                self.run_id,
            )
            return list(not_only_drops(self.options.data, iter(found)))
        if names_dataset(self.options.data, self.options.kind):
            self._tell("data", {"kind": "dataset"})
            found = found_in_dataset(
                self.options.data,
                line.crawl,
                self.store,
                lambda job, parts: self._work("unpack", job.key, job, parts),
                self._common(dataset_key()),
                self._tell,
            )
            return list(not_only_drops(self.options.data, iter(found)))
        data = recognise(self.options.data, self.options.kind, wanted(self.recipe))
        if data is None:
            return list(find(self.options.data, line.crawl, wanted(self.recipe)))
        fetching = Fetching(
            store=self.store,
            crawl=line.crawl,
            workers=self.options.workers or len(os.sched_getaffinity(0)),
            run=lambda job, parts: self._work("fetch", job.key, job, parts),
            run_id=self.run_id,
            device=self.device,
            observe=self._tell,
            scratch=self.options.scratch,
            refetch=self.options.refetch,
            asked=self._asked,
        )
        if data.archived:
            fetching.taken_for(str(data.kind))
            found = found_in_archives(
                data,
                fetching,
                lambda job, parts: self._work("unpack", job.key, job, parts),
                wanted(self.recipe),
            )
        else:
            found = found_on_web(data, fetching)
        return list(not_only_drops(shown(data.name), iter(found), wanted(self.recipe)))

    def _looks(
        self, key: str, wanted: set[str], parts: Sequence[Any]
    ) -> dict[str, Recording | Drop]:
        """What is known of each look: remembered, or made by this run (which then counts)."""
        answers: dict[str, Recording | Drop] = {}
        known = ledger(self.store, "gather", key)
        names = [
            *known.commits_of(wanted),
            *(layout.commit_name("gather", key, p.id) for p in parts),
        ]
        by_source = {item.source.id: name for part in parts for name, item in part.items}
        for name in names:
            for look in commits.records(self.store, name, "row", Look):
                if look.id in wanted:
                    answers[look.id] = look.recording
            for drop in commits.records(self.store, name, "drop", Drop):
                if drop.id in by_source:
                    answers[by_source[drop.id]] = drop
        return answers

    def _opened(self, line: StreamOutline, counted: Census) -> Ledger:
        """What hear made of recordings, or extract of files of pages."""
        if line.kind == "page":
            members = outlines.extract_members(counted)
            job: Any = ExtractJob(
                seed=self.recipe.seed, steps=line.hear, **self._common(line.hear_key)
            )
            return self._record_phase("extract", line.hear_key, job, members)
        members = outlines.hear_members(counted)
        job = HearJob(seed=self.recipe.seed, steps=line.hear, **self._common(line.hear_key))
        return self._record_phase("hear", line.hear_key, job, members, then=line.annotate)

    def _synthesize(self, line: StreamOutline, members: Sequence[Member]) -> Ledger:
        known = ledger(self.store, "synthesize", line.annotate_key)
        if any(member.id not in known.done for member in members):
            for step in line.annotate:
                reach(step)
        job = SynthesizeJob(
            seed=self.recipe.seed, steps=line.annotate, **self._common(line.annotate_key)
        )
        return self._record_phase("synthesize", line.annotate_key, job, members)

    def _annotate(self, line: StreamOutline, counted: Census, heard: Ledger) -> Ledger:
        members = outlines.annotate_members(counted, heard)
        job = AnnotateJob(
            seed=self.recipe.seed,
            steps=line.annotate,
            hear_key=line.hear_key,
            **self._common(line.annotate_key),
        )
        return self._record_phase("annotate", line.annotate_key, job, members)

    def _record_phase(
        self,
        phase: str,
        key: str,
        job: Any,
        members: Sequence[Any],
        then: Sequence[Step] = (),
    ) -> Ledger:
        known = commits.compact(self.store, phase, key)
        parts = Parts(plan(members, known.lacking, target_of(self.options, members)))
        self._work(phase, key, job, parts, then=then)
        known = commits.compact(self.store, phase, key) if parts else known
        _all_done(phase, [m.id for m in members], known)
        return known

    def _measure(self, line: StreamOutline, counted: Census, annotated: Ledger) -> list[Ledger]:
        members = outlines.measure_members(counted, annotated)
        ledgers = [ledger(self.store, "measure", key) for key in line.measure_keys]
        missing: dict[tuple[int, ...], list[Any]] = {}
        for member in members:
            lacks = tuple(i for i, known in enumerate(ledgers) if member.id not in known.done)
            if lacks:
                missing.setdefault(lacks, []).append(member)
        for lacks, group in sorted(missing.items()):
            keys = tuple(line.measure_keys[i] for i in lacks)
            key = digest_of("measure group", list(keys))
            job = MeasureJob(
                seed=self.recipe.seed,
                steps=tuple(line.measures[i] for i in lacks),
                keys=keys,
                hear_key=line.audio,
                **self._common(key),
            )
            parts = Parts(plan(group, lambda ids: ids, target_of(self.options, group)))
            self._work("measure", key, job, parts)
        if missing:
            ledgers = [commits.compact(self.store, "measure", key) for key in line.measure_keys]
        for known in ledgers:
            _all_done("measure", [m.id for m in members], known)
        return ledgers

    def _select(self, line: StreamOutline, key: str, blocks: Sequence[Block]) -> None:
        job = SelectJob(
            seed=self.recipe.seed,
            steps=line.select,
            measures=line.measures,
            pages=line.kind == "page",
            **self._common(key),
        )
        parts = []
        if self.store.size(manifest_name(key)) is None:
            seconds = sum(block.seconds for block in blocks)
            parts = [SelectPart(id=key, blocks=tuple(blocks), seconds=seconds)]
        self._work("select", key, job, parts)

    def _arrange(
        self, line: StreamOutline, select_key: str, key: str, blocks: Sequence[Block]
    ) -> Ledger:
        job = ArrangeJob(
            seed=self.recipe.seed,
            stream=line.name,
            interleave=line.interleave,
            mask=line.mask,
            select_key=select_key,
            hear_key=line.audio,
            measures=line.measures,
            pages=line.kind == "page",
            **self._common(key),
        )
        known = ledger(self.store, "arrange", key)
        todo = [b for b in blocks if any(known.lacking(task.task for task in b.tasks))]
        self._work("arrange", key, job, todo)
        known = ledger(self.store, "arrange", key) if todo else known
        _all_done("arrange", [task.task for block in blocks for task in block.tasks], known)
        return known

    def _compose(self, streams: Sequence[StreamResult]) -> tuple[str, tuple[ShardEntry, ...]]:
        arranged = {s.outline.name: s.arrange_key for s in streams}
        key = outlines.compose_key(self.recipe, arranged, self.device)
        form = form_of(self.recipe.shards)
        parts = [
            part
            for s in streams
            for part in plan_stream(
                self.store,
                s.outline.name,
                s.outline.audio,
                s.arranged,
                s.blocks,
                self.recipe.shards.hours * 3600,
                form,
                self.device,
                spoken=s.outline.rows != "extract",
            )
        ]
        todo = [part for part in parts if not reuse(self.store, key, part)]
        self._work("compose", key, ShardJob(form=form, **self._common(key)), todo)
        return key, tuple(entry_of(self.store, key, part) for part in parts)


def engine_for(options: Options, recipe: Recipe, run: str = "") -> Engine:
    """The engine that a run asks for. Raises `EngineError` where it cannot run it."""
    hinted = [name for name in sorted(recipe.resources) if "accelerator" in recipe.hints(name)]
    engine = engine_of(options.runner, options.beam, options.out, options.workers, run, hinted)
    refuse_unreachable(engine, options.data, options.out, options.kind, wanted(recipe))
    return engine


def _workers_of(
    options: Options, recipe: Recipe, run: str, observe: Observe
) -> Workers | Submitted:
    engine = engine_for(options, recipe, run)
    return Workers(observe) if engine.direct else Submitted(engine, observe)


def target_of(options: Options, members: Sequence[Member]) -> float:
    """Seconds of audio in a part; where they are cut changes no result."""
    if options.part_seconds is not None:
        return options.part_seconds
    workers = options.workers or len(os.sched_getaffinity(0))
    return part_target(sum(member.seconds for member in members), workers)


def _make(scratch: str | None) -> None:
    """The folder of --scratch, where there is none. Raises `StoreError`."""
    if scratch is None:
        return
    try:
        os.makedirs(scratch, exist_ok=True)
    except OSError as error:
        why = f"cannot make {scratch} ({error.strerror})"
        raise StoreError(f"{why}: name another folder by --scratch") from error


def refuse_nested(options: Options) -> None:
    """OUT inside DATA would make results into input."""
    store = Store(options.out)
    if store.remote:
        data, out = options.data, store.url
    elif os.path.isdir(options.data):
        data, out = os.path.realpath(options.data), os.path.realpath(store.url)
    else:
        return
    if out.rstrip("/") == data.rstrip("/") or out.startswith(data.rstrip("/") + "/"):
        raise DataError(
            shown(options.data),
            f"OUT ({shown(options.out)}) lies inside DATA, so results would become input",
            "Name an OUT outside it.",
        )


def refuse_mixed_channels(line: StreamOutline, sources: Sequence[Source]) -> None:
    """A row for one channel of a mix would take every voice in it under its own text and name."""
    if not any(isinstance(step, Decode) and step.channels == "mix" for step in line.hear):
        return
    named = next((source for source in sources if source.channel is not None), None)
    if named is not None:
        raise DataError(
            shown(named.provenance or named.uri),
            f"channel {named.channel} is given, and the recipe mixes all channels into one",
            "Keep them apart with --set decode.channels=split, or leave the column out.",
        )


def _answer(
    line: StreamOutline, item: Found, name: str | None, answers: dict[str, Recording | Drop]
) -> Recording | Drop:
    """What became of one item found: a recording, or a drop under its own source's id."""
    if item.drop is not None:
        return item.drop
    answer = answers.get(name) if name is not None else None
    if answer is None:
        reason = "missing" if name is None else "changed"
        answer = Drop(
            id=item.source.id,
            root=item.source.id,
            step=line.crawl.name(),
            reason=reason,
            seconds=0.0,
        )
    if isinstance(answer, Drop):
        return dataclasses.replace(answer, id=item.source.id, root=item.source.id)
    return answer


def _all_done(phase: str, ids: Sequence[str], known: Ledger) -> None:
    lost = list(known.lacking(ids))
    if lost:
        raise ConservationError(
            f"{phase}: {len(lost)} of {len(ids)} records are not accounted for, first {lost[0]}"
        )


def limited(counted: Census, limit_seconds: float | None) -> Census:
    """The first recordings by id up to a number of seconds: the same ones in every run.

    Of a file of pages, which has no length, every character takes as long as reading it aloud.
    """
    if limit_seconds is None:
        return counted
    total, kept = 0.0, set()
    for name, recording in sorted(counted.recordings.items()):
        if kept and total >= limit_seconds:
            break
        kept.add(name)
        page = name in counted.pages
        total += recording.size / CHARACTERS_PER_SECOND if page else recording.seconds
    tasks = {name: task for name, task in counted.tasks.items() if task.recording in kept}
    return dataclasses.replace(
        counted,
        sources=tuple(s for s in counted.sources if counted.holds[s.id] in kept),
        holds={name: held for name, held in counted.holds.items() if held in kept},
        recordings={name: r for name, r in counted.recordings.items() if name in kept},
        tasks=tasks,
        sources_of={name: counted.sources_of[name] for name in tasks},
    )


def reach(step: Step) -> None:
    """See that the endpoint of a step that asks one answers. Raises `ModelError`."""
    check = getattr(step, "check_reachable", None)
    if check is not None:
        check()


def of_tasks(counted: Census, kept: Collection[str]) -> Census:
    """The census with some of its tasks."""
    return dataclasses.replace(
        counted,
        tasks={name: task for name, task in counted.tasks.items() if name in kept},
        sources_of={name: found for name, found in counted.sources_of.items() if name in kept},
    )


def kept_tasks(store: Store, key: str, blocks: Sequence[Block]) -> frozenset[str]:
    """The tasks of which select kept a row."""
    verdicts = read_verdicts(store, key, [block.id for block in blocks])
    return frozenset(verdicts.filter(verdicts["kept"])["task"].to_pylist())


def keys_of(stream: StreamResult) -> dict[str, Any]:
    """Under which key each phase of a stream lies."""
    line = stream.outline
    if line.kind == "audio":
        found: dict[str, Any] = {"hear": line.hear_key, "annotate": line.annotate_key}
    else:
        found = {"extract": line.hear_key}
        if line.rows == "synthesize":
            found["synthesize"] = line.annotate_key
    found |= {
        "measure": list(line.measure_keys),
        "select": stream.select_key,
        "arrange": stream.arrange_key,
    }
    if stream.before is not None:
        found["page_measure"] = list(stream.before.outline.measure_keys)
        found["page_select"] = stream.before.select_key
    return found


def pointer(result: RunResult) -> bytes:
    """The newest finished run of a recipe, as JSON: what `explain`, `gc` and the trainer follow."""
    return json.dumps(
        {
            "run": result.run,
            "recipe": result.recipe.canonical(),
            "compose": result.compose_key,
            "streams": {s.outline.name: keys_of(s) for s in result.streams},
        },
        indent=2,
        sort_keys=True,
    ).encode()
