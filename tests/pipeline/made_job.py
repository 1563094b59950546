"""Small jobs for tests of what carries jobs: no audio, no models. Importable by workers."""

import dataclasses
import os
import time
from typing import Any, ClassVar

from pipeline import commits
from pipeline.commits import Content, Done
from pipeline.simple import SimpleJob
from pipeline.work import ConservationError
from schemas.records import Word
from schemas.store import StoreError
from schemas.tables import arrow_schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadePart:
    """What to do: "" commits; other deeds are named below."""

    id: str
    seconds: float = 1.0
    deed: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeJob(SimpleJob):
    """Commits one row per part, or comes to grief."""

    phase: ClassVar[str] = "made"

    folder: str  # where crashes are remembered

    def run_part(self, part: MadePart) -> None:
        if part.deed == "die once" and not self._been(part):
            os._exit(17)
        if part.deed == "abort once" and not self._been(part):
            os.abort()
        if part.deed == "bug":
            raise ZeroDivisionError("made")
        if part.deed == "full":
            raise StoreError("cannot write or read /made: it is full")
        if part.deed == "lose":
            raise ConservationError("made: one is missing")
        if part.deed == "sleep":
            time.sleep(30)
        if part.deed == "nap":
            time.sleep(0.3)
        done = (Done(id=part.id, seconds=part.seconds),)
        word = Word(text=str(os.getpid()), start=0.0, end=1.0)
        content = Content(done=done, rows=(word,))
        commits.write(
            self.store, self.phase, self.key, part.id, content, arrow_schema(Word), self.run
        )

    def _been(self, part: MadePart) -> bool:
        path = os.path.join(self.folder, part.id)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return True
        return False


class DiesAtStart:
    """A job that ends its worker when it arrives: pickled as a call of `os._exit`."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)
