"""The joined table of select: clip columns, the scores of every measure, licence and source.

Built block by block from the commits that hold a block's tasks, so memory is one block's rows and
no audio byte is ever touched. Nested columns (words, transcripts) are not read.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import commits
from pipeline.phases.measure import score_schema
from schemas.records import Clip
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.step import Measure

NESTED = frozenset({"words", "transcripts", "audio"})
CLIP_COLUMNS = tuple(name for name in arrow_schema(Clip).names if name not in NESTED)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskRows:
    """Where the rows of one task are, and what joins at select."""

    task: str
    clips: str  # annotate commit
    scores: tuple[str, ...]  # measure commits, in the order of the recipe's measures
    licence: str
    source: str  # uri
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Tasks whose rows are judged together; the unit of select and arrange."""

    id: str
    tasks: tuple[TaskRows, ...]

    @property
    def seconds(self) -> float:
        return sum(task.seconds for task in self.tasks)


def joined_schema(measures: Sequence[Measure]) -> pa.Schema:
    """The columns of the joined table for a recipe's measures."""
    clip = arrow_schema(Clip)
    fields = [clip.field(name) for name in CLIP_COLUMNS]
    fields += [
        pa.field(f"{measure.name()}.{field.name}", field.type)
        for measure in measures
        for field in list(score_schema(measure))[1:]
    ]
    fields += [pa.field("licence", pa.string()), pa.field("source", pa.string())]
    return pa.schema(fields)


def _clips(store: Store, block: Block) -> pa.Table:
    tables = []
    for name, tasks in _by_commit({t.task: t.clips for t in block.tasks}).items():
        rows = commits.column(store, name, "row", CLIP_COLUMNS)
        tables.append(rows.filter(pc.is_in(rows["task"], pa.array(tasks, pa.string()))))
    table = pa.concat_tables(tables)
    return table.sort_by([("task", "ascending"), ("index", "ascending")])


def _by_commit(commit_of: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task, name in commit_of.items():
        found.setdefault(name, []).append(task)
    return dict(sorted(found.items()))


def joined(store: Store, block: Block, measures: Sequence[Measure]) -> pa.Table:
    """The rows of a block, in the order of task and index.

    Raises `LookupError` where a clip has no score: a measure's commit is incomplete, a bug.
    """
    schema = joined_schema(measures)
    clips = _clips(store, block)
    columns = {name: clips[name] for name in CLIP_COLUMNS}
    for place, measure in enumerate(measures):
        names = sorted({task.scores[place] for task in block.tasks})
        scores = pa.concat_tables([commits.column(store, name, "row") for name in names])
        at = pc.index_in(clips["id"], scores["id"])
        if at.null_count:
            missing = clips["id"].filter(pc.is_null(at))[0].as_py()
            raise LookupError(f"clip {missing} has no score of {measure.name()}")
        for field in list(score_schema(measure))[1:]:
            columns[f"{measure.name()}.{field.name}"] = scores[field.name].take(at)
    place_of = pc.index_in(clips["task"], pa.array([t.task for t in block.tasks], pa.string()))
    columns["licence"] = pa.array([t.licence for t in block.tasks], pa.string()).take(place_of)
    columns["source"] = pa.array([t.source for t in block.tasks], pa.string()).take(place_of)
    return pa.table([columns[name] for name in schema.names], schema=schema)
