"""Where a set of shards lies, for who checks it: a folder, or a bucket's prefix, file by file.

A local file is read where it lies. A shard in a bucket is copied to a local disk first, piece by
piece, because it is read twice and from end to end; so the disk has to hold one shard, memory
none. A bucket that cannot be reached raises `StoreError`: that is no fault of the set.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from schemas.manifest import NAME
from schemas.store import Store


class ShardPlace:
    """The files of a set, by their names in it. `root`: its folder, or its manifest."""

    def __init__(self, root: str | os.PathLike[str]):
        text = os.fspath(root)
        if text.rpartition("/")[2] == NAME:
            text = text.rpartition("/")[0] or "."
        self._store = Store(text)

    def where(self, name: str) -> str:
        """The full place of a file, for people."""
        return self._store.where(name)

    def names(self) -> list[str]:
        """All files, sorted."""
        folder = self._store.local("")
        if folder is None:
            return [entry.name for entry in self._store.list("")]
        return [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]

    def read(self, name: str) -> bytes:
        """A small file. Raises `OSError`: `FileNotFoundError`, any for a local one."""
        path = self._store.local(name)
        return path.read_bytes() if path is not None else self._store.get(name)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A local file with the bytes of a large one, as long as the context lasts.

        Raises `FileNotFoundError` where a bucket has none; a local one may be absent.
        """
        path = self._store.local(name)
        if path is not None:
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="speechloom-") as folder:
            copy = Path(folder) / "file"
            self._store.copy_to(name, copy)
            yield copy
