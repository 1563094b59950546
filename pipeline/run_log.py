"""The log of a run: JSON lines in OUT that appear while it works.

On a local disk each line is appended at once. A bucket cannot append: there the log is kept in a
scratch file and put whole, at the beginning of every phase and in between as often as its size
allows. So of a run that was killed there is a log in a bucket too, and `gc` spares its work.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from schemas.store import Store, StoreError

PUT_SECONDS = 20.0  # between two puts; well below what gc takes for a run at work
PUT_BYTES = 1 << 20  # and a second for so many bytes: a long log is put less often


class RunLog:
    """Takes lines. Where some cannot be kept, the first such line says why, and no other does."""

    def __init__(self, store: Store, name: str, clock: Callable[[], float] = time.monotonic):
        """Raises `StoreError` where OUT is a folder that takes no log."""
        self.failed: str | None = None  # why it is not complete
        self._store, self._name, self._clock = store, name, clock
        self._size = 0
        self._put_at = clock()
        self._unput = False  # lines that are not in the bucket
        local = store.local(name)
        self._scratch: Path | None = None
        try:
            if local is None:
                descriptor, path = tempfile.mkstemp(prefix="speechloom-log-")
                self._scratch, self._file = Path(path), os.fdopen(descriptor, "ab")
                return
            local.parent.mkdir(parents=True, exist_ok=True)
            self._file = local.open("ab")
        except OSError as error:
            place, what = (local, "OUT") if local is not None else (tempfile.gettempdir(), "TMPDIR")
            raise StoreError(
                f"cannot write {place}: {error.strerror}. Name another folder as {what}, or make "
                "this one writable"
            ) from error

    def add(self, line: str, now: bool = False) -> None:
        """Take a line. `now`: a bucket is to have it at once."""
        data = line.encode("utf-8") + b"\n"
        self._size += len(data)
        self._unput = True
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:  # a full disk: what matters will say so too, and better
            self.failed = self.failed or (error.strerror or str(error))
            return
        wait = max(PUT_SECONDS, self._size / PUT_BYTES)
        if now or self._clock() - self._put_at >= wait:
            self._put()

    def close(self) -> None:
        """Keep what is not kept yet. Nothing is raised: a log is no result."""
        if self._unput:
            self._put()
        try:
            self._file.close()
        except OSError as error:  # lines that a full disk did not take
            self.failed = self.failed or (error.strerror or str(error))
        if self._scratch is not None:
            self._scratch.unlink(missing_ok=True)

    def _put(self) -> None:
        if self._scratch is None:
            return
        try:
            self._store.replace(self._name, self._scratch)
            self._unput = False
        except StoreError as error:
            self.failed = self.failed or str(error)
        self._put_at = self._clock()
