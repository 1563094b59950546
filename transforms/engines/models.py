"""Model files on disk: what is wrong with them, said before work starts, and what they are.

An engine never downloads: results would depend on the day, and a worker without a network would
find out last. What is missing is named with the command that gets it, or fetched before work starts
(`hub`).
"""

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas.ids import bytes_digest, stream_digest
from schemas.strict_yaml import Place, Problem, SettingsError


class ModelError(SettingsError):
    """A model that a recipe names is missing or broken: where, what, and what to do."""

    def __init__(self, engine: str, message: str) -> None:
        self.engine, self.message = engine, message
        super().__init__([Problem(Place(engine), "", message)])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.engine, self.message)


@functools.lru_cache(maxsize=256)
def _digest(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as stream:
        return stream_digest(stream)


def file_digest(path: Path) -> str:
    """The sha256 of a file, read once per process while size and time of change stay."""
    status = os.stat(path)
    return _digest(str(path.resolve()), status.st_size, status.st_mtime_ns)


def files_digest(folder: Path, names: Iterable[str]) -> str:
    """One sha256 over some files of a folder: of their names and digests, whatever the order."""
    lines = [f"{name} {file_digest(folder / name)}\n" for name in sorted(names)]
    return bytes_digest("".join(lines).encode())
