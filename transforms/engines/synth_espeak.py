"""espeak-ng from the wheel espeakng-loader: 100 languages, no model, no system package.

A robot's voice, understood by people and poorly by recognizers; a thousand times faster than
speech. It runs in a process of its own that forks one child per document (`synth_espeak_child`),
which makes a document's samples a function of its own calls. A voice is an accent ("en-us") with or
without one of the hundred variants of the wheel ("en-us+f3"). Word times are measured.
"""

import functools
import importlib.metadata
import importlib.util
import itertools
import math
import os
import weakref
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np

from transforms.engines.models import ModelError
from transforms.engines.synth_contract import (
    Answer,
    Manner,
    Mark,
    Sound,
    SynthSettings,
    Unspoken,
    Voice,
    language_of,
)
from transforms.engines.synth_process import ProcessLost, SpeakingProcess

_CHILD = "transforms.engines.synth_espeak_child"
# Variants that sound like a person of some kind; the wheel's others are whispers and robots.
ODD = ("en-shaw",)  # another script
PLAIN = ("", "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")


def paths() -> tuple[str, str]:
    """The library and its data. Raises `ModelError` where the package is missing."""
    if importlib.util.find_spec("espeakng_loader") is None:
        raise ModelError("espeak-ng", "needs a package: pip install espeakng-loader")
    import espeakng_loader

    library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    if not os.path.isfile(library) or not os.path.isdir(data):
        raise ModelError(
            "espeak-ng", f"{library} or {data} is missing: install espeakng-loader again"
        )
    return str(library), str(data)


@functools.lru_cache(maxsize=4)
def _known(
    library: str, data: str, memory_mb: int
) -> tuple[int, dict[str, str], tuple[Voice, ...]]:
    """The library's rate, its own names of voices by ours, and the voices."""
    told = _told(library, data, memory_mb)
    variants = [name for name in told["variants"] if " " not in name]
    identifiers: dict[str, str] = {}
    voices = []
    for identifier, tag in sorted((identifier, tag.lower()) for identifier, tag in told["voices"]):
        if tag in identifiers:
            continue  # two files of one tag: the first by name
        for style in ["", *variants]:
            name = f"{tag}+{style}" if style else tag
            identifiers[name] = f"{identifier}+{style}" if style else identifier
            usual = style in PLAIN and tag not in ODD
            language = language_of(tag)
            voices.append(Voice(name=name, language=language, accent=tag, usual=usual))
    return int(told["rate"]), identifiers, tuple(sorted(voices, key=lambda voice: voice.name))


def _told(library: str, data: str, memory_mb: int) -> dict[str, Any]:
    """What a process says of itself: its rate, version, voices and variants."""
    process = SpeakingProcess(_CHILD, [library, data, str(memory_mb)])
    try:
        return process.hello()
    except ProcessLost as lost:
        raise ModelError("espeak-ng", f"does not start: {lost.detail}") from lost
    finally:
        process.end()


class Espeak:
    """The engine `espeak-ng`."""

    deterministic = True
    gives_times = True
    changes_pitch = True

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None:
        self.check_variant(variant)
        self.name = "espeak-ng"
        self.settings = settings or SynthSettings()
        library, data = paths()
        self._rate, self._identifiers, self._voices = _known(library, data, self.settings.memory_mb)
        arguments = [library, data, str(self.settings.memory_mb)]
        self.process = SpeakingProcess(_CHILD, arguments)
        self.process.start()
        weakref.finalize(self, self.process.end)

    @classmethod
    def check_variant(cls, variant: str) -> None:
        if variant:
            raise ValueError(
                f"engine espeak-ng has no variants; write espeak-ng and voices: [{variant}]"
            )

    @classmethod
    def fingerprint(cls, variant: str, settings: SynthSettings) -> dict[str, str]:
        paths()
        return {"espeakng-loader": importlib.metadata.version("espeakng-loader")}

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        return _known(*paths(), settings.memory_mb)[2]

    @property
    def rate(self) -> int:
        return self._rate

    def voices(self) -> tuple[Voice, ...]:
        return self._voices

    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({voice.language for voice in self._voices}))

    def identifier(self, voice: str) -> str:
        """The library's own name for a voice. Raises `KeyError`."""
        return self._identifiers[voice]

    def begin(self, seed: int) -> "EspeakReading":
        return EspeakReading(self, seed)

    def close(self) -> None:
        self.process.end()


