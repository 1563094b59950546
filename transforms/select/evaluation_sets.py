"""Evaluation sets on local disks, as the texts and sounds that training data must not hold.

A file is JSON Lines or Parquet, one item per row. Which columns are looked at: `question`,
`options`, `answer`, and those of the sets that the trainer reads (`prompt`, `endings`, `positive`,
`negative`, `text`, `chunks`); other names are told by `columns`. A value is a text, a list, or an
object of texts (`{"text": ..., "audio": ...}` is one side of an item); an `answer` that is a number
is a place in the options. Of an item count each of its texts, and the question with the answer
right behind it: a leak often holds both in one breath.

A set is named after its file, or after the folder of a file `items.jsonl`, which is the trainer's
layout: so ids that are flagged here are those that it reports. Everything wrong is an error with
file and line: a set that is silently not compared with would be worse than none.
"""

import dataclasses
import difflib
import glob
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

TEXTS = (
    *("question", "options", "answer", "prompt", "endings"),
    *("positive", "negative", "text", "chunks"),
)
FIELDS = ("id", *TEXTS, "audio")
ENDINGS = (".jsonl", ".ndjson", ".parquet")
_ASKED = ("question", "prompt", "positive", "text", "chunks")  # an item has one of these, or audio
_LAYOUT = "items"  # file names that say less than their folder's


class EvaluationSetError(ValueError):
    """An evaluation file is missing or not what it should be; says where, why and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One row of a set: its texts, with those that stand behind one another joined, and sounds."""

    set: str
    id: str
    texts: tuple[str, ...]
    sounds: tuple[Path, ...] = ()


def files_of(patterns: Sequence[str], folder: Path, more: Sequence[str] = ()) -> tuple[Path, ...]:
    """The files that globs name, those without a root from `folder`, sorted. `more`: endings that
    are welcome beside those of evaluation sets.

    Raises `EvaluationSetError` for a pattern that nothing matches and for files of other kinds.
    """
    found: set[Path] = set()
    for pattern in patterns:
        whole = str(folder / Path(pattern).expanduser())
        names = [Path(name) for name in glob.glob(whole, recursive=True)]
        files = [name for name in names if name.is_file()]
        if not files:
            raise EvaluationSetError(
                f"{pattern!r} matches no file (looked for {whole}); correct the path, "
                "which starts from the recipe's folder unless it is absolute"
            )
        for file in files:
            if file.suffix not in (*ENDINGS, *more):
                raise EvaluationSetError(
                    f"{file} cannot be read: its name must end in {', '.join((*ENDINGS, *more))}"
                )
        found.update(file.resolve() for file in files)
    ordered = tuple(sorted(found))
    named: dict[str, Path] = {}
    for file in ordered:
        other = named.setdefault(set_name(file), file)
        if other != file:
            raise EvaluationSetError(
                f"{other} and {file} would both be the set {set_name(file)!r}; rename one"
            )
    return ordered


def set_name(file: Path) -> str:
    """The name of a file's set: the file's, or that of its folder where the file is `items`."""
    return file.parent.name if file.stem == _LAYOUT else file.stem


def digest(file: Path) -> str:
    """The sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_set(file: Path, columns: Mapping[str, str] | None = None) -> tuple[Item, ...]:
    """The items of one file, in their order; `columns`: our name -> the file's.

    Raises `EvaluationSetError`.
    """
    names = {name: (columns or {}).get(name, name) for name in FIELDS}
    items: list[Item] = []
    first: dict[str, str] = {}
    for place, where, row in _rows(file):
        item = _item(row, names, file, place, where)
        other = first.setdefault(item.id, where)
        if other != where:
            raise EvaluationSetError(f"{where}: the id {item.id!r} stands here and at {other}")
        items.append(item)
    if not items:
        raise EvaluationSetError(f"{file}:1: holds no item; remove the file or fill it")
    return tuple(items)


def _rows(file: Path) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Number from 0, where it stands, and the row."""
    if file.suffix == ".parquet":
        yield from _parquet_rows(file)
        return
    try:
        data = file.read_bytes()
    except OSError as error:
        raise EvaluationSetError(f"{file}: cannot be read: {error}") from error
    place = 0
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise EvaluationSetError(f"{where}: is not JSON in UTF-8: {error}") from error
        if not isinstance(row, dict):
            raise EvaluationSetError(f"{where}: is not an object with named fields")
        yield place, where, row
        place += 1


