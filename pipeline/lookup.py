"""From what a person types to the one item that is meant: an id, the beginning of one, or a file.

Ids are searched in everything that belongs to the newest run of each recipe. What fits several
items is never guessed: all of them are named.
"""

import dataclasses
import difflib
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import commits
from pipeline.commits import Ledger
from pipeline.phases.arrange import heads
from pipeline.view import View

SHORTEST = 4  # digits of an id that may be searched
MOST = 20_000  # names among which a near one is searched: difflib is slow
_HEX = re.compile(r"[0-9a-f]+")


@dataclasses.dataclass(frozen=True, order=True)
class Hit:
    """An item and where it was found."""

    kind: str  # source, recording, task, segment, clip, document, part; file, page
    id: str
    note: str = ""  # for people: a uri, a phase


Found = dict[Hit, list[View]]


def find(views: Sequence[View], query: str) -> Found:
    """What `query` may mean, with the runs that hold it. An exact id or path beats a beginning."""
    found: Found = {}
    for view in views:
        for hit in (*_by_path(view, query), *_by_id(view, query)):
            holders = found.setdefault(hit, [])
            if view not in holders:
                holders.append(view)
    exact = {hit: held for hit, held in found.items() if hit.id == query}
    return exact or found


def path_of(uri: str) -> str:
    """A uri as the path that it was made from."""
    return urllib.parse.unquote(uri, errors="replace")


def _by_path(view: View, query: str) -> list[Hit]:
    """Sources whose path is the query; else those that end with it, or that it ends with."""
    wanted = query.removeprefix("./")
    equal, ending = [], []
    for source in view.sources:
        path = path_of(source.uri)
        if wanted in (path, source.uri):
            equal.append(source)
        elif path.endswith("/" + wanted) or wanted.endswith("/" + path):
            ending.append(source)
    sources = equal or ending
    recordings = {source.recording for source in sources}
    if len(sources) > 1 and len(recordings) == 1 and None not in recordings:
        what = "file" if view.kind == "page" else "recording"
        return [Hit(what, next(iter(recordings)) or "", path_of(sources[0].uri))]
    return list(dict.fromkeys(Hit("source", source.id, _label(source)) for source in sources))


def _label(source: object) -> str:
    uri, provenance = getattr(source, "uri", ""), getattr(source, "provenance", "")
    return f"{path_of(uri)} ({provenance})" if provenance else path_of(uri)


def _by_id(view: View, query: str) -> Iterator[Hit]:
    if len(query) < SHORTEST or not _HEX.fullmatch(query):
        return
    seen: set[str] = set()
    for kind, ids, note in _ids(view):
        for name in ids.filter(pc.starts_with(ids, query)).unique().to_pylist():
            if name not in seen:
                seen.add(name)
                yield Hit(kind, name, note)


def _ids(view: View) -> Iterator[tuple[str, pa.Array, str]]:
    """All ids of a run, kind by kind: what is named first wins where a drop repeats an id."""
    for source in view.sources:
        yield "source", _array([source.id]), _label(source)
    pages = view.kind == "page"
    for source in view.sources:
        if source.recording and (pages or source.task):
            what = "file" if pages else "recording"
            yield what, _array([source.recording]), path_of(source.uri)
        if source.recording and source.task:
            yield "page" if pages else "task", _array([source.task]), path_of(source.uri)
    roots = sorted(view.recordings)
    if not pages:
        yield from _rows(view, view.heard, roots, "row", "recording", "segment")
        yield from _rows(view, view.heard, roots, "drop", "root", "segment")
    if view.keys.rows[0] != "extract":
        yield from _rows(view, view.annotated, sorted(view.tasks), "row", "task", "clip")
        yield from _rows(view, view.annotated, sorted(view.tasks), "drop", "root", "clip")
    for name in sorted(view.arranged.commits_of(view.tasks)):
        yield "document", heads(view.store, name)["id"].combine_chunks(), ""
    for phase, known, held in (
        (view.keys.opens[0], view.heard, roots),
        (view.keys.rows[0], view.annotated, sorted(view.tasks)),
        ("arrange", view.arranged, sorted(view.tasks)),
    ):
        yield "part", _array([part_of(name) for name in known.commits_of(held)]), phase


def _rows(
    view: View, known: Ledger, roots: Sequence[str], kind: str, parent: str, what: str
) -> Iterator[tuple[str, pa.Array, str]]:
    for name, ids in known.by_commit(roots):
        rows = commits.column(view.store, name, kind, ["id", parent])
        mine = rows.filter(pc.is_in(rows[parent], _array(sorted(ids))))
        yield what, mine["id"].combine_chunks(), ""


def _array(values: Iterable[str]) -> pa.Array:
    return pa.array(list(values), pa.string())


def part_of(commit: str) -> str:
    """The id of the part that a commit is of."""
    return commit.rsplit("/", 1)[1].removesuffix(".parquet")


def nearest(views: Sequence[View], query: str, most: int = 5) -> list[Hit]:
    """What may have been meant by something that was not found: ids that differ little, paths."""
    known: dict[str, Hit] = {}
    for view in views:
        for source in view.sources[:MOST]:
            path = path_of(source.uri)
            known[path] = Hit("source", source.id, _label(source))
            known.setdefault(path.rsplit("/", 1)[-1], known[path])
        if _HEX.fullmatch(query):
            for kind, ids, note in _ids(view):
                near = ids.filter(pc.starts_with(ids, query[:2])).to_pylist()
                for name in near[: max(0, MOST - len(known))]:
                    known.setdefault(name[: max(len(query), SHORTEST)], Hit(kind, name, note))
    close = difflib.get_close_matches(query, known, n=most, cutoff=0.6)
    return list(dict.fromkeys(known[name] for name in close))
