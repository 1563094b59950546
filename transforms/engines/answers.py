"""What a recognizer is asked and what it may answer: the contract of the family.

It stands apart from the engines so that each of them can lie in a file of its own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pydantic

from schemas.records import Transcript

Pcm16 = npt.NDArray[np.int16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What is known of a clip before it is heard."""

    text: str | None = None  # this clip's share of the text given for its recording
    language: str | None = None  # ISO 639-1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unanswered:
    """The engine could not do its work on this clip; it is not that nothing was said."""

    reason: str  # a reason code of `transcribe`
    detail: str  # for people


Answer = Transcript | Unanswered | None


class Recognizer(Protocol):
    """An engine of the family."""

    name: str  # as it stands in a recipe
    quality: str  # of its text: see Transcript.quality
    rate: int | None  # hertz it must be given; None: any

    def __init__(self, variant: str = "", settings: pydantic.BaseModel | None = None) -> None: ...

    @classmethod
    def check_variant(cls, variant: str) -> None:
        """Raises `ValueError` where there is no such variant. Loads nothing."""
        ...

    def speaks(self, language: str | None) -> bool:
        """Whether it can be asked about speech in that language (None: unknown)."""
        ...

    def transcribe(self, pcm: Pcm16, rate: int, given: Given) -> Transcript | None:
        """The words of one clip. `pcm` is PCM16, mono, shape [samples], at `rate`.

        None where no words were heard. Never an empty text. All numbers are plain Python floats;
        words are ordered by start and lie inside the clip; `Transcript.engine` is `name`.
        """
        ...

    def transcribe_all(
        self, clips: Sequence[Pcm16], rate: int, given: Sequence[Given]
    ) -> list[Answer]:
        """The same for all clips of one recording, in order of time: one answer each.

        The answers depend on these clips alone. `clips` may read its items when they are asked
        for: a recording is longer than memory is large, so none should be held for long.
        """
        ...

    @classmethod
    def fingerprint(
        cls, variant: str, settings: pydantic.BaseModel | None = None
    ) -> dict[str, str]:
        """What, beyond name and settings, changes the answers. Loads no model."""
        ...


class OneByOne:
    """For engines that hear each clip by itself."""

    def speaks(self, language: str | None) -> bool:
        return True

    def transcribe(self, pcm: Pcm16, rate: int, given: Given) -> Transcript | None:
        raise NotImplementedError(f"{type(self).__name__} must define transcribe")

    def transcribe_all(
        self, clips: Sequence[Pcm16], rate: int, given: Sequence[Given]
    ) -> list[Answer]:
        return [self.transcribe(pcm, rate, about) for pcm, about in zip(clips, given, strict=True)]
