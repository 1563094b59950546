"""Copies of remote shards on a local disk: whole, checked once, and never more than a limit.

A copy is fetched by ranges into a file of its own, its sha256 compared with the manifest's, and
only then given its name, which is its sha256: what bears the name is what the manifest meant. The
processes of a machine share the folder; one lock per shard keeps them from fetching it twice. A
copy that goes while it is being read stays readable to who has it open.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from schemas.manifest import ShardEntry
from trainer.data_settings import DataError
from trainer.places import Place

PART = 8 << 20  # bytes of one request


class Cache:
    def __init__(self, folder: str, limit: int) -> None:
        self._folder, self.limit = Path(folder), limit

    def path(self, place: Place, entry: ShardEntry) -> Path:
        """The local copy of a shard, fetched and checked if there is none yet.

        Raises `DataError`: `altered` and `truncated` where its bytes are not the manifest's,
        `too_large` where it is above the cache's limit, `no_room` where the disk is full.
        """
        target = self._folder / f"{entry.sha256}.tar"
        if self._used(target, entry):
            return target
        if entry.bytes > self.limit:
            raise DataError(
                "too_large",
                f"{entry.name} has {entry.bytes} bytes, the cache {self._folder} may hold "
                f"{self.limit}; raise cache_bytes or read without a cache",
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked(target):
                if not self._used(target, entry):  # another process may have been faster
                    self._fetch(place, entry, target)
        except OSError as error:
            raise DataError(
                "no_room",
                f"cannot keep {entry.name} ({entry.bytes} bytes) in {self._folder}: "
                f"{error.strerror or error}; free space, lower cache_bytes or move the cache",
            ) from error
        return target

    def _used(self, target: Path, entry: ShardEntry) -> bool:
        """Whether a whole copy is there; if so it is now the last one to go."""
        try:
            if target.stat().st_size != entry.bytes:
                return False
            os.utime(target)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    @contextlib.contextmanager
    def _locked(self, target: Path) -> Iterator[None]:
        with target.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fetch(self, place: Place, entry: ShardEntry, target: Path) -> None:
        self._evict(entry.bytes, target)
        part = target.with_suffix(f".{os.getpid()}.part")
        digest = hashlib.sha256()
        try:
            with part.open("wb") as file:
                for start in range(0, entry.bytes, PART):
                    size = min(PART, entry.bytes - start)
                    data = place.read_range(entry.name, start, size)
                    if len(data) != size:
                        raise DataError(
                            "truncated",
                            f"{place.url}/{entry.name}: ends before {entry.bytes} bytes",
                        )
                    digest.update(data)
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != entry.sha256:
                raise DataError(
                    "altered",
                    f"{place.url}/{entry.name}: sha256 {digest.hexdigest()}, the manifest says "
                    f"{entry.sha256}; copy the shard again",
                )
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    def _evict(self, wanted: int, target: Path) -> None:
        """Make room: the copies that were not used for longest go first."""
        found = []
        for path in self._folder.glob("*.tar"):
            with contextlib.suppress(FileNotFoundError):
                about = path.stat()
                found.append((about.st_mtime_ns, path.name, about.st_size, path))
        total = sum(size for _, _, size, _ in found) + wanted
        for _, _, size, path in sorted(found):
            if total <= self.limit:
                return
            if path != target:
                path.unlink(missing_ok=True)
                path.with_suffix(".lock").unlink(missing_ok=True)
            total -= size