class EspeakReading:
    """One document: a fork, and another one after each utterance that ends it."""

    _SEEDS: ClassVar[int] = 1 << 31

    def __init__(self, engine: Espeak, seed: int) -> None:
        self._engine, self._seed = engine, seed % self._SEEDS
        self._process = engine.process
        self._begun = False

    def __enter__(self) -> Self:
        self._process.lock.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._begun and kind is None:
                self._process.ask({"ask": "end"})
                self._process.told(self._process.patience(1.0))
            elif self._begun:
                self._process.end()  # it may be in the middle of an answer
        except ProcessLost:
            pass  # started anew by the next document
        finally:
            self._begun = False
            self._process.lock.release()

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        settings = self._engine.settings
        question = {
            "ask": "say",
            "text": text.replace("\0", " "),
            "voice": self._engine.identifier(voice),
            "speed": manner.speed,
            "pitch": manner.pitch,
            "most": int(settings.max_seconds * self._engine.rate),
            "seconds": settings.timeout_seconds,
        }
        pieces: list[bytes] = []
        try:
            told = self._asked(question, pieces)
        except ProcessLost as lost:
            self._begun = False
            return lost.answer()
        if "refused" in told:
            return Unspoken(reason="refused", detail=f"{told['refused']}: {voice}")
        if told["cut"]:
            return Unspoken(
                reason="too_long", detail=f"more than {settings.max_seconds:g} s in one call"
            )
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pcm = np.frombuffer(data, "<i2").astype(np.int16, copy=False)
        seconds = len(pcm) / self._engine.rate
        return Sound(
            pcm=pcm,
            rate=self._engine.rate,
            marks=_marks(text, told["marks"], told["ends"], seconds),
        )

    def phonemes(self, text: str, voice: str) -> list[tuple[str, str]] | Unspoken:
        """IPA with stress, clause by clause, each with the text that it stands for."""
        question = {
            "ask": "phonemes",
            "text": text.replace("\0", " "),
            "voice": self._engine.identifier(voice),
            "seconds": self._engine.settings.timeout_seconds,
        }
        try:
            told = self._asked(question, [])
        except ProcessLost as lost:
            self._begun = False
            return lost.answer()
        if "refused" in told:
            return Unspoken(reason="refused", detail=f"{told['refused']}: {voice}")
        return [(said, written) for said, written in told["clauses"]]

    def _asked(self, question: dict[str, Any], pieces: list[bytes]) -> dict[str, Any]:
        if not self._begun:
            self._process.ask({"ask": "document", "seed": self._seed})
            self._begun = True
        self._process.ask(question)
        patience = self._process.patience(self._engine.settings.timeout_seconds)
        told = self._process.told(patience, pieces)
        if frames := told.get("frames", 0):
            pieces.append(self._process.window(frames))
        return told


def _marks(
    text: str, told: list[tuple[int, int]], ends: list[int], seconds: float
) -> tuple[Mark, ...]:
    """Words with their times: a word ends where the next one begins or its clause ends."""
    begun = [
        (place - 1, min(milliseconds / 1000, seconds))
        for place, milliseconds in told
        if 0 < place <= len(text)
    ]
    stops = [*sorted(end / 1000 for end in ends), math.inf]
    marks = []
    latest, stop = 0.0, 0
    for (place, at), (_, following) in itertools.pairwise([*begun, (0, seconds)]):
        latest = start = at if at > latest else latest
        while stops[stop] <= start:
            stop += 1
        end = stops[stop] if stops[stop] < following else following
        marks.append(Mark(place, start, end if end > start else start))
    return tuple(marks)
