"""The manifest above a set of shards: the only truth about which files belong to it.

A folder listing cannot tell a missing shard from one that never was, nor a stale one from a new
one; the manifest names every shard with its size and sha256. It is one small JSON file, or, above
`PART` shards, a tree: the shards stand in parts, which the manifest names by digest. Files are
made and read through functions, so that the set may lie on any store.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from schemas.ids import bytes_digest
from schemas.shard import FORMAT, ShardError
from schemas.shard_tokens import TokenizerEntry

NAME = "manifest.json"
PART = 1000  # shards in one file of the tree
SHARD_NAME = re.compile(r"(?:[a-z0-9_-]{1,64}/){0,4}[a-z0-9_-]{1,80}\.tar")
PART_NAME = re.compile(r"manifest-[0-9]{5}\.json")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ShardEntry:
    """One shard of a set, as its writer closed it."""

    name: str  # path below the manifest: "train/web-0a1b2c3d.tar"; its index: .parquet for .tar
    sha256: str
    bytes: int
    index_sha256: str
    stream: str
    split: str
    audio: str  # "flac" | "none"
    documents: int
    chunks: int
    seconds: float
    characters: int
    words: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a set is and where it came from. `about` and the like hold plain JSON values."""

    name: str
    shards: tuple[ShardEntry, ...]
    recipe: Any = None  # the recipe's full text, or its resolved settings
    views: Any = None  # stream -> granularity, policy and bounds that readers use by default
    versions: Any = None  # library -> version; also the device class
    licences: Any = None  # licence -> documents and seconds
    funnel: Any = None  # step by step: items and seconds in, kept, dropped by reason
    keys: Any = None  # phase -> key under which its outputs lie
    tokenizers: tuple[TokenizerEntry, ...] = ()  # whose tokens all documents with speech have

    def totals(self) -> dict[str, Any]:
        """Sums over the shards, by split and stream: a check on reading, a table for people."""
        found: dict[str, Any] = {}
        for entry in self.shards:
            row = found.setdefault(f"{entry.split}/{entry.stream}", dict.fromkeys(_SUMMED, 0))
            for name in _SUMMED:
                row[name] += getattr(entry, name) if name != "shards" else 1
        return found


_SUMMED = ("shards", "bytes", "documents", "chunks", "seconds", "characters", "words")
_ABOUT = ("recipe", "views", "versions", "licences", "funnel", "keys")


def index_name(shard: str) -> str:
    """The index beside a shard."""
    return shard.removesuffix(".tar") + ".parquet"


def manifest_files(manifest: Manifest, part: int = PART) -> dict[str, bytes]:
    """The files of a manifest by name; `manifest.json` is the last, and is to be written last."""
    entries = sorted(manifest.shards, key=lambda entry: entry.name)
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise ShardError("duplicate_shard", "a manifest names a shard twice")
    for entry in entries:
        _checked(entry, NAME)
    top: dict[str, Any] = {"format": FORMAT, "name": manifest.name}
    top |= {name: getattr(manifest, name) for name in _ABOUT}
    if manifest.tokenizers:
        top["tokenizers"] = [entry.row() for entry in _by_name(manifest.tokenizers)]
    top["totals"] = dataclasses.replace(manifest, shards=tuple(entries)).totals()
    rows = [dataclasses.asdict(entry) for entry in entries]
    files: dict[str, bytes] = {}
    if len(rows) > part:
        for number, first in enumerate(range(0, len(rows), part)):
            files[f"manifest-{number:05d}.json"] = _dump({"shards": rows[first : first + part]})
        rows_of = [len(rows[first : first + part]) for first in range(0, len(rows), part)]
        top["parts"] = [
            {"name": name, "sha256": bytes_digest(data), "shards": count}
            for (name, data), count in zip(files.items(), rows_of, strict=True)
        ]
    else:
        top["shards"] = rows
    files[NAME] = _dump(top)
    return files


def read_manifest(read: Callable[[str], bytes]) -> Manifest:
    """The manifest whose files `read` gives by name. Raises `ShardError` where they do not agree.

    Errors of `read` (a file that is missing) pass through.
    """
    top = _load(read(NAME), NAME)
    if top.get("format") != FORMAT:
        raise ShardError("wrong_format", f"{NAME}: format {top.get('format')!r}, not {FORMAT}")
    try:
        rows = list(top["shards"]) if "shards" in top else _parts(top["parts"], read)
        entries = tuple(_entry(row) for row in rows)
        manifest = Manifest(
            name=top["name"],
            shards=entries,
            tokenizers=_tokenizers(top.get("tokenizers", [])),
            **{name: top[name] for name in _ABOUT},
        )
    except (KeyError, TypeError) as error:
        raise ShardError("bad_manifest", f"{NAME}: lacks or misuses {error}") from error
    names = [entry.name for entry in entries]
    if names != sorted(set(names)):
        raise ShardError("bad_manifest", f"{NAME}: shards are not in order, or named twice")
    if top.get("totals") != manifest.totals():
        raise ShardError("bad_manifest", f"{NAME}: its totals are not the sums of its shards")
    return manifest


def _tokenizers(rows: Iterable[dict[str, Any]]) -> tuple[TokenizerEntry, ...]:
    try:
        return _by_name(TokenizerEntry.of(row) for row in rows)
    except ValueError as error:
        raise ShardError("bad_manifest", f"{NAME}: {error}") from error


def _by_name(entries: Iterable[TokenizerEntry]) -> tuple[TokenizerEntry, ...]:
    found = sorted(entries, key=lambda entry: entry.name)
    if len({entry.name for entry in found}) != len(found):
        raise ValueError("a tokenizer is named twice")
    return tuple(found)


def _parts(parts: Iterable[dict[str, Any]], read: Callable[[str], bytes]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part in parts:
        name = part["name"]
        if not (isinstance(name, str) and PART_NAME.fullmatch(name)):
            raise ShardError("bad_manifest", f"{NAME}: {name!r:.80} cannot be a part of it")
        data = read(name)
        found = _load(data, name)["shards"]
        if bytes_digest(data) != part["sha256"] or len(found) != part["shards"]:
            raise ShardError("altered", f"{name}: not the file that {NAME} names")
        rows += found
    return rows


def _entry(row: dict[str, Any]) -> ShardEntry:
    return _checked(ShardEntry(**row), NAME)


def _checked(entry: ShardEntry, where: str) -> ShardEntry:
    """Names lead nowhere but below the manifest, and every value has its type."""
    for field in dataclasses.fields(entry):
        if type(getattr(entry, field.name)) is not field.type:
            raise ShardError(
                "bad_manifest", f"{where}: {field.name} is {getattr(entry, field.name)!r:.80}"
            )
    if not SHARD_NAME.fullmatch(entry.name):
        raise ShardError("bad_name", f"{where}: {entry.name!r:.200} cannot be a shard")
    if not (DIGEST.fullmatch(entry.sha256) and DIGEST.fullmatch(entry.index_sha256)):
        raise ShardError("bad_manifest", f"{where}: {entry.name} has no sha256")
    return entry


def _dump(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1)
    return text.encode("utf-8", "replace") + b"\n"


def _load(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ShardError("bad_manifest", f"{name}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ShardError("bad_manifest", f"{name}: not an object")
    return found
