"""Pages as rows: what extract committed, as measures, select and compose see it.

A page is a clip of no length: text without audio. So every filter, every measure of text and
deduplication work on pages as they do on clips, and a page that is never spoken becomes a document
by the same way. Its id is its text's, so files that hold the same text hold one page; the first of
them by id lends it its address, title and date.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from pipeline import commits
from pipeline.commits import Ledger
from pipeline.phases.gather import Census
from schemas.pages import Page
from schemas.records import Clip, Source, Task
from schemas.store import Store

PHASE = "extract"
RATE = 16000  # of a clip of no length: any would do
CHARACTERS_PER_SECOND = 15.0  # of read English; ours, as in `schemas.shard.plan_shards`
MEASURED_PER_SECOND = 150.0  # characters; planned for measures of text, which are quick


def holds_pages(commit: str) -> bool:
    """Whether the rows of a commit are pages."""
    return commit.startswith(f"{PHASE}/")


def clip_of(page: Page) -> Clip:
    """A page as a row: text without audio."""
    return Clip(
        id=page.id,
        task=page.id,
        recording=page.id,
        channel=0,
        index=0,
        start=0.0,
        end=0.0,
        rate=RATE,
        speaker="",
        text=page.text,
        quality="given",
        language=page.language,
        language_probability=page.language_probability,
    )


def read_pages(store: Store, name: str) -> dict[str, Page]:
    """The pages of one extract commit by id; of copies the first."""
    found: dict[str, Page] = {}
    for page in commits.records(store, name, "row", Page):
        known = found.get(page.id)
        if known is None or (page.root, page.index) < (known.root, known.index):
            found[page.id] = page
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pages:
    """The pages of a stream: each once, wherever its text was found."""

    rows: Ledger  # page -> the extract commit that holds it; seconds: planned, for measures
    said: Mapping[str, float]  # page -> about how long it takes to say it (seconds)
    copies: tuple[tuple[str, str], ...]  # page and file, of places of a text beyond its first


def with_pages(store: Store, counted: Census, extracted: Ledger) -> tuple[Census, Pages]:
    """The census with pages for tasks, and where their rows are.

    The sources of a page are those of all files that hold it, with the page's own address; a
    page's own licence counts above its file's.
    """
    of_file: dict[str, list[Source]] = {}
    for source in counted.sources:
        of_file.setdefault(counted.holds[source.id], []).append(source)
    places: dict[str, list[tuple[str, int, str, str, str | None]]] = {}
    said: dict[str, float] = {}
    fields = ["id", "root", "index", "uri", "licence", "text"]
    for name, files in sorted(extracted.commits_of(sorted(counted.recordings)).items()):
        for row in commits.column(store, name, "row", fields).to_pylist():
            if row["root"] in files:
                place = (row["root"], row["index"], name, row["uri"], row["licence"])
                places.setdefault(row["id"], []).append(place)
                said[row["id"]] = len(row["text"]) / CHARACTERS_PER_SECOND
    tasks, sources_of, done = {}, {}, {}
    for page, found in sorted(places.items()):
        found.sort(key=lambda place: place[:3])
        root, _, done[page], _, _ = found[0]
        tasks[page] = Task(id=page, recording=root, seconds=said[page])
        sources_of[page] = _sources(found, of_file)
    rows = Ledger(
        done=done,
        seconds={
            page: length * CHARACTERS_PER_SECOND / MEASURED_PER_SECOND
            for page, length in said.items()
        },
        commits=tuple(sorted(set(done.values()))),
    )
    copies = tuple((page, place[0]) for page in done for place in places[page][1:])
    census = dataclasses.replace(counted, tasks=tasks, sources_of=sources_of)
    return census, Pages(rows=rows, said=said, copies=copies)


def _sources(
    found: Sequence[tuple[str, int, str, str, str | None]], of_file: Mapping[str, list[Source]]
) -> tuple[Source, ...]:
    """Where a page lies: by the order of its places, and within one by uri."""
    return tuple(
        dataclasses.replace(source, uri=uri or source.uri, licence=licence or source.licence)
        for root, _, _, uri, licence in found
        for source in sorted(of_file[root], key=lambda one: (one.uri, one.id))
    )
