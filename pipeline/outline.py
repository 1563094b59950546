"""The keys and the input of every phase of a run, worked out without running anything.

`curate` and `plan` share it, so that what a plan shows as cached is what a run takes as cached.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline import keys
from pipeline.commits import Ledger, ledger
from pipeline.halves import Kind
from pipeline.parts import UNKNOWN_SECONDS, Member
from pipeline.phases.arrange import ROWS, TOPIC
from pipeline.phases.form import form_of
from pipeline.phases.gather import Census
from pipeline.phases.pages import Pages
from pipeline.phases.rows import Block, TaskRows, kept_rows
from pipeline.phases.shards import encoder
from pipeline.phases.synthesize import audio_place
from pipeline.recipe import Recipe
from schemas.ids import digest_of
from schemas.store import Store
from transforms.compose.interleave import Interleave
from transforms.compose.mask import Mask
from transforms.gather.crawl import Crawl
from transforms.measure.topic import Topic
from transforms.step import Measure, Step

BYTES_PER_SECOND = 20_000.0  # of files of pages that extract reads; ours, for planning


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamOutline:
    """One stream of a recipe: its steps by phase and the keys that do not depend on data.

    Of a stream of pages `hear` is its phase extract and `annotate` its phase synthesize: what looks
    into files, and what makes the clips. One that is not spoken has no clips: its rows are the
    pages, and `annotate_key` is that of extract.
    """

    name: str
    crawl: Crawl
    hear: tuple[Step, ...]
    annotate: tuple[Step, ...]
    measures: tuple[Measure, ...]
    select: tuple[Step, ...]
    interleave: Interleave
    mask: Mask | None
    hear_key: str
    annotate_key: str
    measure_keys: tuple[str, ...]
    kind: Kind = "audio"
    before: "StreamOutline | None" = None  # pages that are spoken: how they are measured and judged

    @property
    def opens(self) -> str:
        """The phase that opens files."""
        return "hear" if self.kind == "audio" else "extract"

    @property
    def rows(self) -> str:
        """The phase whose commits hold the rows that documents are made of."""
        if self.kind == "audio":
            return "annotate"
        return "synthesize" if self.annotate else "extract"

    @property
    def audio(self) -> str:
        """Where the samples of its clips lie, as `layout.tar_name` takes it."""
        return self.hear_key if self.kind == "audio" else audio_place(self.annotate_key)


def gather_key() -> str:
    """Looks at files depend on nothing but the files."""
    return keys.phase_key("gather", (), device="any")


def outline(recipe: Recipe, stream: str, device: str) -> StreamOutline:
    """Work out a stream's steps and keys."""
    kind = recipe.kind(stream)
    opens, makes = (
        (recipe.steps(stream, "hear"), recipe.steps(stream, "annotate"))
        if kind == "audio"
        else (recipe.steps(stream, "extract"), recipe.steps(stream, "synthesize"))
    )
    gather = recipe.steps(stream, "gather")
    crawl = next((step for step in gather if isinstance(step, Crawl)), Crawl())
    compose = recipe.steps(stream, "compose")
    seed = [recipe.seed]
    hear_key = keys.phase_key(
        "hear" if kind == "audio" else "extract", opens, device=device, extra=seed
    )
    annotate_key = hear_key
    if kind == "audio" or makes:
        phase = "annotate" if kind == "audio" else "synthesize"
        annotate_key = keys.phase_key(phase, makes, device=device, upstream=[hear_key], extra=seed)
    line = StreamOutline(
        name=stream,
        kind=kind,
        crawl=crawl,
        hear=opens,
        annotate=makes,
        measures=(),
        select=recipe.steps(stream, "select"),
        interleave=next((s for s in compose if isinstance(s, Interleave)), Interleave()),
        mask=next((step for step in compose if isinstance(step, Mask)), None),
        hear_key=hear_key,
        annotate_key=annotate_key,
        measure_keys=(),
    )
    line = _measured(line, recipe.steps(stream, "measure"), device, recipe.seed)
    if kind == "audio" or not makes:
        return line
    before = dataclasses.replace(
        line, annotate=(), annotate_key=hear_key, select=recipe.before_speech(stream, "select")
    )
    before = _measured(before, recipe.before_speech(stream, "measure"), device, recipe.seed)
    return dataclasses.replace(line, before=before)


def _measured(line: StreamOutline, steps: Sequence[Step], device: str, seed: int) -> StreamOutline:
    """A stream with the measures of its rows."""
    measures = tuple(step for step in steps if isinstance(step, Measure))
    upstream = [line.annotate_key]
    found = (
        keys.phase_key("measure", [one], device=device, upstream=upstream, extra=[seed])
        for one in measures
    )
    return dataclasses.replace(line, measures=measures, measure_keys=tuple(found))


