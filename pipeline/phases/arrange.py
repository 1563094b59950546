"""compose, first half: kept clips to documents. Rows only; audio stays where it is."""

import dataclasses
import functools
from collections import Counter
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import commits
from pipeline.commits import Content, Done, Tally
from pipeline.phases.measure import clips_of
from pipeline.phases.pages import CHARACTERS_PER_SECOND
from pipeline.phases.rows import Block, TaskRows, kept_rows
from pipeline.phases.select import read_verdicts
from pipeline.simple import SimpleJob
from pipeline.work import ConservationError
from schemas.ids import bytes_digest, digest_of
from schemas.records import Document, Drop
from schemas.shard import has_audio, to_json
from schemas.tables import arrow_schema
from transforms.compose.documents import About
from transforms.compose.interleave import Interleave
from transforms.compose.mask import Mask
from transforms.compose.masking import Masks
from transforms.measure.topic import Topic
from transforms.step import Measure

TOPIC = "topic.label"
ROWS = 2  # of the columns of `Arranged`: rows of another number are made again


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Arranged:
    """A document, and what the plan of its shard needs to know of it."""

    document: Document
    content: str  # digest of all that will stand in the shard, wherever the samples lie now
    seconds: float  # of speech; of text alone: what saying it would take, for the size of shards
    audio: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrangeJob(SimpleJob):
    """Parts are the blocks of select."""

    phase: ClassVar[str] = "arrange"

    seed: int
    stream: str
    interleave: Interleave
    mask: Mask | None = None
    select_key: str
    hear_key: str  # what the samples are: part of the content
    measures: tuple[Measure, ...] = ()  # of the stream: one of them may tell topics
    pages: bool = False  # clips are pages, or were spoken from them

    def run_part(self, part: Block) -> None:
        verdicts = read_verdicts(self.store, self.select_key, [part.id])
        split_of = {
            name: split
            for name, kept, split in zip(
                *(verdicts[c].to_pylist() for c in ("id", "kept", "split")), strict=True
            )
            if kept
        }
        topics = self._topics(part)
        documents: list[Arranged] = []
        drops: list[Drop] = []
        done: list[Done] = []
        tallies: list[Tally] = []
        for task in part.tasks:
            found = self._documents(task, split_of, topics)
            made = [item for item in found if isinstance(item, Document)]
            left = [item for item in found if isinstance(item, Drop)]
            tallies += _conserved(self, task, made, left, split_of)
            documents += [self._arranged(document) for document in made]
            drops += left
            done.append(Done(id=task.task, seconds=_entrance(self, task, split_of)))
        commits.write(
            self.store,
            self.phase,
            self.key,
            part.id,
            Content(
                done=tuple(done), rows=tuple(documents), drops=tuple(drops), tallies=tuple(tallies)
            ),
            arrow_schema(Arranged),
            self.run,
        )

    def _arranged(self, document: Document) -> Arranged:
        data = to_json(document)
        return Arranged(
            document=document,
            content=digest_of(bytes_digest(data), self.hear_key, *_silence(document)),
            seconds=document.seconds if has_audio(document) else time_to_say(document),
            audio=has_audio(document),
        )

    def _topics(self, part: Block) -> dict[str, str]:
        """The topic of each clip that has one."""
        if not any(isinstance(measure, Topic) for measure in self.measures):
            return {}
        rows = kept_rows(self.store, part, self.measures, ["id", TOPIC])
        known = rows.filter(pc.is_valid(rows[TOPIC]))
        return dict(zip(known["id"].to_pylist(), known[TOPIC].to_pylist(), strict=True))

    def _documents(
        self, task: TaskRows, split_of: dict[str, str], topics: dict[str, str]
    ) -> list[Any]:
        clips = clips_of(self.store, task.clips).get(task.task, ())
        kept = {clip.id for clip in clips if clip.id in split_of}
        splits = {split_of[name] for name in kept}
        if not kept:
            return []
        if len(splits) != 1:
            raise ConservationError(f"clips of task {task.task} are in the splits {splits}")
        masks: Masks = {}
        unfit: list[Drop] = []
        if self.mask is not None:
            given, masks, unfit = self.mask.masked(clips, kept)
            clips, kept = tuple(given), kept - {drop.id for drop in unfit}
        about = About(
            stream=self.stream,
            split=splits.pop(),
            licence=task.licence,
            source=task.source,
            seed=self.seed,
            masks=masks,
            topics=topics,
            topic=task.topic,
            pages=self.pages,
        )
        return [*unfit, *self.interleave.documents(clips, kept, about)]


def time_to_say(document: Document) -> float:
    """About how long a text would take as speech (seconds)."""
    return sum(len(chunk.text) for chunk in document.chunks) / CHARACTERS_PER_SECOND


def _silence(document: Document) -> list[list[int]]:
    """What of a document's stored audio is muted; nothing, and no change of digest, for most."""
    return [[mute.start, mute.end] for chunk in document.chunks for mute in chunk.mutes]


def _entrance(job: ArrangeJob, task: TaskRows, split_of: dict[str, str]) -> float:
    """Seconds of the kept clips of a task."""
    clips = clips_of(job.store, task.clips).get(task.task, ())
    return sum(clip.seconds for clip in clips if clip.id in split_of)


def _conserved(
    job: ArrangeJob,
    task: TaskRows,
    documents: list[Document],
    drops: list[Drop],
    split_of: dict[str, str],
) -> list[Tally]:
    """Each kept clip is in exactly one document, or dropped: what each step took and gave."""
    clips = clips_of(job.store, task.clips).get(task.task, ())
    kept = {clip.id: clip for clip in clips if clip.id in split_of}
    seen: Counter[str] = Counter(drop.id for drop in drops)
    for document in documents:
        seen.update({chunk.clip for chunk in document.chunks})  # word pieces share a clip
    wrong = [name for name in kept if seen[name] != 1] + [n for n in seen if n not in kept]
    if wrong:
        raise ConservationError(
            f"interleave: of task {task.task}, clips {wrong[:3]} are not in exactly one document "
            "or drop"
        )
    tallies = []
    for step in (job.mask, job.interleave):
        if step is None:
            continue
        gone = {drop.id for drop in drops if drop.step == step.name()}
        stays = {name: clip for name, clip in kept.items() if name not in gone}
        tallies.append(
            Tally(
                root=task.task,
                step=step.name(),
                items_in=len(kept),
                items_out=len(stays),
                seconds_in=sum(clip.seconds for clip in kept.values()),
                seconds_out=sum(clip.seconds for clip in stays.values()),
                compute_seconds=0.0,
            )
        )
        kept = stays
    return tallies


def heads(store: Any, name: str) -> pa.Table:
    """What a shard plan needs of the documents of one arrange commit."""
    fields = ["document.id", "document.split", "content", "seconds", "audio"]
    table = commits.column(store, name, "row", fields)
    document = table["document"].combine_chunks()
    return pa.table(
        {
            "id": document.field("id"),
            "split": document.field("split"),
            "content": table["content"],
            "seconds": table["seconds"],
            "audio": table["audio"],
        }
    )


def topics_of(store: Any, name: str) -> pa.Table:
    """The topic of every document of one arrange commit, and its seconds."""
    table = commits.column(store, name, "row", ["document.topic", "seconds"])
    topic = table["document"].combine_chunks().field("topic")
    return pa.table({"topic": topic, "seconds": table["seconds"]})


@functools.lru_cache(maxsize=4)
def documents_of(store: Any, name: str) -> dict[str, Document]:
    """The documents of one arrange commit by id."""
    rows = commits.records(store, name, "row", Arranged)
    return {row.document.id: row.document for row in rows}
