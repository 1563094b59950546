"""Checkpoints: written whole or not at all, read without running anything they hold.

A checkpoint is a folder `step-0000000100`: tensors by torch.distributed.checkpoint in safetensors
files (each rank writes its own; any number of ranks reads them), `state.json` with everything else,
and `complete.json` with the size and sha256 of each file. It is written under another name and
renamed when all of it is on the disk. The usual format of that library keeps a pickle, which can
run code when it is read; this one has none, and files that `complete.json` does not name are
refused.
"""

import contextlib
import dataclasses
import errno
import hashlib
import importlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from trainer.distributed import Ranks
from trainer.failures import CheckpointError

STATE, COMPLETE = "state.json", "complete.json"
FORMAT = 1
_NAME = re.compile(r"step-([0-9]{10})")
_PARTIAL = ".partial"
_FILE = re.compile(r"[A-Za-z0-9._-]+\.safetensors|state\.json")
_CHUNK = 1 << 22


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    step: int


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints of a folder, by step."""
    if not folder.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(
        (Checkpoint(path, int(name[1])) for name, path in found if name),
        key=lambda one: one.step,
    )


def newest(folder: Path) -> Checkpoint | None:
    """The checkpoint with the most steps; None where there is none."""
    found = checkpoints(folder)
    return found[-1] if found else None


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, torch.Tensor],
    state: Mapping[str, Any],
    ranks: Ranks,
    keep: int,
) -> Checkpoint:
    """Write a checkpoint from all ranks, then remove all but the newest `keep`.

    `state` is JSON. Raises `CheckpointError` on every rank where one could not write; what was
    there before stays.
    """
    final = folder / f"step-{step:010d}"
    partial = folder / f"{final.name}{_PARTIAL}"
    failed: OSError | None = None
    try:
        if ranks.first:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"*{_PARTIAL}"):
                shutil.rmtree(left)
            partial.mkdir()
    except OSError as error:
        failed = error
    failed = failed if ranks.any(failed is not None) else _write(partial, tensors, ranks)
    if ranks.first and failed is None:
        try:
            _finish(partial, final, {**state, "format": FORMAT, "step": step})
        except OSError as error:
            failed = error
    if ranks.any(failed is not None):
        if ranks.first:
            shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(_unwritten(final, failed, newest(folder)))
    if ranks.first:
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old.path)
    ranks.wait()
    return Checkpoint(final, step)


def fork(source: Path, folder: Path, step: int, state: Mapping[str, Any]) -> Checkpoint:
    """A checkpoint of a new run in `folder`: the tensors of `source`, checked, with another state.

    For one process. Raises `CheckpointError` where `source` is not as it was written.
    """
    read_state(source)
    final = folder / f"step-{step:010d}"
    partial = folder / f"{final.name}{_PARTIAL}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in _sums(source):
        if name != STATE:
            shutil.copyfile(source / name, partial / name)
    _finish(partial, final, {**state, "format": FORMAT, "step": step})
    return Checkpoint(final, step)


def read_state(path: Path) -> dict[str, Any]:
    """`state.json` of a checkpoint whose every file is as it was written.

    Raises `CheckpointError` for a folder that is incomplete, altered, or holds more than it says.
    """
    sums = _sums(path)
    there = {one.name for one in path.iterdir()} - {COMPLETE}
    if odd := sorted(there ^ sums.keys()):
        kind = "is not one of its files" if odd[0] in there else "is missing"
        raise CheckpointError(f"{path}: {odd[0]} {kind}{_advice(path)}")
    for name, (size, digest) in sums.items():
        file = path / name
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size:
            raise CheckpointError(f"{file}: not the {size} bytes that were written{_advice(path)}")
        if _digest(file) != digest:
            raise CheckpointError(f"{file}: altered, its sha256 differs{_advice(path)}")
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path / STATE}: not JSON: {error}{_advice(path)}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path / STATE}: not of format {FORMAT}{_advice(path)}")
    return state


def load(path: Path, tensors: Mapping[str, torch.Tensor], ranks: Ranks) -> None:
    """Fill tensors, in place, with what a checkpoint holds under their names.

    It may hold more. Raises `CheckpointError` where a name is missing or has another shape.
    """
    dcp: Any = importlib.import_module("torch.distributed.checkpoint")
    reader = dcp.HuggingFaceStorageReader(str(path))
    try:
        held: dict[str, Any] = reader.read_metadata().state_dict_metadata
    except Exception as error:  # safetensors raises a type of its own, and KeyErrors of its header
        raise CheckpointError(f"{path}: cannot be read: {error}{_advice(path)}") from error
    for name, tensor in tensors.items():
        if name not in held:
            raise CheckpointError(f"{path}: holds no {name}: it is of another model")
        there, wanted = tuple(held[name].size), tuple(tensor.shape)
        if there != wanted:
            raise CheckpointError(f"{path}: {name} is {there}, this model's is {wanted}")
    with _quiet():
        dcp.load(dict(tensors), storage_reader=reader, no_dist=ranks.count == 1)


def _write(partial: Path, tensors: Mapping[str, torch.Tensor], ranks: Ranks) -> OSError | None:
    dcp: Any = importlib.import_module("torch.distributed.checkpoint")
    writer = dcp.HuggingFaceStorageWriter(str(partial), save_distributed=True)
    try:
        with _quiet():
            dcp.save(dict(tensors), storage_writer=writer, no_dist=ranks.count == 1)
    except OSError as error:
        return error
    except dcp.CheckpointException as error:
        for cause, _ in error.failures.values():
            if isinstance(cause, OSError):
                return cause
            if "SafetensorError" in type(cause).__name__:
                return OSError(errno.EIO, str(cause))
        raise
    return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that one process is one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _finish(partial: Path, final: Path, state: Mapping[str, Any]) -> None:
    _put(partial / STATE, state)
    sums = {file.name: [file.stat().st_size, _digest(file)] for file in sorted(partial.iterdir())}
    for name in sums:
        _flush(partial / name)
    _put(partial / COMPLETE, {"files": sums})
    _flush(partial)
    if final.exists():  # the same step once more, as after `extend`: equal or newer
        shutil.rmtree(final)
    partial.rename(final)
    _flush(final.parent)


def _put(path: Path, value: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sums(path: Path) -> dict[str, tuple[int, str]]:
    try:
        given = json.loads((path / COMPLETE).read_text(encoding="utf-8"))["files"]
        found = {str(name): (int(size), str(digest)) for name, (size, digest) in given.items()}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: not a complete checkpoint, {COMPLETE} is missing{_advice(path)}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path / COMPLETE}: {error!r}{_advice(path)}") from error
    if odd := [name for name in found if not _FILE.fullmatch(name)]:
        raise CheckpointError(f"{path / COMPLETE}: names {odd[0]!r}, no file of a checkpoint")
    return found


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            found.update(block)
    return found.hexdigest()


def _advice(path: Path) -> str:
    others = [one for one in checkpoints(path.parent) if one.path.name != path.name]
    if not others:
        return ""
    return f"; to go on from {others[-1].path.name}, move this folder away"


def _unwritten(final: Path, failed: OSError | None, last: Checkpoint | None) -> str:
    full = failed is not None and failed.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    why = "another rank could not write" if failed is None else failed.strerror or str(failed)
    kept = f"the last good one is {last.path}" if last else "there is none before it"
    advice = "make room" if full else "mend that"
    return (
        f"checkpoint {final} could not be written: {why}; {kept}. To go on, {advice} and run the "
        "same command again"
    )
