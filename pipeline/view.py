"""One stream of one finished run, read back from its commits: what `explain` looks at.

Everything is read when it is asked for and only from the commits that hold it, so that one item of
a large run costs a few files. Only what belongs to the run is seen, whatever else shares its keys.
"""

import dataclasses
import functools
import io
import json
from collections.abc import Iterable
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import commits, layout
from pipeline.commits import Ledger, Tally, ledger
from pipeline.halves import Kind, halves
from pipeline.listed import Listed, read_sources
from pipeline.phases.arrange import documents_of
from pipeline.phases.gather import Look
from pipeline.phases.measure import clips_of
from pipeline.phases.pages import read_pages
from pipeline.phases.select import VERDICT, manifest_name, read_verdicts
from pipeline.pointers import Pointer
from schemas.manifest import ShardEntry, index_name, read_manifest
from schemas.pages import Page
from schemas.records import Clip, Document, Drop, Recording, Segment
from schemas.shard_index import IndexRow, index_rows
from schemas.store import Store
from transforms.step import registry

R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a document stands."""

    shard: str  # name in the store
    row: IndexRow


class View:
    """A stream of a run."""

    def __init__(self, store: Store, pointer: Pointer, stream: str):
        self.store = store
        self.pointer = pointer
        self.stream = stream
        self.keys = pointer.streams[stream]

    @functools.cached_property
    def sources(self) -> list[Listed]:
        """What DATA listed; [] where the run left no list."""
        try:
            return read_sources(self.store, self.pointer.compose, self.stream)
        except FileNotFoundError:
            return []

    @functools.cached_property
    def recordings(self) -> set[str]:
        return {source.recording for source in self.sources if source.recording}

    @functools.cached_property
    def tasks(self) -> dict[str, str]:
        """Task -> recording."""
        return {s.task: s.recording for s in self.sources if s.task and s.recording}

    @functools.cached_property
    def kind(self) -> Kind:
        """What the stream is of."""
        return "audio" if self.keys.hear else "page"

    @functools.cached_property
    def heard(self) -> Ledger:
        """What became of files: hear's ledger, or that of extract."""
        return ledger(self.store, *self.keys.opens)

    @functools.cached_property
    def annotated(self) -> Ledger:
        """Where the rows of tasks are: annotate's ledger or synthesize's; of pages that are not
        spoken the commits of extract, page by page."""
        if self.keys.rows[0] == "extract":
            return self.paged
        return ledger(self.store, *self.keys.rows)

    @functools.cached_property
    def paged(self) -> Ledger:
        """The extract commit of every page of the run, the first where there are copies."""
        places: dict[str, tuple[str, int, str]] = {}
        for name, files in self.heard.commits_of(sorted(self.recordings)).items():
            fields = ["id", "root", "index"]
            for row in commits.column(self.store, name, "row", fields).to_pylist():
                place = (row["root"], row["index"], name)
                if row["root"] in files and place < places.get(row["id"], ("~", 0, "")):
                    places[row["id"]] = place
        done = {page: place[2] for page, place in places.items()}
        return Ledger(done, dict.fromkeys(done, 0.0), tuple(sorted(set(done.values()))))

    def page(self, name: str) -> Page | None:
        """A page of the run."""
        commit = self.paged.done.get(name)
        return read_pages(self.store, commit).get(name) if commit else None

    @functools.cached_property
    def arranged(self) -> Ledger:
        return ledger(self.store, "arrange", self.keys.arrange)

    def steps(self, phase: str, before: bool = False) -> list[tuple[str, dict[str, Any]]]:
        """The steps of a phase in the recipe of the run: name and settings.

        `before`: of measure and select those that looked at pages before they were spoken.
        """
        found: Any = self.pointer.recipe
        pairs = [next(iter(step.items())) for step in found["streams"][self.stream]]
        known = registry()
        phases = [known[name].phase if name in known else None for name, _ in pairs]
        half = halves(phases)
        twice = phase in ("measure", "select") and 1 in half
        return [
            pairs[at]
            for at in range(len(pairs))
            if phases[at] == phase and (not twice or half[at] == int(not before))
        ]

    def recording(self, name: str) -> Recording | None:
        """What was known of a recording before it was decoded."""
        for entry in self.store.list("gather"):
            if "/commits/" in entry.name:
                rows = commits.column(self.store, entry.name, "row", ["recording.id"])
                ids = rows["recording"].combine_chunks().field("id") if len(rows) else []
                if name in pa.array(ids).to_pylist():
                    looks = commits.records(self.store, entry.name, "row", Look)
                    return next(look.recording for look in looks if look.recording.id == name)
        return None

    def segments(self, recording: str) -> list[Segment]:
        """Segments of a recording, in the order of channel and time; pages have none."""
        if self.kind == "page":
            return []
        name = self.heard.done.get(recording)
        rows = commits.records(self.store, name, "row", Segment) if name else []
        mine = [segment for segment in rows if segment.recording == recording]
        return sorted(mine, key=lambda segment: (segment.channel, segment.start))

    def clips(self, task: str) -> list[Clip]:
        """Clips of a task, in their order."""
        name = self.annotated.done.get(task)
        return list(clips_of(self.store, name).get(task, ())) if name else []

    def drops(self, known: Ledger, root: str) -> list[Drop]:
        """What left of a recording or task in one phase."""
        return [drop for drop in self._of(known, root, "drop", Drop) if drop.root == root]

    def tallies(self, known: Ledger, root: str) -> list[Tally]:
        """What each step of a phase took of a recording or task, and gave."""
        return [tally for tally in self._of(known, root, "tally", Tally) if tally.root == root]

    def _of(self, known: Ledger, root: str, kind: str, record: type[R]) -> list[R]:
        name = known.done.get(root)
        return commits.records(self.store, name, kind, record) if name else []

    def scores(self, clip: Clip, before: bool = False) -> list[tuple[str, Any]]:
        """Every score of a clip as ("snr.snr_db", value), in the order of the recipe.

        `before`: those of a page before it was spoken.
        """
        found = []
        names = [name for name, _ in self.steps("measure", before)]
        held = self.keys.page_measure if before else self.keys.measure
        for name, key in zip(names, held, strict=True):
            commit = ledger(self.store, "measure", key).done.get(clip.task)
            if commit is None:
                continue
            rows = commits.column(self.store, commit, "row")
            for row in rows.filter(pc.equal(rows["id"], clip.id)).to_pylist()[:1]:
                found += [(f"{name}.{column}", row[column]) for column in row if column != "id"]
        return found

    @functools.cached_property
    def _verdicts(self) -> pa.Table:
        return self._read_verdicts(self.keys.select)

    @functools.cached_property
    def _page_verdicts(self) -> pa.Table:
        return self._read_verdicts(self.keys.page_select)

    def _read_verdicts(self, key: str) -> pa.Table:
        try:
            manifest = json.loads(self.store.get(manifest_name(key)))
        except FileNotFoundError:
            return VERDICT.empty_table()
        return read_verdicts(self.store, key, manifest["blocks"])

    def verdicts(self, clips: Iterable[str], before: bool = False) -> dict[str, dict[str, Any]]:
        """What select said, by clip; `before`: of pages before they were spoken, by page."""
        wanted = pa.array(sorted(clips), pa.string())
        table = self._page_verdicts if before else self._verdicts
        rows = table.filter(pc.is_in(table["id"], wanted))
        return {row["id"]: row for row in rows.to_pylist()}

    def documents(self, task: str) -> list[Document]:
        """The documents of a task's clips."""
        name = self.arranged.done.get(task)
        if name is None:
            return []
        recording = self.tasks.get(task) if self.kind == "audio" else task
        found = documents_of(self.store, name).values()
        return [document for document in found if document.recording == recording]

    def document(self, name: str) -> Document | None:
        """A document by its id."""
        for commit in self.arranged.commits_of(self.tasks):
            found = documents_of(self.store, commit).get(name)
            if found is not None:
                return found
        return None

    def root_of(self, name: str, known: Ledger, roots: Iterable[str], parent: str) -> str:
        """The recording or task that a row or a drop of a phase descends from."""
        for commit, ids in sorted(known.commits_of(roots).items()):
            for kind, field in (("row", parent), ("drop", "root")):
                rows = commits.column(self.store, commit, kind, ["id", field])
                for root in rows.filter(pc.equal(rows["id"], name))[field].to_pylist():
                    if root in ids:
                        return str(root)
        raise LookupError(name)

    @functools.cached_property
    def shards(self) -> tuple[ShardEntry, ...]:
        folder = layout.composition_folder(self.pointer.compose)
        return read_manifest(lambda name: self.store.get(f"{folder}/{name}")).shards

    def place(self, document: Document) -> Place | None:
        """The shard that holds a document, and where in it."""
        folder = layout.composition_folder(self.pointer.compose)
        for entry in self.shards:
            if (entry.stream, entry.split) == (self.stream, document.split):
                data = self.store.get(f"{folder}/{index_name(entry.name)}")
                table = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
                rows = table.filter(pc.equal(table["key"], document.id))
                for row in index_rows(rows):
                    return Place(f"{folder}/{entry.name}", row)
        return None
