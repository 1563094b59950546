"""Evaluation sets on disk: a folder with `items.jsonl` and, for what is spoken, `audio/`.

One folder is one set of one kind, one item a line; it is read whole and strictly before a model is
asked anything, so that a fault is told with its file and line and not after an hour. Audio is mono
FLAC or WAV below `audio/`: paths never lead out of the folder.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic

from schemas.ids import digest_of, stream_digest
from schemas.problems import nearest
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.items import KINDS, Item, Mode

ITEMS, AUDIO = "items.jsonl", "audio"
LONGEST_LINE = 1 << 20  # characters


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EvalSet:
    """A set that was read and found sound."""

    name: str
    kind: str
    folder: Path
    items: tuple[Item, ...]
    lines: tuple[int, ...]  # of `items.jsonl`, by item
    modes: tuple[Mode, ...]  # those that every item can be asked in
    digest: str  # of the lines and of every audio file

    def where(self, number: int) -> str:
        """Where an item stands, for people."""
        return f"{self.folder / ITEMS}:{self.lines[number]}: {self.items[number].id!r}"


def read_set(folder: Path, name: str | None = None) -> EvalSet:
    """Read and check a set; its name is the folder's unless given. Raises `EvaluationError`."""
    source = folder / ITEMS
    if not source.is_file():
        raise EvaluationError(f"{source}: no such file; an evaluation set is a folder with it")
    items: list[Item] = []
    lines: list[int] = []
    first: dict[str, int] = {}
    sounds: dict[str, str] = {}
    for number, line in enumerate(_lines(source), 1):
        where = f"{source}:{number}"
        if not line.strip():
            raise EvaluationError(f"{where}: an empty line; each line is one item")
        item = _item(line, where)
        if item.id in first:
            raise EvaluationError(f"{where}: the id {item.id!r} stands in line {first[item.id]}")
        if items and item.kind != items[0].kind:
            raise EvaluationError(
                f"{where}: {item.kind!r} in a set of kind {items[0].kind!r}; one folder, one kind"
            )
        first[item.id] = number
        for side in item.sides():
            if side.audio is not None and side.audio not in sounds:
                sounds[side.audio] = _sound(folder, side.audio, where)
        items.append(item)
        lines.append(number)
    if not items:
        raise EvaluationError(f"{source}: no items")
    with source.open("rb") as stream:
        own = stream_digest(stream)
    return EvalSet(
        name=name or folder.resolve().name,
        kind=items[0].kind,
        folder=folder,
        items=tuple(items),
        lines=tuple(lines),
        modes=_modes(items, lines, source),
        digest=digest_of("evalset", own, sorted(sounds.items())),
    )


def write_set(
    folder: Path,
    items: Iterable[Mapping[str, Any]],
    audio: Mapping[str, Path | bytes] | Iterable[tuple[str, Path | bytes]],
) -> EvalSet:
    """Write a set into a folder that has none yet, and read it back.

    `audio`: what becomes of each path that items name: a file to copy, or bytes; one at a time,
    where it is an iterator. Raises `EvaluationError` for items that are not sound; nothing is left
    behind then.
    """
    if folder.exists() and any(folder.iterdir()):
        raise EvaluationError(f"{folder} is not empty: sets are never written over")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for path, content in audio.items() if isinstance(audio, Mapping) else audio:
            target = folder / _inside(path, str(folder))
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        (folder / ITEMS).write_text(text, encoding="utf-8")
        return read_set(folder)
    except BaseException:
        shutil.rmtree(folder)
        raise


def read_items(source: Path) -> list[Item]:
    """The items of a file of one kind, which no audio lies beside. Raises `EvaluationError`."""
    items: list[Item] = []
    ids: set[str] = set()
    for number, line in enumerate(_lines(source), 1):
        where = f"{source}:{number}"
        item = _item(line, where)
        if item.id in ids:
            raise EvaluationError(f"{where}: the id {item.id!r} stands twice")
        if items and item.kind != items[0].kind:
            raise EvaluationError(f"{where}: {item.kind!r} in a file of kind {items[0].kind!r}")
        ids.add(item.id)
        items.append(item)
    if not items:
        raise EvaluationError(f"{source}: no items")
    return items


def _lines(source: Path) -> Sequence[str]:
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{source}: not UTF-8 ({error})") from error
    lines = text.split("\n")  # not splitlines: U+2028 and the like may stand inside strings
    return lines[:-1] if lines and not lines[-1] else lines


def _item(line: str, where: str) -> Item:
    if len(line) > LONGEST_LINE:
        raise EvaluationError(f"{where}: {len(line)} characters, more than {LONGEST_LINE}")
    try:
        found = json.loads(line, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{where}: not JSON as we take it: {error}") from error
    if not isinstance(found, dict):
        raise EvaluationError(f"{where}: {type(found).__name__}, not an object")
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = nearest(kind if isinstance(kind, str) else "", KINDS)
        raise EvaluationError(f"{where}: kind is {kind!r}{hint}")
    model = KINDS[kind]
    try:
        item: Item = model.model_validate_json(line)
    except pydantic.ValidationError as error:
        raise EvaluationError(
            f"{where}: {kind} {found.get('id')!r}: {_said(error, model)}"
        ) from error
    return item


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number here")


def _said(error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> str:
    said = []
    for detail in error.errors(include_url=False):
        path = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = "unknown field"
            if len(detail["loc"]) == 1:
                message += nearest(str(detail["loc"][0]), model.model_fields)
        said.append(f"{path}: {message}" if path else message)
    return "; ".join(said)


def _inside(path: str, where: str) -> Path:
    """A path as it may stand in an item. Raises `EvaluationError`."""
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[0] != AUDIO or ".." in parts or "\\" in path or "\0" in path:
        raise EvaluationError(
            f"{where}: audio {path!r} must be a path below {AUDIO}/, without '..', inside the set"
        )
    return Path(*parts)


def _sound(folder: Path, path: str, where: str) -> str:
    """The sha256 of an audio file that can be heard. Raises `EvaluationError`."""
    import soundfile

    file = folder / _inside(path, where)
    if not file.is_file():
        raise EvaluationError(f"{where}: audio {path!r}: no such file in {folder}")
    if not file.resolve().is_relative_to((folder / AUDIO).resolve()):
        raise EvaluationError(f"{where}: audio {path!r} is a link that leads out of the set")
    try:
        about = soundfile.info(file)
    except soundfile.LibsndfileError as error:
        raise EvaluationError(f"{where}: audio {path!r} cannot be read: {error}") from error
    if about.format not in ("FLAC", "WAV") or about.channels != 1 or not about.frames:
        raise EvaluationError(
            f"{where}: audio {path!r} is {about.format} with {about.channels} channels and "
            f"{about.frames} frames; needs mono FLAC or WAV that is not empty"
        )
    with file.open("rb") as stream:
        return stream_digest(stream)


def _modes(items: Sequence[Item], lines: Sequence[int], source: Path) -> tuple[Mode, ...]:
    """The modes of a set. A mode that some items have and others lack is a fault."""
    modes = items[0].modes()
    for item, line in zip(items, lines, strict=True):
        if item.modes() != modes:
            raise EvaluationError(
                f"{source}:{line}: {item.id!r} can be asked in {', '.join(item.modes())}, "
                f"{items[0].id!r} in {', '.join(modes)}: an accuracy would mix them; give every "
                "item the same sides"
            )
    return modes
