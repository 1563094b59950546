"""What holds around a run in its process: threads, one run per OUT, signals that end it well."""

import contextlib
import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path

import torch

from trainer.distributed import Ranks
from trainer.failures import BusyError


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads for a CPU's products; None: as it is."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def locked(out: Path, group: Ranks) -> Iterator[None]:
    """Two runs in one OUT would write over each other. Raises `BusyError` on every rank.

    The lock goes with its process, however that ends: it is one of those that forked processes do
    not share, for a killed run's data workers live some seconds longer.
    """
    path = out.resolve()
    with contextlib.ExitStack() as stack:
        free = True
        if group.first:
            free = path not in _HELD and _taken(stack, path)
        if group.any(not free):
            raise BusyError(f"another process trains in {out}; wait for it, or choose another OUT")
        if group.first:
            _HELD.add(path)
            stack.callback(_HELD.discard, path)
        yield


_HELD: set[Path] = set()  # by this process, which its own lock would not keep out


def _taken(stack: contextlib.ExitStack, path: Path) -> bool:
    file = stack.enter_context((path / ".lock").open("w"))
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """A list that SIGTERM or the first Ctrl-C is put into; the second Ctrl-C interrupts.

    Outside the main thread, where no handler can be set, it stays empty.
    """
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        if number == signal.SIGINT and told:
            raise KeyboardInterrupt
        told.append(number)

    before = {}
    with contextlib.suppress(ValueError):
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, tell)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
