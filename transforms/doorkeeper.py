"""The life of a door's confined child: started when asked for, killed when lost, ended with it.

What is asked through a door differs (media: `transforms.door`; pages: `transforms.page_door`), how
its child lives does not. A child is tied to the life of the *thread* that starts it
(PR_SET_PDEATHSIG), and a runner's threads come and go: so one thread of our own starts all children
of a door, and ends with it.
"""

import concurrent.futures
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from transforms.door_process import Child, ChildLost
from transforms.door_words import HEADER

_START_SECONDS = 120.0  # a cold import on a busy machine


class Doorkeeper:
    """Owner of one child at a time; a context manager. Calls from several threads take turns."""

    def __init__(
        self, start: Callable[[], Child], explained: Callable[[ChildLost], RuntimeError]
    ) -> None:
        """`start` makes a child; `explained` is the error where one does not say hello."""
        self.restarts = 0  # children lost to files, for counters and tests
        self._start, self._explained = start, explained
        self._child: Child | None = None
        self._turn = threading.RLock()
        self._starter: concurrent.futures.ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the child now instead of at the first file. Raises what `explained` gives."""
        with self._turn:
            self._running()

    def close(self) -> None:
        """End the child. The door may be started again."""
        with self._turn:
            self._drop_child()
            if self._starter is not None:
                self._starter.shutdown()
                self._starter = None

    @property
    def pid(self) -> int | None:
        """The child's process id, while it runs."""
        return None if self._child is None else self._child.process.pid

    def _running(self) -> Child:
        """The child, started where there is none."""
        if self._child is None:
            if self._starter is None:
                self._starter = concurrent.futures.ThreadPoolExecutor(1, "door-starter")
            child = self._starter.submit(self._start).result()
            try:
                _, _, length = HEADER.unpack(child.read(HEADER.size, _START_SECONDS))
                child.read(length, _START_SECONDS)  # the hello
            except ChildLost as lost:
                raise self._explained(lost) from lost
            self._child = child
        return self._child

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None
