"""select: rows in, verdicts out; no audio. Each row stays, or leaves by one named reason.

The steps run in the order of the recipe, each over the rows that are still alive. A filter judges
a block by itself, once it knows what must be known of all rows (quantiles); one that drops nothing
leaves a note on what it would have dropped. Deduplication compares rows across blocks: keys travel
as packed Arrow blocks by the prefix of their hash (never one key-value per row), are gathered by a
Beam group-by, and what loses is written before the next step begins. Verdicts are written per
block, and the phase's manifest last: its presence is the commit.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import layout
from pipeline.near import Each, each_here
from pipeline.phases.near_rows import report_repeats, settle_near
from pipeline.phases.pages import holds_pages
from pipeline.phases.rows import Alive, Block
from pipeline.phases.split_rows import assign_splits
from pipeline.simple import SimpleJob
from schemas.ids import digest_of
from schemas.records import Drop
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.select.drops import SECONDS_COLUMNS
from transforms.select.split import Split
from transforms.step import Filtering, Grouping, Measure, Step

DROP = arrow_schema(Drop)
VERDICT = pa.schema(
    [
        pa.field("id", pa.string(), False),
        pa.field("task", pa.string(), False),
        pa.field("kept", pa.bool_(), False),
        pa.field("split", pa.string()),  # null where it left
        pa.field("seconds", pa.float64(), False),
        pa.field("step", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("detail", pa.string()),
    ]
)
PREFIX_DIGITS = 2  # 256 partitions
KEYS_AT_ONCE = 1 << 17
HEAD = frozenset({"id", "task"} | SECONDS_COLUMNS)  # what a verdict says of every row

Left: TypeAlias = dict[str, list[pa.Table]]  # block id -> drops


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SelectPart:
    """All blocks of one stream: select is set-wise."""

    id: str
    blocks: tuple[Block, ...]
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectJob(SimpleJob):
    phase: ClassVar[str] = "select"

    seed: int
    steps: tuple[Step, ...]
    measures: tuple[Measure, ...]
    pages: bool = False  # rows are pages, or clips that were spoken from them

    def run_part(self, part: SelectPart) -> None:
        """Without Beam: the same verdicts, for tests and for the plain loop."""
        run_select(self, part.blocks, group=group_here)


def holds_speech(block: Block) -> bool:
    """Whether rows of a block are clips, not pages."""
    return any(not holds_pages(task.clips) for task in block.tasks)


def verdicts_name(key: str, block: str) -> str:
    return f"{layout.phase_folder('select', key)}/verdicts/{block}.arrow"


def limits_name(key: str, place: int) -> str:
    """The quantiles that the step at `place` judged by."""
    return f"{layout.phase_folder('select', key)}/limits/{place}.arrow"


def manifest_name(key: str) -> str:
    return f"{layout.phase_folder('select', key)}/manifest.json"


def to_ipc(table: pa.Table) -> bytes:
    """A table as Arrow IPC bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def from_ipc(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()


def packed(keys: pa.Table) -> Iterator[tuple[str, bytes]]:
    """Rows of `Grouping.keys_schema` as one packed block per hash prefix."""
    prefixes = pc.utf8_slice_codeunits(keys["key"], 0, PREFIX_DIGITS)
    for prefix in sorted(set(prefixes.to_pylist())):
        yield prefix, to_ipc(keys.filter(pc.equal(prefixes, prefix)))


def gathered(step: Grouping, blocks: Iterable[bytes]) -> pa.Table:
    """The losers of one partition; the order of its blocks does not matter."""
    keys = pa.concat_tables([from_ipc(block) for block in blocks])
    keys = keys.sort_by([("key", "ascending"), ("id", "ascending")])
    return step.losers(keys)


def group_here(step: Grouping, label: str, keyed: Iterable[tuple[str, bytes]]) -> list[pa.Table]:
    """The group-by without Beam."""
    partitions: dict[str, list[bytes]] = {}
    for prefix, block in keyed:
        partitions.setdefault(prefix, []).append(block)
    return [gathered(step, partitions[prefix]) for prefix in sorted(partitions)]


def run_select(job: SelectJob, blocks: Sequence[Block], group: Any, each: Each = each_here) -> None:
    """Judge all blocks by all steps and write the verdicts; the manifest last.

    `group(step, label, keyed)` gathers packed keys by prefix and gives each partition's losers;
    `each` deals the partitions of near-duplicates.
    """
    drops: dict[str, list[pa.Table]] = {block.id: [] for block in blocks}  # step by step
    notes: dict[str, list[pa.Table]] = {block.id: [] for block in blocks}  # what would have left
    spoken = job.pages and any(holds_speech(block) for block in blocks)
    alive = Alive(job.store, blocks, job.measures, spoken)
    for place, step in enumerate(job.steps):
        if isinstance(step, Filtering):
            _filter(job, place, step, alive, drops, notes)
        elif isinstance(step, Grouping):
            for number, bound in enumerate(step.rounds()):
                label = f"{place}-{number}"
                if bound.matcher() is not None:
                    settle_near(job, label, bound, alive, drops, each)
                else:
                    _settle_equal(job, label, bound, alive, drops, group)
    alive.show_all()
    split = next((step for step in job.steps if isinstance(step, Split)), Split())
    if job.pages:  # by the page alone, so that all streams of pages deal it out alike
        split = split.model_copy(update={"by": ("recording",)})
    splits = assign_splits(job, split, job.seed, alive)
    for (block, kept), assigned in zip(alive.tables(HEAD), splits, strict=True):
        table = _verdicts(kept, assigned, drops[block.id], notes[block.id])
        job.store.put_if_absent(verdicts_name(job.key, block.id), to_ipc(table))
    manifest = {"blocks": [block.id for block in blocks], "format": 1}
    job.store.put_if_absent(manifest_name(job.key), json.dumps(manifest).encode())


def _filter(
    job: SelectJob, place: int, step: Filtering, alive: Alive, drops: Left, notes: Left
) -> None:
    needs = step.needs() | HEAD
    surveyed = type(step).survey is not Filtering.survey
    limits = _limits(job, place, step, (t for _, t in alive.tables(needs)) if surveyed else ())
    for block, rows in alive.tables(needs):
        left = step.judge(rows, limits)
        notes[block.id].append(step.notes(rows, limits))
        alive.remove(block, _among(rows["id"], left["id"]))
        drops[block.id].append(left)


def _settle_equal(
    job: SelectJob, label: str, step: Grouping, alive: Alive, drops: Left, group: Any
) -> None:
    lost = group(step, label, _keyed(step, alive))
    if not lost:
        return
    left = pa.concat_tables(lost)
    report_repeats(job, left, alive)
    tasks = [task.task for block in alive.blocks for task in block.tasks]
    ends = list(itertools.accumulate(len(block.tasks) for block in alive.blocks))
    owner = pc.index_in(left["root"], pa.array(tasks, pa.string())).to_numpy()
    number = np.searchsorted(ends, owner, side="right")
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(ends) + 1))
    left = left.take(pa.array(order))
    for place, block in enumerate(alive.blocks):
        mine = left.slice(starts[place], starts[place + 1] - starts[place])
        if mine.num_rows:
            rows = alive.table(block, ["id"])
            alive.remove(block, _among(rows["id"], mine["id"]))
            drops[block.id].append(mine)


