"""Find what DATA means: a folder, a glob, one audio file, or a table of local paths.

`find` checks DATA as a whole before it answers (a table is read twice: once to check every row,
once to use it), so that a mistake on the last line does not cost an hour of work; then it streams.
A table inside a folder is a foreign file like any other, until DATA names it.

A path in a table may not lead out of the table's folder, neither by `..`, nor absolutely, nor
through links, unless the recipe says `follow_links`: a table from a stranger that names a private
file must not copy it into shards. The price: own tables beside their audio need that setting.
"""

import collections
import itertools
import os
import stat
from collections.abc import Iterator

import numpy as np

from schemas.records import Cue, Modality, Source, source_id
from transforms.gather.crawl import Crawl
from transforms.gather.cue_files import CueError, read_cues
from transforms.gather.entry import AUDIO, Verdict, Wanted, judged, resolve, trouble, within
from transforms.gather.found import DataError, Found, dropped, file_uri, shown, uri_of, walked
from transforms.gather.given import Given, given
from transforms.gather.page_files import page_claim
from transforms.gather.table import FORMATS, table_suffix
from transforms.gather.walk import MAGIC, split_glob, walk

_CHOICES = f"Name a folder, a glob, an audio file or a table ({', '.join(FORMATS)})."


def find(data: str, crawl: Crawl, wanted: Wanted = AUDIO) -> Iterator[Found]:
    """Every item of DATA, in a fixed order, each once: a file to read or a drop with its reason.

    `wanted`: audio, pages (files and tables of web text) or both; `Found.source.kind` tells which
    a file is. A text table in DATA is one file, DATA or not; a table that names files is DATA only.
    Raises `DataError` at once where DATA cannot be used, and at the end where nothing is left.
    """
    path = _expanded(data)
    items = _items(path, crawl, wanted)
    first = next(items, None)
    if first is None:
        if os.path.lexists(path):
            raise DataError(shown(data), "DATA is an empty folder", _CHOICES)
        raise DataError(
            shown(data),
            "nothing matches this glob",
            "Quote it, so that your shell leaves it as is.",
        )
    return not_only_drops(shown(data), itertools.chain([first], items), wanted)


def root_of(data: str) -> str:
    """The folder from which the uris of DATA start: see `found.path_of`."""
    path = _expanded(data)
    if os.path.isdir(path):
        return path
    if not os.path.lexists(path) and MAGIC & set(path):
        return os.path.abspath(split_glob(path)[0])
    return os.path.dirname(path)


def _expanded(data: str) -> str:
    """DATA as an absolute path."""
    if not data.strip():
        raise DataError("DATA", "it is empty", _CHOICES)
    if "\0" in data:
        raise DataError("DATA", "it holds a NUL character", _CHOICES)
    scheme, mark, _ = data.partition("://")
    if mark and scheme.isalnum() and not os.path.lexists(data):
        raise DataError(shown(data), "DATA must be on a local disk", "Fetch the files first.")
    return os.path.join(os.getcwd(), os.path.expanduser(data)).rstrip("/") or "/"


def _items(path: str, crawl: Crawl, wanted: Wanted) -> Iterator[Found]:
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if MAGIC & set(path) and not os.path.lexists(path):
            return _glob(path, crawl, wanted)
        raise DataError(shown(path), "DATA does not exist", _CHOICES) from error
    except OSError as error:
        raise DataError(shown(path), f"DATA: {error.strerror}", "Check the path.") from error
    if stat.S_ISDIR(state.st_mode):
        return _folder(path, crawl, wanted)
    if stat.S_ISREG(state.st_mode) and table_suffix(path) and not _is_text(path, wanted):
        return _table(path, crawl, wanted)
    return _file(path, state, crawl, wanted)


def _is_text(table: str, wanted: Wanted) -> bool:
    """Whether a table holds text itself instead of naming files."""
    try:
        return "page" in wanted and page_claim(table) is not None
    except OSError as error:
        raise DataError(
            shown(table), f"the table cannot be read ({error.strerror})", "Check the file."
        ) from error


def _folder(path: str, crawl: Crawl, wanted: Wanted) -> Iterator[Found]:
    _readable_folder(path)
    return walk(path, crawl, wanted=wanted)


def _glob(path: str, crawl: Crawl, wanted: Wanted) -> Iterator[Found]:
    folder, parts = split_glob(path)
    if ".." in parts:
        raise DataError(shown(path), "'..' after a wildcard", "Write the path without it.")
    _readable_folder(folder)
    return walk(folder, crawl, parts, wanted)


def _readable_folder(path: str) -> None:
    try:
        os.listdir(path)
    except OSError as error:
        raise DataError(
            shown(path), f"the folder cannot be read ({error.strerror})", _CHOICES
        ) from error


def _file(path: str, state: os.stat_result, crawl: Crawl, wanted: Wanted) -> Iterator[Found]:
    """DATA names one file: what would be a drop among many is an error here."""
    verdict, format = judged(path, state, crawl, wanted)
    if verdict is not None:
        reason, detail = verdict
        raise DataError(
            shown(path),
            f"DATA: {Crawl.reasons[reason]}" + (f" ({detail})" if detail else ""),
            _CHOICES,
        )
    source = walked(os.path.basename(path), _kind(format))
    return iter([Found(source=source, path=path, format=format or "")])


