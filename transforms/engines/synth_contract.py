"""What a synthesizer is asked and what it may answer: the contract of the family.

It stands apart from the engines so that each of them can lie in a file of its own. An engine is
asked document by document: `begin` opens a reading, and what is said in it depends on that reading
alone. Within a reading, an engine may carry something from one utterance to the next.
"""

import dataclasses
import functools
import math
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import pydantic

from transforms.engines.generator import EndpointSettings

Pcm16 = npt.NDArray[np.int16]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """One voice of an engine."""

    name: str  # as the engine calls it: "en-us+f3"
    language: str  # ISO 639-1 (639-3 where there is none) that it speaks
    accent: str  # what kind of it: "en-us"; the language where nothing is known
    usual: bool = True  # whether it is drawn where a recipe names no voices


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How a voice speaks, as shares of what is normal to it."""

    speed: float = 1.0
    pitch: float = 1.0  # engines that cannot, leave it: `Synthesizer.changes_pitch`


class Mark(NamedTuple):
    """A word of the text and when it was said, in seconds from the start of the sound.

    A tuple: there is one per word of everything that is spoken.
    """

    place: int  # of the word's first character in the text
    start: float
    end: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sound:
    """What was said: samples at the engine's own rate, shape [frames]; may be empty."""

    pcm: Pcm16
    rate: int
    marks: tuple[Mark, ...] = ()  # by time; () where the engine gives no times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unspoken:
    """The engine could not do its work on this text."""

    reason: str  # a reason code of `speak`: crashed, timeout, too_long, refused
    detail: str  # for people


Answer = Sound | Unspoken


class SynthOptions(pydantic.BaseModel):
    """What an engine is told beside its name; each takes what concerns it."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    max_seconds: float = pydantic.Field(
        120.0, gt=0, description="Most audio that one call gives (seconds; ours)"
    )
    timeout_seconds: float = pydantic.Field(
        60.0, gt=0, description="Time that one call has (seconds; ours)"
    )
    memory_mb: int = pydantic.Field(
        512, ge=128, description="Address space of an engine's own process (MiB; ours)"
    )
    noise: float = pydantic.Field(
        0.0,
        ge=0,
        le=1,
        description="Variation that Piper draws by itself (share of its own; 0 gives the same "
        "samples each time, more does not)",
    )
    format: Literal["wav", "flac", "pcm"] = pydantic.Field(
        "wav", description="What the endpoint is to send (wav, flac, or bare samples)"
    )
    rate: int = pydantic.Field(
        24_000,
        ge=8_000,
        le=48_000,
        description="Rate of the endpoint's bare samples (Hz; OpenAI's)",
    )
    voices: dict[str, str] = pydantic.Field(
        default={},
        description="The endpoint's voices, which it does not list, and their accents (name: "
        "language tag, such as alloy: en-us)",
    )


class SynthSettings(SynthOptions):
    """The same, with where the endpoint is: what is said does not depend on that."""

    endpoint: EndpointSettings = pydantic.Field(
        default=EndpointSettings(), description="Where the endpoint is and how it is called"
    )


class Reading(Protocol):
    """One document that is being read; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        """One utterance by a voice of `voices()`. Raises `KeyError` for a voice that is not there.

        A text that has no sound gives an empty `Sound`.
        """
        ...


class Synthesizer(Protocol):
    """An engine of the family."""

    name: str  # as it stands in a recipe
    deterministic: bool  # the same reading gives the same samples, on one device class
    gives_times: bool  # marks are measured
    changes_pitch: bool

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None: ...

    @classmethod
    def check_variant(cls, variant: str) -> None:
        """Raises `ValueError` where there is no such variant. Loads nothing."""
        ...

    @classmethod
    def fingerprint(cls, variant: str, settings: SynthSettings) -> dict[str, str]:
        """What, beyond name and settings, changes the answers. Raises `ModelError` where something
        that the engine needs is missing. Loads no model."""
        ...

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        """The voices that there would be, by name. Loads no model; raises `ModelError`."""
        ...

    @property
    def rate(self) -> int:
        """Hertz of what it gives."""
        ...

    def voices(self) -> tuple[Voice, ...]:
        """All its voices, by name."""
        ...

    def languages(self) -> tuple[str, ...]:
        """The languages of its voices, sorted."""
        ...

    def begin(self, seed: int) -> Reading:
        """Begin a document; `seed` is what chance in the engine starts from."""
        ...

    def close(self) -> None:
        """Give back processes and files."""
        ...


class Single:
    """For engines that say each utterance by itself: the reading is the engine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def voices(self) -> tuple[Voice, ...]:
        raise NotImplementedError(f"{type(self).__name__} must define voices")

    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({voice.language for voice in self.voices()}))

    def begin(self, seed: int) -> Self:
        return self

    def close(self) -> None:
        return None


@functools.lru_cache(maxsize=1024)
def language_of(tag: str) -> str:
    """The language of a tag: "en" of "en-gb-scotland"; Mandarin is "zh", Norwegian is "no"."""
    base = tag.replace("_", "-").split("-")[0].lower()
    return {"cmn": "zh", "nb": "no", "nn": "no"}.get(base, base)


def violations(answer: Answer, text: str) -> list[str]:
    """What an answer breaks of the contract; empty when all is well."""
    if isinstance(answer, Unspoken):
        return [] if answer.reason and answer.detail else ["no reason"]
    found = []
    if answer.pcm.dtype != np.int16 or answer.pcm.ndim != 1:
        found.append(f"samples are {answer.pcm.dtype} {answer.pcm.shape}")
    seconds = len(answer.pcm) / answer.rate
    times = [time for mark in answer.marks for time in (mark.start, mark.end)]
    if any(type(time) is not float or not math.isfinite(time) for time in times):
        found.append("a time is not a finite plain float")
    if any(time < 0 or time > seconds + 1e-9 for time in times):
        found.append(f"a word lies outside the sound of {seconds} s")
    if any(mark.end < mark.start for mark in answer.marks):
        found.append("a word ends before it begins")
    starts = [mark.start for mark in answer.marks]
    if starts != sorted(starts):
        found.append("words are not in order")
    if any(not 0 <= mark.place < len(text) for mark in answer.marks):
        found.append("a word lies outside the text")
    return found
