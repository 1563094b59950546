"""One run at a time per phase key, on any store, without a lock server.

Locks are numbered: `locks/000007.json` is created if absent by whoever takes over after number 6,
so two takers cannot both win. A holder refreshes a heartbeat beside it; a lock counts as free when
it was released, when its process is gone (same host), or when its heartbeat is older than
`STALE_SECONDS` (another host). A lock protects effort, not data: commits are safe without it.
"""

import contextlib
import dataclasses
import json
import os
import socket
import threading
import time
from collections.abc import Iterator

from pipeline import layout
from schemas.store import Store, StoreError

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 90.0


class PhaseBusyError(RuntimeError):
    """Another run works on the same phase with the same settings."""


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock."""

    run: str
    pid: int
    host: str
    born: str  # the start time of the process, so that a reused pid is not taken for it
    since: str

    def alive_here(self) -> bool | None:
        """True or False where this host can tell, None for a holder on another host."""
        if self.host != socket.gethostname():
            return None
        return process_birth(self.pid) == self.born


def process_birth(pid: int) -> str:
    """The start time of a process in clock ticks since boot; "" where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _current(store: Store, folder: str) -> tuple[int, Holder | None]:
    """The newest lock's number, and its holder unless it is free."""
    names = [entry.name.rsplit("/", 1)[1] for entry in store.list(folder)]
    numbers = [int(name[:6]) for name in names if name.endswith(".json") and name[:6].isdigit()]
    if not numbers:
        return 0, None
    number = max(numbers)
    if f"{number:06d}.released" in names:
        return number, None
    try:
        holder = Holder(**json.loads(store.get(f"{folder}/{number:06d}.json")))
    except FileNotFoundError:  # gc removed it between the two reads
        return number, None
    alive = holder.alive_here()
    if alive is None:
        age = store.age(f"{folder}/{number:06d}.heartbeat")
        if age is None:
            age = store.age(f"{folder}/{number:06d}.json")
        alive = age is not None and age < STALE_SECONDS
    return number, holder if alive else None


def held_by(store: Store, phase: str, key: str) -> Holder | None:
    """Who works on a phase now, None if nobody does."""
    return _current(store, layout.locks_folder(phase, key))[1]


@contextlib.contextmanager
def phase_lock(store: Store, phase: str, key: str, run: str) -> Iterator[None]:
    """Hold a phase for this run. Raises `PhaseBusyError` at once where another run holds it."""
    folder = layout.locks_folder(phase, key)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    mine = Holder(run, os.getpid(), socket.gethostname(), process_birth(os.getpid()), now)
    while True:
        number, holder = _current(store, folder)
        if holder is not None:
            raise PhaseBusyError(
                f"phase {phase} ({key[:8]}) in {store.url} is being worked on by run "
                f"{holder.run}, process {holder.pid} on {holder.host}, since {holder.since}. "
                "Wait for it to finish and run the same command again: nothing is done twice. "
                "To work beside it, use a recipe that differs in this phase, or another OUT"
            )
        data = json.dumps(dataclasses.asdict(mine)).encode()
        if store.put_if_absent(f"{folder}/{number + 1:06d}.json", data):
            break
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            # who works says that OUT cannot be reached; the lock lives on when it can be again
            with contextlib.suppress(StoreError):
                store.replace(f"{folder}/{number + 1:06d}.heartbeat", b"")

    thread = threading.Thread(target=beat, name=f"lock {phase}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        store.put_if_absent(f"{folder}/{number + 1:06d}.released", b"")
