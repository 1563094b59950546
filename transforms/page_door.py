"""The one door through which files become text: a confined child process, asked file by file.

As with media (`transforms.door`): parsers are what strangers' bytes can crash, hang or blow up, so
they run in `transforms.page_child`, which holds one open descriptor and can open nothing itself.
One child serves many files. One that crashes, hangs or runs out of memory is killed, and the file
is gone on with in a fresh one, from the row where it stopped; twice at one row is a refusal with a
code, never the end of a run. A child that has served `PAGES` is replaced, so that what libraries
leave behind cannot decide what fits.
"""

import concurrent.futures
import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from transforms.door_process import Child, ChildLost
from transforms.door_words import HEADER
from transforms.extract.reading import Asked

PAGES = 2_000  # answers of one child
_LARGEST_ANSWER = 1 << 28  # bytes of one frame
_START_SECONDS = 120.0  # a cold import on a busy machine
_PROGRAM = "transforms.page_child"


class PageDoorError(RuntimeError):
    """The child cannot start, or has a bug: not the fault of a file."""


class PageDoor:
    """Owner of the child; a context manager. Calls from several threads take turns."""

    def __init__(self, deadline_seconds: float = 20.0, memory_mb: int = 1024) -> None:
        self.deadline_seconds, self.memory_mb = deadline_seconds, memory_mb
        self.restarts = 0  # children lost to files, for counters and tests
        self._child: Child | None = None
        self._served = 0
        self._turn = threading.RLock()
        # as in `transforms.door`: the child lives no longer than the thread that starts it
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
        """Start the child now instead of at the first file. Raises `PageDoorError`."""
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

    def pages(self, path: str, asked: Asked) -> Iterator[dict[str, Any]]:
        """The answers of `transforms.extract.reading.answers` for a file, as they come.

        The last one may be {"index", "code": timeout | crash | memory, "detail", "file": True}:
        nothing from there on could be read. Raises `OSError` where the file cannot be opened.
        """
        with self._turn:
            given, lost_at, index = 0, -1, 0
            while True:
                try:
                    for answer in self._once(path, dataclasses.replace(asked, first=given)):
                        given, index = given + 1, int(answer["index"]) + 1
                        yield answer
                    return
                except ChildLost as lost:
                    self._drop_child()
                    self.restarts += 1
                    if lost_at == given:
                        yield {"index": index, "code": lost.code, "detail": lost.detail,
                               "file": True}  # fmt: skip
                        return
                    lost_at = given

    def _once(self, path: str, asked: Asked) -> Iterator[dict[str, Any]]:
        # without O_NONBLOCK a named pipe would hang here
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        ended = False
        try:
            child = self._running()
            question = {
                "size": os.fstat(descriptor).st_size,
                "deadline": self.deadline_seconds,
                "asked": dataclasses.asdict(asked),
            }
            child.ask(question, descriptor)
            while True:
                child.waited = 0.0
                answer = self._heard(child, self.deadline_seconds)
                if "end" in answer:
                    ended = True
                    return
                if "bug" in answer:
                    raise PageDoorError(f"the reader's own code failed:\n{answer['bug']}")
                if "lost" in answer:
                    raise ChildLost(answer["lost"], answer["detail"])
                self._served += 1
                yield answer
        finally:
            os.close(descriptor)
            if not ended:
                self._drop_child()  # in the middle of an answer: of no use to the next file

    def _heard(self, child: Child, seconds: float) -> dict[str, Any]:
        _, _, length = HEADER.unpack(child.read(HEADER.size, seconds))
        if length > _LARGEST_ANSWER:
            raise ChildLost("crash", "the child no longer speaks the language of the door")
        answer: dict[str, Any] = json.loads(child.read(length, seconds))
        return answer

    def _running(self) -> Child:
        if self._child is not None and self._served >= PAGES:
            self._drop_child()
        if self._child is None:
            if self._starter is None:
                self._starter = concurrent.futures.ThreadPoolExecutor(1, "page-door-starter")
            child = self._starter.submit(Child, self.memory_mb, _PROGRAM).result()
            try:
                self._heard(child, _START_SECONDS)  # the hello
            except ChildLost as lost:
                raise PageDoorError(
                    f"the process that reads pages did not start ({lost.detail}); is "
                    f"trafilatura installed, and are {self.memory_mb} MB of address space "
                    "(memory_mb) enough?"
                ) from lost
            self._child, self._served = child, 0
        return self._child

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None
