"""The joined table of select: clip columns, the scores of every measure, licence and source.

Built block by block from the commits that hold a block's tasks, so memory is one block's rows and
no audio byte is ever touched. Nested columns (words, transcripts) are not read.

A block that was joined once is kept as one Parquet beside the clips it came from, named by the
commits, licences and sources that are in it. Deciding anew over the same rows then opens one file
per 4096 tasks, reads the columns that a step needs, and no commit (`Alive`). The price is a copy
of the rows, a few hundred bytes each.
"""

import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import commits
from pipeline.phases.measure import score_schema
from pipeline.phases.pages import clip_of, holds_pages, read_pages
from schemas.ids import digest_of
from schemas.records import Clip
from schemas.store import Store
from schemas.tables import arrow_schema, to_table
from transforms.step import Measure

NESTED = frozenset({"words", "transcripts", "audio"})
CLIP_COLUMNS = tuple(name for name in arrow_schema(Clip).names if name not in NESTED)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TaskRows:
    """Where the rows of one task are, and what joins at select."""

    task: str
    clips: str  # annotate, synthesize or extract commit
    scores: tuple[str, ...]  # measure commits, in the order of the recipe's measures
    licence: str
    source: str  # uri
    seconds: float
    feeds: tuple[str, ...] = ()  # of its sources
    unscored: tuple[int, ...] = ()  # measures that gave it up: their scores are unknown
    topic: str = ""  # of its page, told before it was spoken

    def given_up(self) -> list[list[int]]:
        """Nothing, and so no change of any key, where every measure gave its scores."""
        return [list(self.unscored)] if self.unscored else []


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
        rows = _rows(store, name)
        tables.append(rows.filter(pc.is_in(rows["task"], pa.array(tasks, pa.string()))))
    table = pa.concat_tables(tables)
    return table.sort_by([("task", "ascending"), ("index", "ascending")])


def _rows(store: Store, name: str) -> pa.Table:
    """The rows of one commit, pages as clips of no length."""
    if not holds_pages(name):
        return commits.column(store, name, "row", CLIP_COLUMNS)
    clips = [clip_of(page) for page in read_pages(store, name).values()]
    return to_table(clips, Clip).select(CLIP_COLUMNS)


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


def joined_name(block: Block, measures: Sequence[Measure]) -> str:
    """Where the joined rows of a block are kept: beside its clips, by all that they depend on."""
    within = [
        [task.task, task.clips, list(task.scores), task.licence, task.source, *task.given_up()]
        for task in block.tasks
    ]
    columns = [str(field) for field in joined_schema(measures)]
    folder = block.tasks[0].clips.rpartition("/commits/")[0] if block.tasks else ""
    return f"{folder or 'rows'}/joined/{digest_of('joined', within, columns)}.parquet"


def kept_rows(
    store: Store,
    block: Block,
    measures: Sequence[Measure],
    columns: Iterable[str] | None = None,
    name: str | None = None,
) -> pa.Table:
    """`joined`, or some of its columns, read from where it is kept; it is kept by the first call.

    `name` is `joined_name` of it, for callers that ask again and again.
    """
    name = name or joined_name(block, measures)
    wanted = None if columns is None else sorted(set(columns))
    local = store.local(name)
    try:
        source = str(local) if local is not None else io.BytesIO(store.get(name))
        with pq.ParquetFile(source) as file:
            table: pa.Table = file.read(columns=wanted, use_threads=False)
    except FileNotFoundError:
        table = joined(store, block, measures)
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd", compression_level=1)
        store.put_if_absent(name, sink.getvalue())
    return table if wanted is None else table.select(wanted)


class Alive:
    """The rows of all blocks that have not left yet. Held are one flag per row, and which rows
    there are in the order of blocks; columns are read when a step asks for them.

    `spoken`: rows are clips that were spoken from pages. Those of no length are text between them,
    of which no measure of sound knows anything: until `show_all` no step sees them, so none judges
    them, and they stay where they stand.
    """

    def __init__(
        self,
        store: Store,
        blocks: Sequence[Block],
        measures: Sequence[Measure],
        spoken: bool = False,
    ):
        self._store, self.blocks, self._measures = store, tuple(blocks), tuple(measures)
        self._spoken = spoken
        self._hidden: dict[str, npt.NDArray[np.bool_]] = {}
        self._names = {block.id: joined_name(block, measures) for block in blocks}
        self._flags: dict[str, npt.NDArray[np.bool_]] = {}

    def table(self, block: Block, columns: Iterable[str]) -> pa.Table:
        """Some columns of what is left of a block, in the order of task and index."""
        name = self._names[block.id]
        rows = kept_rows(self._store, block, self._measures, columns, name)
        self._flags.setdefault(block.id, np.ones(rows.num_rows, np.bool_))
        shown = self._shown(block)
        return rows if shown.all() else rows.filter(pa.array(shown))

    def show_all(self) -> None:
        """Let clips of no length be seen from now on."""
        self._spoken = False

    def _shown(self, block: Block) -> npt.NDArray[np.bool_]:
        """The rows of a block that are left and may be seen."""
        flags = self._flags[block.id]
        if not self._spoken:
            return flags
        if block.id not in self._hidden:
            ends = kept_rows(
                self._store, block, self._measures, ["start", "end"], self._names[block.id]
            )
            self._hidden[block.id] = pc.equal(ends["start"], ends["end"]).to_numpy()
        return flags & ~self._hidden[block.id]

    def tables(self, columns: Iterable[str]) -> Iterator[tuple[Block, pa.Table]]:
        """The same of every block, one after the other."""
        wanted = sorted(set(columns))
        for block in self.blocks:
            yield block, self.table(block, wanted)

    def remove(self, block: Block, leaves: npt.NDArray[np.bool_]) -> None:
        """Take rows out; `leaves` is a flag per row that `table` gives."""
        self._flags[block.id][np.flatnonzero(self._shown(block))[leaves]] = False

    def counts(self) -> list[int]:
        """Rows left, by block."""
        return [
            int(self._flags[block.id].sum())
            if block.id in self._flags
            else self.table(block, ["id"]).num_rows
            for block in self.blocks
        ]