def _kind(format: str | None) -> Modality:
    return "page" if format else "audio"


def _table(table: str, crawl: Crawl, wanted: Wanted) -> Iterator[Found]:
    """The rows of a table as sources; of rows that say the same, the first."""
    marks = np.fromiter(
        (int(row.digest()[:16], 16) for row in given(table, crawl.ignore_columns)), dtype=np.uint64
    )
    if marks.size == 0:
        raise DataError(shown(table), "the table has no rows", "Write one row per file.")
    values, counts = np.unique(marks, return_counts=True)
    return _rows(table, crawl, wanted, frozenset(values[counts > 1].tolist()))


def _rows(table: str, crawl: Crawl, wanted: Wanted, suspects: frozenset[int]) -> Iterator[Found]:
    """`suspects`: the marks (8 bytes) that more than one row has; only these are remembered."""
    folder = os.path.dirname(table)
    real_folder = os.path.realpath(folder)
    seen: dict[str, int] = {}
    for row in given(table, crawl.ignore_columns):
        path = os.path.join(folder, row.path)
        uri = _row_uri(row.path, folder, real_folder)
        cues, verdict = _row_cues(row, folder, real_folder, crawl)
        format: str | None = None
        digest = row.digest()
        if int(digest[:16], 16) in suspects and seen.setdefault(digest, row.place) != row.place:
            verdict = ("duplicate_row", f"the same as row {seen[digest]}")
        elif verdict is None:
            verdict, format = _row_verdict(path, real_folder, crawl, wanted)
        source = _row_source(table, row, uri, cues, _kind(format))
        if verdict is None:
            yield Found(source=source, path=path, format=format or "")
        else:
            yield Found(source=source, drop=dropped(source, *verdict))


def _row_cues(
    row: Given, folder: str, real_folder: str, crawl: Crawl
) -> tuple[tuple[Cue, ...], Verdict | None]:
    """The timed text that a row names; or why the row must leave. Never audio without its text."""
    if row.cues is None:
        return (), None
    path, verdict = resolve(os.path.join(folder, row.cues))
    if verdict is not None:
        return (), (verdict[0], f"the file of cues {shown(row.cues)}")
    if not within(path, real_folder) and not crawl.follow_links:
        return (), ("link_out", "the path of the cues leads out of the table's folder")
    try:
        return read_cues(path), None
    except CueError as error:
        return (), ("bad_cues", f"{shown(row.cues)}:{error}")
    except OSError as error:
        return (), trouble(error)


def _row_verdict(
    path: str, real_folder: str, crawl: Crawl, wanted: Wanted
) -> tuple[Verdict | None, str | None]:
    real, verdict = resolve(path)
    if verdict is not None:
        return verdict, None
    if not within(real, real_folder) and not crawl.follow_links:
        return ("link_out", "the path leads out of the table's folder"), None
    try:
        return judged(path, os.stat(real), crawl, wanted)
    except OSError as error:
        return trouble(error), None


def _row_uri(path: str, folder: str, real_folder: str) -> str:
    """From the table's folder where the file lies in it; else the path as it was written."""
    if os.path.isabs(path):
        plain = os.path.normpath(path)
        if within(plain, folder) and plain != folder:
            return uri_of(os.path.relpath(plain, folder))
        real = os.path.realpath(path)
        if within(real, real_folder) and real != real_folder:
            return uri_of(os.path.relpath(real, real_folder))
        return file_uri(path)
    if ".." in path.split("/"):
        return uri_of(os.path.relpath(os.path.realpath(os.path.join(folder, path)), real_folder))
    return uri_of(os.path.normpath(path))


def _row_source(table: str, row: Given, uri: str, cues: tuple[Cue, ...], kind: Modality) -> Source:
    provenance = f"{shown(os.path.basename(table))}:{row.place}"
    return Source(
        id=source_id(uri, provenance),
        uri=uri,
        kind=kind,
        provenance=provenance,
        licence=row.licence,
        text=row.text,
        speaker=row.speaker,
        language=row.language,
        channel=row.channel,
        cues=cues,
        feed=row.feed,
    )


def not_only_drops(data: str, items: Iterator[Found], wanted: Wanted = AUDIO) -> Iterator[Found]:
    """The items; and an error at their end where none of them is a file to read."""
    counts: collections.Counter[str] = collections.Counter()
    first: dict[str, str] = {}
    kept = False
    for item in items:
        kept = kept or item.drop is None
        if not kept and item.drop is not None:
            counts[item.drop.reason] += 1
            first.setdefault(item.drop.reason, item.source.uri)
        yield item
    if not kept:
        said = "; ".join(
            f"{counts[reason]} {reason}, first {first[reason]}: {Crawl.reasons[reason]}"
            for reason in sorted(counts)
        )
        raise DataError(data, f"no {' or '.join(sorted(wanted))} in DATA ({said})", _CHOICES)