def select_key(recipe: Recipe, stream: StreamOutline, input_digest: str) -> str:
    """Set-wise: one clip more may change the verdict on another."""
    return keys.phase_key(
        "select",
        stream.select,
        device="any",
        upstream=[stream.annotate_key, *stream.measure_keys],
        extra=[recipe.seed, input_digest],
    )


def arrange_key(recipe: Recipe, stream: StreamOutline, select: str) -> str:
    return keys.phase_key(
        "arrange",
        [stream.interleave, *([stream.mask] if stream.mask else [])],
        device="any",
        upstream=[select],
        extra=[recipe.seed, stream.name, ROWS],
    )


def compose_key(recipe: Recipe, arranged: Mapping[str, str], device: str) -> str:
    """The key of a composition: all streams together, and how shards are cut and filled."""
    shards: Any = recipe.shards.model_dump(mode="json")
    form = form_of(recipe.shards).key(device)
    return digest_of("compose", sorted(arranged.items()), shards, encoder(), *form)


def extract_members(census: Census) -> list[Member]:
    """Files of pages, by about how long it takes to read them."""
    return [
        Member(
            root=recording,
            seconds=recording.size / BYTES_PER_SECOND,
            path=census.paths[name],
        )
        for name, recording in sorted(census.recordings.items())
    ]


def synthesize_members(census: Census, pages: Pages, kept: Collection[str]) -> list[Member]:
    """The pages that are spoken."""
    return [
        Member(
            root=census.tasks[name],
            seconds=pages.said[name],
            upstream=(pages.rows.done[name],),
        )
        for name in sorted(kept)
    ]


def hear_members(census: Census) -> list[Member]:
    return [
        Member(
            root=recording, seconds=recording.seconds or UNKNOWN_SECONDS, path=census.paths[name]
        )
        for name, recording in sorted(census.recordings.items())
    ]


def annotate_members(census: Census, heard: Ledger) -> list[Member]:
    """Tasks whose recording was heard; those of a dead letter come when it has been retried."""
    return [
        Member(
            root=task,
            seconds=heard.seconds[task.recording],
            upstream=(heard.done[task.recording],),
        )
        for _, task in sorted(census.tasks.items())
        if task.recording in heard.done and task.recording not in heard.dead
    ]


def measure_members(census: Census, annotated: Ledger) -> list[Member]:
    return [
        Member(root=task, seconds=annotated.seconds[name], upstream=(annotated.done[name],))
        for name, task in sorted(census.tasks.items())
        if name in annotated.done and name not in annotated.dead
    ]


def page_topics(
    store: Store, stream: StreamOutline, blocks: Sequence[Block], kept: Collection[str]
) -> dict[str, str]:
    """The topics of pages, where they were told before the pages were spoken."""
    if not any(isinstance(measure, Topic) for measure in stream.measures):
        return {}
    found: dict[str, str] = {}
    for block in blocks:
        rows = kept_rows(store, block, stream.measures, ["id", TOPIC])
        pairs = zip(rows["id"].to_pylist(), rows[TOPIC].to_pylist(), strict=True)
        found |= {page: topic for page, topic in pairs if topic and page in kept}
    return found


def task_rows(
    census: Census,
    annotated: Ledger,
    measured: list[Ledger],
    topics: Mapping[str, str] | None = None,
) -> list[TaskRows]:
    """Where the rows of every task are; licences of several sources are joined."""
    found = []
    for name in sorted(census.tasks):
        if name not in annotated.done or name in annotated.dead:
            continue
        sources = census.sources_of[name]
        licences = sorted({source.licence for source in sources if source.licence})
        found.append(
            TaskRows(
                task=name,
                clips=annotated.done[name],
                scores=tuple(one.done[name] for one in measured),
                licence="; ".join(licences),
                source=sources[0].uri,
                seconds=annotated.seconds[name],
                feeds=tuple(sorted({source.feed for source in sources if source.feed})),
                unscored=tuple(n for n, one in enumerate(measured) if name in one.dead),
                topic=(topics or {}).get(name, ""),
            )
        )
    return found


def read_ledgers(store: Store, stream: StreamOutline) -> tuple[Ledger, Ledger, list[Ledger]]:
    """What hear, annotate and each measure have done so far."""
    return (
        ledger(store, stream.opens, stream.hear_key),
        ledger(store, stream.rows, stream.annotate_key),
        [ledger(store, "measure", key) for key in stream.measure_keys],
    )