def _parquet_rows(file: Path) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = 0
    try:
        with pq.ParquetFile(file) as source:
            for group in range(source.num_row_groups):
                for row in source.read_row_group(group, use_threads=False).to_pylist():
                    yield place, f"{file}: row {place + 1}", row
                    place += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise EvaluationSetError(f"{file}: cannot be read as Parquet: {error}") from error


def _item(
    row: Mapping[str, Any], names: Mapping[str, str], file: Path, place: int, where: str
) -> Item:
    given = {name: row[theirs] for name, theirs in names.items() if row.get(theirs) is not None}
    if not any(name in given for name in (*_ASKED, "audio")):
        raise EvaluationSetError(_lacking(row, names, where))
    found = {
        name: list(_texts(value, name, names[name], where))
        for name, value in given.items()
        if name in TEXTS and not (name == "answer" and _is_place(value))
    }
    answer = _answer(given, found, where)
    texts = [text for one in found.values() for text in one]
    for before in ("question", "prompt"):
        texts += [f"{text} {after}" for text in found.get(before, []) for after in answer]
    if "chunks" in found:
        texts = [" ".join(found["chunks"]), *texts]
    sounds = list(_sounds(given.get("audio"), where, True))
    for name in TEXTS:
        sounds += _sounds(given.get(name), where, False)
    known = given.get("id", place)
    if not isinstance(known, str | int) or isinstance(known, bool) or not str(known).strip():
        raise EvaluationSetError(f"{where}: id is {known!r:.60}: it is a text or a whole number")
    return Item(
        set=set_name(file),
        id=str(known),
        texts=tuple(dict.fromkeys(text for text in texts if text.strip())),
        sounds=tuple(_sound(path, file, where) for path in dict.fromkeys(sounds)),
    )


def _lacking(row: Mapping[str, Any], names: Mapping[str, str], where: str) -> str:
    mapped = [theirs for name, theirs in names.items() if name != theirs and theirs not in row]
    if mapped:
        near = difflib.get_close_matches(mapped[0], list(row), n=1, cutoff=0.0)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        return f"{where}: has no column {mapped[0]!r}, which `columns` names{hint}"
    held = ", ".join(repr(name) for name in row) or "nothing"
    alike = [name for name in row if difflib.get_close_matches(name, _ASKED, n=1, cutoff=0.5)]
    return (
        f"{where}: has none of the columns {', '.join(_ASKED)}, audio; it holds {held:.200}. Say "
        f"which is which: columns: {{question: {next(iter(alike), 'query')}}}"
    )


def _is_place(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: Any, name: str, theirs: str, where: str) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one, name, theirs, where)
    elif isinstance(value, Mapping):
        sides = {"text": value.get("text")} if "text" in value or "audio" in value else value
        for one in sides.values():
            yield from _texts(one, name, theirs, where)
    elif value is not None:
        raise EvaluationSetError(
            f"{where}: column {theirs!r} holds {value!r:.60}, a {type(value).__name__}; as "
            f"{name} it must be a text, a list of texts or an object of texts"
        )


def _answer(given: Mapping[str, Any], found: dict[str, list[str]], where: str) -> list[str]:
    """The texts of the right answer, or none where it is not told."""
    choices = found.get("options") or found.get("endings") or []
    value = given.get("answer")
    if not _is_place(value):
        return found.get("answer", [])
    if choices and not 0 <= value < len(choices):
        raise EvaluationSetError(
            f"{where}: answer is {value}; options have the places 0 to {len(choices) - 1}"
        )
    return [choices[value]] if choices else []


def _sounds(value: Any, where: str, is_audio: bool) -> Iterator[str]:
    """Paths of audio: in the column `audio`, or beside a text."""
    if is_audio and isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _sounds(one, where, is_audio)
    elif isinstance(value, Mapping):
        path = value.get("path" if is_audio else "audio")
        if isinstance(path, str) and path:
            yield path
        elif is_audio:
            raise EvaluationSetError(
                f"{where}: audio holds no path; write sounds that lie inside a file to files of "
                "their own, and name them"
            )
    elif is_audio and value is not None:
        raise EvaluationSetError(f"{where}: audio is {value!r:.60}: it is the path of a file")


def _sound(path: str, file: Path, where: str) -> Path:
    found = file.parent / Path(path).expanduser()
    if not found.is_file():
        raise EvaluationSetError(
            f"{where}: the audio {path!r} does not exist (looked for {found}); paths start from "
            "the folder of the evaluation file"
        )
    return found.resolve()
