"""The one place that knows storage: local disks, GCS, S3 and Azure behind six small calls.

Everything that speechloom promises about retries rests on one operation, `put_if_absent`: an
object appears whole or not at all, and of two writers of one name exactly one wins. obstore gives
it on local disks (staged file, then link) and as a conditional put on GCS, S3 and Azure; a store
without it is refused. Names are relative, `/`-separated, and made from ids, never from data.

A conditional put whose connection breaks may have been carried out. obstore repeats it after some
breaks, and then says of its own object that another writer won; after others it gives up. So each
remote one carries a mark in the object's metadata, which tells who won, and is repeated by us.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, NotSupportedError

from schemas.answers import RETRIES, until_answered

COPIED_AT_ONCE = 4 << 20  # bytes
LARGE = 32 << 20  # bytes of a file that is not held in memory on its way to a bucket
PIECE = 8 << 20  # bytes of it that are, twice
_REMOTE = ("gs://", "s3://", "az://", "abfs://", "memory://")
_ORDERED = ("gs://", "s3://")  # list by name, from any name on
_LISTED, _ALONE = 1000, 10_000  # names: of a page; by one request after the other, before many
_MARK = "attempt"  # the metadata key of a writer's mark


class StoreError(RuntimeError):
    """Storage failed: full, unreachable or forbidden. Says what, where, why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One stored object."""

    name: str
    size: int  # bytes


def _size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


class Store:
    """A folder or bucket prefix. Picklable: only its url travels."""

    def __init__(self, url: str | os.PathLike[str]):
        text = os.fspath(url)
        self.remote = text.startswith(_REMOTE)
        if "://" in text and not self.remote:
            raise StoreError(
                f"cannot store at {text!r}: speechloom writes to local folders and to "
                f"{', '.join(_REMOTE[:4])} (stores with conditional puts)"
            )
        self.url = text if self.remote else str(Path(text).absolute())
        self._backend: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "remote": self.remote, "_backend": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def backend(self) -> Any:
        if self._backend is None:
            if self.remote:
                kind = self.url.partition(":")[0]
                more = {} if kind == "memory" else {"retry_config": RETRIES}
                self._backend = obstore.store.from_url(self.url, **more)
            else:
                with self._explained(""):
                    Path(self.url).mkdir(parents=True, exist_ok=True)
                self._backend = obstore.store.LocalStore(self.url, mkdir=True)
        return self._backend

    @property
    def absent(self) -> bool:
        """Whether nothing was ever written here. Reading must not create the folder."""
        return self._backend is None and not self.remote and not os.path.lexists(self.url)

    def where(self, name: str) -> str:
        """The full place of a name, for people."""
        return f"{self.url.rstrip('/')}/{name}" if name else self.url

    def local(self, name: str) -> Path | None:
        """The file of a name on a local store; None on a remote one."""
        return None if self.remote else Path(self.url) / name

    @contextlib.contextmanager
    def _explained(self, name: str, need: int | None = None) -> Iterator[None]:
        try:
            yield
        except AlreadyExistsError:
            raise
        except (BaseError, OSError) as error:
            if need is None and isinstance(error, FileNotFoundError):
                raise  # for a reader an answer; a writer's bucket is not there
            first = str(error).split("\n", 1)[0]
            raise StoreError(
                f"cannot write or read {self.where(name)}: {first}{self._room(need)}. What is "
                "committed is safe: free space or mend the place, then run the same command again"
            ) from error

    def _room(self, need: int | None) -> str:
        if self.remote:
            return ""
        try:
            free = shutil.disk_usage(self.url).free
        except OSError:
            return ""
        wanted = f"needs {_size(need)}, " if need is not None else ""
        return f" ({wanted}{_size(free)} free on that disk)"

    def put_if_absent(self, name: str, data: bytes | Path) -> bool:
        """Create an object from bytes or from a local file. False where the name was taken.

        Raises `StoreError` where the place is full or unreachable; then nothing was created.
        """
        need = data.stat().st_size if isinstance(data, Path) else len(data)
        with self._explained(name, need):
            if self.remote:
                return self._created(name, data)
            if isinstance(data, Path):
                return self._copied(name, data)
            try:
                obstore.put(self.backend, name, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def _created(self, name: str, data: bytes | Path) -> bool:
        """`put_if_absent` on a remote store, repeated where the answer was lost on its way."""
        mark = os.urandom(8).hex()

        def once() -> bool:
            try:
                obstore.put(self.backend, name, data, mode="create", attributes={_MARK: mark})
            except AlreadyExistsError:  # of another writer, or of a try whose answer was lost
                return self._mark_of(name) == mark
            return True

        return until_answered(once)

    def _mark_of(self, name: str) -> str | None:
        """The mark of an object's writer; None where it has none or was removed meanwhile."""
        try:
            got = until_answered(lambda: obstore.get(self.backend, name, options={"head": True}))
        except FileNotFoundError:
            return None
        mark = got.attributes.get(_MARK)
        return None if mark is None else str(mark)

    def _copied(self, name: str, path: Path) -> bool:
        """`put_if_absent` of a file on a local store, piece by piece.

        obstore's conditional put holds the whole file (measured: 250 MB take 270), and the tar of a
        long recording is as large as the recording. Staged as obstore does it, under a name that
        its listings leave out, then linked, which one of two writers can do.
        """
        target = Path(self.url) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f"{target.name}#{int.from_bytes(os.urandom(6), 'big')}")
        try:
            shutil.copyfile(path, staged)
            os.link(staged, target)
        except FileExistsError:
            return False
        finally:
            staged.unlink(missing_ok=True)
        return True

    def take(self, name: str, path: Path | str) -> bool:
        """Make a local file an object without copying it where it lies on the same disk.

        The name says the bytes, so whoever else makes it makes the same. False where the name was
        taken. Nobody may write to the file afterwards.
        """
        if self.remote:
            return self._sent(name, Path(path))
        try:  # most folders are there: nearly every body that is fetched needs this call alone
            os.link(path, f"{self.url}/{name}")
        except FileExistsError:
            return False
        except OSError:
            return self._taken(name, Path(path))
        return True

    def _taken(self, name: str, path: Path) -> bool:
        """`take` where a link alone does not do: make its folder, or copy."""
        target = Path(self.url) / name
        with self._explained(name, path.stat().st_size):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target)
            except FileExistsError:
                return False
            except OSError:  # another disk, or a file system without hard links
                return self._copied(name, path)
        return True

    def _sent(self, name: str, path: Path) -> bool:
        """`take` on a remote store: a large file goes in pieces.

        A conditional put cannot, and holds the file nearly twice (measured: 300 MB take 520).
        """
        if path.stat().st_size < LARGE:
            return self.put_if_absent(name, path)
        if self.size(name) is not None:
            return False
        self.replace(name, path)
        return True

    def replace(self, name: str, data: bytes | Path) -> None:
        """Create or overwrite, a file in pieces. Only for what may be lost (pointers, heartbeats,
        reports), or is the same whoever writes it."""
        need = data.stat().st_size if isinstance(data, Path) else len(data)
        pieces: Any = {"chunk_size": PIECE, "max_concurrency": 2}

        def once() -> None:
            try:
                obstore.put(self.backend, name, data, mode="overwrite", **pieces)
            except FileNotFoundError:  # the answer to its end was lost: the pieces are gone
                obstore.put(self.backend, name, data, mode="overwrite", **pieces)

        with self._explained(name, need):
            until_answered(once)

    def get(self, name: str) -> bytes:
        """All bytes of an object. Raises `FileNotFoundError`."""
        if self.absent:
            raise FileNotFoundError(self.where(name))
        with self._explained(name):
            return until_answered(lambda: bytes(obstore.get(self.backend, name).bytes()))

    def copy_to(self, name: str, path: Path) -> None:
        """Write an object to a local file, piece by piece. Raises `FileNotFoundError`."""

        def once() -> None:
            with path.open("wb") as file:
                for piece in obstore.get(self.backend, name).stream(min_chunk_size=COPIED_AT_ONCE):
                    file.write(piece)

        with self._explained(name):
            until_answered(once)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`. Raises `FileNotFoundError`, `StoreError` on a short read."""
        if length == 0:
            return b""
        if self.absent:
            raise FileNotFoundError(self.where(name))
        with self._explained(name):
            data = until_answered(
                lambda: bytes(obstore.get_range(self.backend, name, start=start, length=length))
            )
        if len(data) != length:
            raise StoreError(
                f"{self.where(name)} is shorter than its commit says: {length} bytes at {start} "
                f"wanted, {len(data)} there. Remove its phase folder and run again"
            )
        return data

    def size(self, name: str) -> int | None:
        """Bytes of an object, None where there is none."""
        if self.absent:
            return None
        with self._explained(name):
            try:
                return int(until_answered(lambda: obstore.head(self.backend, name))["size"])
            except FileNotFoundError:
                return None

    def list(self, prefix: str) -> list[Entry]:
        """Objects below a folder, sorted by name."""
        if self.absent:
            return []

        def once() -> list[Entry]:
            return [
                Entry(meta["path"], int(meta["size"]))
                for batch in obstore.list(self.backend, prefix=prefix)
                for meta in batch
            ]

        with self._explained(prefix):
            return sorted(until_answered(once), key=lambda entry: entry.name)

    def names(self, folder: str) -> Iterator[Sequence[str]]:
        """The names of objects below a folder, some thousand at a time, in any order.

        Where a store lists by name and from a name on (`_ORDERED`), what a first request does not
        give is asked for by 15 at once, each from a leading hex digit to the next: a page of 1,000
        names takes about as long as it takes an answer to come, and names are digests.
        """
        if self.absent:
            return
        ordered = self.url.startswith(_ORDERED)
        with self._explained(folder):
            seen = 0
            for found in self._pages(folder):
                yield found
                seen += len(found)
                if ordered and seen >= _ALONE:
                    break
            else:
                return
            starts = [f"{folder}/{digit}" for digit in "123456789abcdef"]
            yield from self._between(folder, [found[-1], *(s for s in starts if s > found[-1])])

    def _pages(self, folder: str, after: str | None = None) -> Iterator[Sequence[str]]:
        """Pages of names; where one's answer is lost, listing goes on behind the last name that
        was given: what loses answers lists by name."""
        stream: Any = None

        def once() -> Any:
            nonlocal stream
            if stream is None:
                stream = obstore.list(self.backend, prefix=folder, offset=after, chunk_size=_LISTED)
            try:
                return next(stream, None)
            except GenericError:
                stream = None
                raise

        while (page := until_answered(once)) is not None:
            names = [str(meta["path"]) for meta in page]
            after = names[-1] if names else after
            yield names

    def _between(self, folder: str, starts: Sequence[str]) -> Iterator[Sequence[str]]:
        """The names after the first of `starts`, by ranges that are listed at the same time."""
        waiting: dict[Future[Any], tuple[Any, str | None]] = {}
        with ThreadPoolExecutor(len(starts), "lister") as pool:
            for low, high in itertools.pairwise([*starts, None]):
                pages = self._pages(folder, low)
                waiting[pool.submit(next, pages, None)] = (pages, high)
            while waiting:
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    pages, high = waiting.pop(done)
                    page = done.result() or []
                    found = [name for name in page if high is None or name <= high]
                    if found and len(found) == len(page):
                        waiting[pool.submit(next, pages, None)] = (pages, high)
                    yield found

    def delete(self, *names: str) -> None:
        """Remove objects; an absent one is no error."""
        if self.absent:
            return
        for name in names:
            with self._explained(name), contextlib.suppress(FileNotFoundError):
                until_answered(functools.partial(obstore.delete, self.backend, name))

    def delete_all(self, names: Sequence[str]) -> None:
        """Remove objects in any order: S3 takes a thousand names a request."""
        if not self.remote or len(names) < 2:
            self.delete(*names)
            return
        try:
            with self._explained(names[0]):
                obstore.delete(self.backend, names)
        except FileNotFoundError:  # some stores say so of an absent one
            self.delete(*names)

    def adopt(self, source: str, name: str) -> bool:
        """Give an existing object a second name (a hard link locally, a copy elsewhere).

        False where the new name was taken. Whoever else gives it must give it the same bytes: S3
        makes copies by itself, without a condition.
        """
        with self._explained(name):
            if self.remote:
                try:
                    return self._copied_there(source, name)
                except NotSupportedError:
                    return self._copied_over(source, name)
            target = Path(self.url) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(Path(self.url) / source, target)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links: copy, then link nothing
                data = Path(self.url) / source
                return self.put_if_absent(name, data)
            return True

    def _copied_there(self, source: str, name: str) -> bool:
        """A conditional copy by the store itself.

        A copy keeps its source's mark, so nobody can tell who copied: False too where our own
        copy's answer was lost. The same bytes stand under the name either way.
        """

        def once() -> bool:
            try:
                obstore.copy(self.backend, source, name, overwrite=False)
            except AlreadyExistsError:
                return False
            return True

        return until_answered(once)

    def _copied_over(self, source: str, name: str) -> bool:
        if self.size(name) is not None:
            return False

        def once() -> bool:
            obstore.copy(self.backend, source, name, overwrite=True)
            return True

        return until_answered(once)

    def free(self) -> int | None:
        """Bytes free on a local disk; None on a remote store."""
        if self.remote:
            return None
        probe = Path(self.url)
        while not probe.exists():
            probe = probe.parent
        return shutil.disk_usage(probe).free

    def age(self, name: str) -> float | None:
        """Seconds since an object was written, by this machine's clock; None where absent."""
        if self.absent:
            return None
        with self._explained(name):
            try:
                modified = until_answered(lambda: obstore.head(self.backend, name))["last_modified"]
            except FileNotFoundError:
                return None
        return time.time() - float(modified.timestamp())