def _keyed(step: Grouping, alive: Alive) -> Iterator[tuple[str, bytes]]:
    """Keys of all rows, packed some ten thousand at a time."""
    waiting: list[pa.Table] = []
    for _, rows in alive.tables(step.needs()):
        waiting.append(step.keys(rows))
        if sum(table.num_rows for table in waiting) >= KEYS_AT_ONCE:
            yield from packed(pa.concat_tables(waiting))
            waiting = []
    if waiting:
        yield from packed(pa.concat_tables(waiting))


def _limits(job: SelectJob, place: int, step: Filtering, tables: Iterable[pa.Table]) -> pa.Table:
    """What a filter must know of all rows before it judges one; kept beside the verdicts."""
    limits = step.limits([step.survey(rows) for rows in tables])
    if limits.num_rows:
        job.store.put_if_absent(limits_name(job.key, place), to_ipc(limits))
    return limits


def _among(ids: pa.ChunkedArray, some: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(ids, some.combine_chunks()).to_numpy()
    return found


def _verdicts(
    kept: pa.Table, splits: pa.Array, drops: Sequence[pa.Table], notes: Sequence[pa.Table]
) -> pa.Table:
    """Kept and dropped rows of a block, in the order of their ids.

    A kept row carries the first reason by which a filter that drops nothing would have let it go.
    """
    stays = {
        "id": kept["id"],
        "task": kept["task"],
        "kept": pa.array([True] * kept.num_rows, pa.bool_()),
        "split": splits,
        "seconds": seconds_of(kept),
    }
    noted = pa.concat_tables([*notes, DROP.empty_table()])
    place = pc.index_in(kept["id"], value_set=noted["id"].combine_chunks())  # the first
    nothing = {
        field.name: noted[field.name].take(place) for field in VERDICT if field.name not in stays
    }
    tables = [pa.table([({**stays, **nothing})[n] for n in VERDICT.names], schema=VERDICT)]
    for left in drops:
        columns = {
            "id": left["id"],
            "task": left["root"],
            "kept": pa.array([False] * left.num_rows, pa.bool_()),
            "split": pa.nulls(left.num_rows, pa.string()),
            **{
                name: left[name]
                for name in ("seconds", "step", "reason", "score", "threshold", "detail")
            },
        }
        tables.append(pa.table([columns[n] for n in VERDICT.names], schema=VERDICT))
    return pa.concat_tables(tables).sort_by("id")


def seconds_of(rows: pa.Table) -> pa.Array:
    """Seconds of each row, on the grid of its rate."""
    rate = pc.cast(rows["rate"], pa.float64())
    ends = pc.round(pc.multiply(rows["end"], rate))
    starts = pc.round(pc.multiply(rows["start"], rate))
    return pc.divide(pc.subtract(ends, starts), rate)


def read_verdicts(store: Store, key: str, blocks: Sequence[str]) -> pa.Table:
    """The verdicts of some blocks."""
    tables = [from_ipc(store.get(verdicts_name(key, block))) for block in blocks]
    return pa.concat_tables(tables) if tables else VERDICT.empty_table()


def plan_blocks(tasks: Sequence[Any], per_block: int = 4096) -> tuple[Block, ...]:
    """Cut tasks (sorted by id) into blocks; verdicts do not depend on where."""
    ordered = sorted(tasks, key=lambda task: task.task)
    return tuple(
        Block(
            id=digest_of("block", [t.task for t in ordered[at : at + per_block]]),
            tasks=tuple(ordered[at : at + per_block]),
        )
        for at in range(0, len(ordered), per_block)
    )


def input_digest(tasks: Sequence[Any]) -> str:
    """What a set-wise phase's key says of its input: tasks, licences, sources, feeds, scores."""
    return digest_of(
        "select input",
        sorted([task.task, task.licence, task.source, *_more_of(task)] for task in tasks),
    )


def _more_of(task: Any) -> list[Any]:
    """Nothing, and so no change of any key, for tasks of no feed with all their scores."""
    found: list[Any] = [{"feeds": list(task.feeds)}] if task.feeds else []
    found += [{"topic": task.topic}] if task.topic else []
    return found + [{"unscored": place} for place in task.unscored]
