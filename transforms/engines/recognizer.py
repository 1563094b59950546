"""Recognizers: what was said in one clip, and when.

An engine is asked about the clips of one recording and answers each with a `Transcript` or None (no
words heard, nothing given). Its answers depend on those clips and on what was given for them, never
on a recording before: `PocketSphinx` has to be made to forget (below). The contract stands in
`answers`, faster-whisper in `whisper`.

Word times are seconds from the start of the clip; the step that asks moves them to the recording.
An engine is named `family` or `family/variant`; the variant (a size, a path) is the family's own
business.
"""

import difflib
import importlib.metadata
import math
import re
from typing import Any, ClassVar

import pydantic

from schemas.records import Transcript, Word
from transforms.engines.answers import (
    Answer,
    Given,
    OneByOne,
    Pcm16,
    Recognizer,
    Unanswered,
)
from transforms.engines.dealing import deal, spread
from transforms.engines.whisper import FasterWhisper

__all__ = [
    "ENGINES",
    "Answer",
    "Given",
    "GivenText",
    "Pcm16",
    "PocketSphinx",
    "Recognizer",
    "Unanswered",
    "deal",
    "fingerprint",
    "load",
    "parse",
    "spread",
    "violations",
]


class GivenText(OneByOne):
    """The text that came with the recording. Its words' times are spread by length: estimated."""

    quality = "given"
    rate: int | None = None

    def __init__(self, variant: str = "", settings: pydantic.BaseModel | None = None) -> None:
        self.check_variant(variant)
        self.name = "given"

    @classmethod
    def check_variant(cls, variant: str) -> None:
        if variant:
            raise ValueError(f"engine given has no variants; write given, not given/{variant}")

    @classmethod
    def fingerprint(
        cls, variant: str, settings: pydantic.BaseModel | None = None
    ) -> dict[str, str]:
        return {}

    def transcribe(self, pcm: Pcm16, rate: int, given: Given) -> Transcript | None:
        if not len(pcm) or given.text is None or not given.text.strip():
            return None
        return Transcript(
            engine=self.name,
            text=given.text,
            quality=self.quality,
            language=given.language,
            words=spread(given.text, len(pcm) / rate),
            times="estimated",
        )


class PocketSphinx(OneByOne):
    """CMU PocketSphinx with the English model of its wheel. 16 kHz, no download, 90 MB.

    About half of the words of real speech are wrong: its text is marked `smoke`. Every word's
    confidence comes out as 1 with this model, so none is given.

    The decoder carries cepstral means *and* its noise tracker's state from one utterance to the
    next (measured: resetting the means alone still changes the scores). `reinit_feat` before each
    clip resets both in 0.1 ms; answers are then equal bit for bit in any order. One case is left:
    digital silence divides the means by zero, the features become NaN and the words are leftovers
    of the clip before. It shows in the means; the clip has no words, and the decoder is rebuilt.
    """

    quality = "smoke"
    rate: int | None = 16_000
    _LANGUAGE: ClassVar[str] = "en"
    _FRAMES_PER_SECOND: ClassVar[int] = 100

    def __init__(self, variant: str = "", settings: pydantic.BaseModel | None = None) -> None:
        self.check_variant(variant)
        self.name = "pocketsphinx"
        import pocketsphinx

        self._decoder: Any = pocketsphinx.Decoder(samprate=self.rate, loglevel="FATAL")

    @classmethod
    def check_variant(cls, variant: str) -> None:
        if variant:
            raise ValueError(
                f"engine pocketsphinx has one model; write pocketsphinx, not pocketsphinx/{variant}"
            )

    @classmethod
    def fingerprint(
        cls, variant: str, settings: pydantic.BaseModel | None = None
    ) -> dict[str, str]:
        return {"pocketsphinx": importlib.metadata.version("pocketsphinx")}  # holds the model

    def speaks(self, language: str | None) -> bool:
        return language in (None, self._LANGUAGE)

    def transcribe(self, pcm: Pcm16, rate: int, given: Given) -> Transcript | None:
        if rate != self.rate:
            raise ValueError(f"engine pocketsphinx needs {self.rate} Hz, was given {rate} Hz")
        if not len(pcm) or not self.speaks(given.language):
            return None
        words = self._words(pcm, len(pcm) / rate)
        if not words:
            return None
        return Transcript(
            engine=self.name,
            text=" ".join(word.text for word in words),
            quality=self.quality,
            words=words,
            times="measured",
        )

    def _words(self, pcm: Pcm16, seconds: float) -> tuple[Word, ...]:
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(pcm.astype("<i2").tobytes(), full_utt=True)
        finally:
            self._decoder.end_utt()
        if "nan" in self._decoder.get_cmn(False):
            self._decoder.reinit()  # 0.2 s, only after digital silence
            return ()
        found = self._decoder.seg() if self._decoder.hyp() is not None else None
        return tuple(
            Word(
                text=_spelling(segment.word),
                start=min(segment.start_frame / self._FRAMES_PER_SECOND, seconds),
                end=min((segment.end_frame + 1) / self._FRAMES_PER_SECOND, seconds),
            )
            for segment in found or ()
            if _spelling(segment.word)
        )


def _spelling(entry: str) -> str:
    """The word of a dictionary entry: "read(2)" is "read"; silences and noises are ""."""
    if entry.startswith(("<", "[", "+")):
        return ""
    return re.sub(r"\(\d+\)$", "", entry)


ENGINES: dict[str, type[Recognizer]] = {
    "given": GivenText,
    "pocketsphinx": PocketSphinx,
    "faster-whisper": FasterWhisper,
}


def parse(name: str) -> tuple[type[Recognizer], str]:
    """The family's class and the variant of an engine's name, `family` or `family/variant`.

    Raises `ValueError` with the nearest known family, or what the family says of the variant.
    """
    family, _, variant = name.partition("/")
    if family not in ENGINES:
        near = difflib.get_close_matches(family, ENGINES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown recognizer {name!r}; did you mean {near!r}? Known: {', '.join(ENGINES)}"
        )
    ENGINES[family].check_variant(variant)
    return ENGINES[family], variant


def fingerprint(name: str, settings: pydantic.BaseModel | None = None) -> dict[str, str]:
    """The fingerprint of the engine of that name."""
    family, variant = parse(name)
    return family.fingerprint(variant, settings)


def load(name: str, settings: pydantic.BaseModel | None = None) -> Recognizer:
    """The engine of that name, ready to be asked. `settings` are those of its family, if it has."""
    family, variant = parse(name)
    return family(variant, settings)


def violations(transcript: Transcript, seconds: float) -> list[str]:
    """What an answer for a clip of `seconds` breaks of the contract; empty when all is well."""
    found = []
    if not transcript.text.strip():
        found.append("the text is empty")
    scores = (
        transcript.language_probability,
        transcript.mean_log_probability,
        transcript.no_speech_probability,
        *(word.confidence for word in transcript.words),
    )
    times = [time for word in transcript.words for time in (word.start, word.end)]
    if any(
        type(score) is not float or not math.isfinite(score)
        for score in scores
        if score is not None
    ):
        found.append("a score is not a finite plain float")
    if any(type(time) is not float for time in times):
        found.append("a time is not a plain float")
    if any(time < 0 or time > seconds for time in times):
        found.append(f"a word lies outside the clip of {seconds} s")
    starts = [word.start for word in transcript.words]
    if starts != sorted(starts):
        found.append("words are not in order")
    if bool(transcript.words) != (transcript.times != "none"):
        found.append(f"times are {transcript.times!r} with {len(transcript.words)} words")
    return found
