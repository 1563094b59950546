"""Any server of speech that speaks as OpenAI's does: POST /v1/audio/speech, samples come back.

The call is that of text generators: deadlines, retries with waits that double, Retry-After, bounds
on the answer, a key from the environment that no error repeats. A text that is refused is dropped;
a server that is down ends the run, which the same command resumes. What a server says need not be
the same twice, and nothing here pretends it is: a clip that was stored stays stored.
"""

import http.client
import math
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from schemas.ids import digest_of
from transforms.door import Door, Limits, MediaError
from transforms.engines.generator_endpoint import caller, check_reachable
from transforms.engines.generator_http import Caller, Unanswered
from transforms.engines.models import ModelError
from transforms.engines.synth_contract import (
    Answer,
    Manner,
    Pcm16,
    Single,
    Sound,
    SynthSettings,
    Unspoken,
    Voice,
    language_of,
)
from transforms.engines.synth_wav import read_wav

_HEADER = 1 << 16  # bytes that a file may take beside its samples
_LARGEST_RATE = 48_000
_OF_THE_TEXT = {"rejected": "refused", "too_large": "too_long", "broken": "refused"}


class SpeechCaller(Caller):
    """A caller whose answers are sound."""

    accept = "audio/*, application/octet-stream, application/json"

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if status == http.client.OK and (
            kind.startswith("audio/") or kind == "application/octet-stream"
        ):
            return body
        if status == http.client.OK:
            shown = kind or "no content type"
            raise Unanswered("broken", f"{shown} in place of sound", again=True)
        return super()._read(status, headers, body)


class _Heard:
    """A sink in memory: an answer is as long as one utterance."""

    def __init__(self) -> None:
        self.blocks: list[Pcm16] = []

    def append(self, channel: int, frames: Pcm16) -> None:
        self.blocks.append(frames)


class SpeechEndpoint(Single):
    """The engine `endpoint`, the variant being the model's name: `endpoint/tts-1`."""

    deterministic = False
    gives_times = False
    changes_pitch = False

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None:
        self.check_variant(variant)
        self.name = f"endpoint/{variant}"
        self.settings = settings or SynthSettings()
        self._model = variant
        self._voices = self.listed(variant, self.settings)
        seconds = self.settings.max_seconds
        most = math.ceil(seconds * _LARGEST_RATE * 2) + _HEADER
        bounds = self.settings.endpoint.model_copy(update={"max_answer_bytes": most})
        self._caller = caller(bounds, SpeechCaller)
        self._door = None
        if self.settings.format == "flac":
            self._door = Door(Limits(max_seconds=seconds, min_seconds=0.0))

    @classmethod
    def check_variant(cls, variant: str) -> None:
        if not variant:
            raise ValueError("engine endpoint needs the model's name: endpoint/NAME")

    @classmethod
    def fingerprint(cls, variant: str, settings: SynthSettings) -> dict[str, str]:
        """The model's name; the server is asked whether it is there."""
        cls.listed(variant, settings)
        check_reachable(settings.endpoint, variant)
        return {"model": variant, "format": settings.format}

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        if not settings.voices:
            raise ModelError(
                f"endpoint/{variant}",
                "no voices: name them with their accents in speak.options.voices "
                "({alloy: en-us, nova: en-us}); a server does not list them",
            )
        return tuple(
            Voice(name=name, language=language_of(accent), accent=accent.lower())
            for name, accent in sorted(settings.voices.items())
        )

    @property
    def rate(self) -> int:
        return self.settings.rate

    def voices(self) -> tuple[Voice, ...]:
        return self._voices

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        if voice not in self.settings.voices:
            raise KeyError(voice)
        if not text.strip():
            return Sound(pcm=np.zeros(0, np.int16), rate=self.rate)
        question = {
            "model": self._model,
            "voice": voice,
            "input": text,
            "response_format": self.settings.format,
            "speed": manner.speed,
        }
        try:
            body, _ = self._caller.post("/audio/speech", question, digest_of(question))
        except Unanswered as error:
            if error.code in _OF_THE_TEXT:
                return Unspoken(reason=_OF_THE_TEXT[error.code], detail=error.detail)
            raise ModelError(
                self.name,
                f"{self._caller.where} does not answer ({error.detail}): start the server, or "
                "correct speak.endpoint; then run the same command again, what was spoken "
                "is kept",
            ) from error
        try:
            pcm, rate = self._samples(body)
        except OverflowError as error:
            return Unspoken(reason="too_long", detail=str(error))
        except ValueError as error:
            return Unspoken(reason="refused", detail=f"the server sent {error}")
        return Sound(pcm=pcm, rate=rate)

    def _decoded(self, door: Door, body: bytes) -> Any:
        """A compressed file's samples, by the one process that parses such files."""
        heard = _Heard()
        with tempfile.NamedTemporaryFile(prefix="speechloom-said-") as file:
            file.write(body)
            file.flush()
            try:
                door.decode(file.name, self.rate, "mix", heard)
            except MediaError as error:
                kind = OverflowError if error.code == "too_long" else ValueError
                raise kind(str(error)) from error
        return np.concatenate([np.zeros(0, np.int16), *heard.blocks])

    def close(self) -> None:
        if self._door is not None:
            self._door.close()

    def _samples(self, body: bytes) -> tuple[Any, int]:
        """Raises `ValueError` for what is no sound, `OverflowError` for too much of it."""
        seconds = self.settings.max_seconds
        if self.settings.format == "wav":
            return read_wav(body, seconds)
        if self._door is not None:
            return self._decoded(self._door, body), self.rate
        if len(body) % 2:
            raise ValueError(f"{len(body)} bytes of 16-bit samples")
        pcm = np.frombuffer(body, "<i2").astype(np.int16)
        if len(pcm) > seconds * self.rate:
            raise OverflowError(f"{len(pcm) / self.rate:.1f} s, at most {seconds:g}")
        return pcm, self.rate
