"""Where the bytes of what was fetched lie: a file of a local OUT, or an object of a remote one.

A path of DATA is what the door opens. On a remote OUT there is no file to open, so what stands for
it is a name, `out:fetch/<key>/…`, which travels as a path does and is copied into a worker's
scratch when its turn has come. So fetched data need no disk that workers share.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.phases.fetch import body_name, fetch_key
from schemas.store import Store

MARK = "out:"


def place_of(store: Store, sha256: str) -> str:
    """What stands for a fetched body: a local path, or its name in OUT."""
    name = body_name(fetch_key(), sha256)
    local = store.local(name)
    return str(local) if local is not None else MARK + name


def in_out(path: str) -> bool:
    """Whether a path is a name in OUT. No path of DATA looks so: those are absolute."""
    return path.startswith(MARK)


def bring(store: Store, path: str, folder: Path) -> str:
    """A file with the bytes: the path itself, or a copy in `folder` of what lies in OUT."""
    if not in_out(path):
        return path
    name = path[len(MARK) :]
    copy = folder / name.rpartition("/")[2]
    store.copy_to(name, copy)
    return str(copy)


@contextlib.contextmanager
def file_of(store: Store, path: str, scratch: str | None = None) -> Iterator[str]:
    """A file with the bytes: the path itself, or a copy in scratch that goes with the context."""
    if not in_out(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="speechloom-", dir=scratch) as folder:
        yield bring(store, path, Path(folder))


def beginning(store: Store, path: str, size: int) -> bytes:
    """The first `size` bytes of a body, which is no shorter."""
    if in_out(path):
        return store.get_range(path[len(MARK) :], 0, size)
    with open(path, "rb") as file:
        return file.read(size)
