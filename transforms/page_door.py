"""The one door through which files become text: a confined child process, asked file by file.

As with media (`transforms.door`): parsers are what strangers' bytes can crash, hang or blow up, so
they run in `transforms.page_child`, which holds one open descriptor and can open nothing itself.
One child serves many files. One that crashes, hangs or runs out of memory is killed, and the file
is gone on with in a fresh one, from the row where it stopped; twice at one row is a refusal with a
code, never the end of a run. A child that has served `PAGES` is replaced, so that what libraries
leave behind cannot decide what fits.
"""

import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any

from transforms.door_process import Child, ChildLost
from transforms.door_words import HEADER
from transforms.doorkeeper import Doorkeeper
from transforms.extract.reading import Asked

PAGES = 2_000  # answers of one child
_LARGEST_ANSWER = 1 << 28  # bytes of one frame
_PROGRAM = "transforms.page_child"


class PageDoorError(RuntimeError):
    """The child cannot start, or has a bug: not the fault of a file."""


class PageDoor(Doorkeeper):
    """A child that reads pages. Starting it raises `PageDoorError` where it cannot be done."""

    def __init__(self, deadline_seconds: float = 20.0, memory_mb: int = 1024) -> None:
        super().__init__(self._new, self._unstarted)
        self.deadline_seconds, self.memory_mb = deadline_seconds, memory_mb
        self._served = 0  # answers of the present child

    def _new(self) -> Child:
        self._served = 0
        return Child(self.memory_mb, _PROGRAM)

    def _unstarted(self, lost: ChildLost) -> PageDoorError:
        return PageDoorError(
            f"the process that reads pages did not start ({lost.detail}); is trafilatura "
            f"installed, and are {self.memory_mb} MB of address space (memory_mb) enough?"
        )

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
        return super()._running()
