"""One utterance as it will be heard: said in pieces, joined, at one rate and one loudness.

Pieces lose their silent ends, fade in and out for a few milliseconds and are joined with a short
silence, so that no join clicks. What has no sound, or far too much of it for its text, is refused.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from schemas.records import TimesOrigin
from transforms.engines.synthesizer import Manner, Mark, Reading, Unspoken
from transforms.step import Pcm16
from transforms.synthesize import levels
from transforms.synthesize.pieces import pieces
from transforms.synthesize.polyphase import resampled
from transforms.synthesize.word_times import Timed, timed

FADE = 0.005  # seconds
EDGE = 0.03  # seconds of what is quiet that are kept at the ends of a piece
_FRAME = 0.01  # seconds
_QUIET = 10 ** (-50 / 20)  # of the peak; below it is silence
_NOTHING = 10 ** (-60 / 20)  # of full scale; a peak below it is no speech


@dataclasses.dataclass(frozen=True, kw_only=True)
class Take:
    """An utterance that was spoken."""

    pcm: Pcm16  # with the pause after it
    said: str  # what the voice was given
    words: tuple[Timed, ...]  # seconds from its start
    times: TimesOrigin
    source_rate: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal:
    """An utterance that was not, or not as it should be."""

    reason: str
    detail: str
    seconds: float = 0.0  # of audio that is thrown away
    score: float | None = None
    threshold: float | None = None


class Delivery(Protocol):
    """The settings that a take is made by (fields of `Speak`)."""

    @property
    def rate(self) -> int: ...
    @property
    def loudness(self) -> float | None: ...
    @property
    def max_characters(self) -> int: ...
    @property
    def join_pause(self) -> float: ...
    @property
    def max_seconds(self) -> float: ...
    @property
    def max_seconds_per_character(self) -> float: ...
    @property
    def max_silence(self) -> float: ...


def take(
    reading: Reading,
    settings: Delivery,
    *,
    text: str,
    said: str,
    voice: str,
    manner: Manner,
    pause: float,
) -> Take | Refusal:
    """Say `said`, which stands for `text`; `pause` seconds of silence follow."""
    parts: list[levels.Wave] = []
    marks: list[Mark] = []
    at = loud = 0.0  # seconds; of them no silence
    source_rate = settings.rate
    for start, end in pieces(said, settings.max_characters):
        piece = said[start:end]
        if not piece.strip():
            continue
        answer = reading.say(piece, voice, manner)
        if isinstance(answer, Unspoken):
            return Refusal(reason=answer.reason, detail=answer.detail, seconds=at)
        source_rate = answer.rate
        if at + len(answer.pcm) / answer.rate > settings.max_seconds:
            return _too_long(at + len(answer.pcm) / answer.rate, settings.max_seconds, "s")
        spoken, cut, speech = _trimmed(answer.pcm, answer.rate)
        if not len(spoken):
            continue
        wave = resampled(spoken, answer.rate, settings.rate)
        loud += speech
        if parts:
            parts.append(np.zeros(round(settings.join_pause * settings.rate), np.float32))
            at += len(parts[-1]) / settings.rate
        length = len(wave) / settings.rate
        marks += _moved(answer.marks, start, at - cut, at, at + length)
        _fade(wave, settings.rate)
        parts.append(wave)
        at += length
    if not parts:
        return Refusal(reason="silent", detail=f"nothing is heard of {_shown(said)}")
    if refusal := _out_of_bounds(at, loud, said, settings):
        return refusal
    wave = parts[0] if len(parts) == 1 else np.concatenate(parts)
    factor, levelled = 1.0, settings.loudness is not None
    if settings.loudness is not None:
        factor = levels.gain(wave, settings.rate, settings.loudness)
    words, times = timed(text, said, marks, at)
    pcm = levels.pcm16(wave, factor, round(pause * settings.rate), bounded=levelled)
    return Take(pcm=pcm, said=said, words=words, times=times, source_rate=source_rate)


def _too_long(score: float, threshold: float, unit: str) -> Refusal:
    return Refusal(
        reason="too_long",
        detail=f"{score:.2f} {unit}, at most {threshold:g}",
        score=score,
        threshold=threshold,
    )


def _out_of_bounds(seconds: float, loud: float, said: str, settings: Delivery) -> Refusal | None:
    """Whether a sound is far too long, or mostly silence."""
    characters = len("".join(said.split()))
    pace = max(0.0, seconds - 2.0) / characters  # a lone letter is a name of two seconds
    if pace > settings.max_seconds_per_character:
        refusal = _too_long(pace, settings.max_seconds_per_character, "s per character")
        return dataclasses.replace(refusal, seconds=seconds)
    silence = max(0.0, 1 - loud / seconds)
    if seconds > 2.0 and silence > settings.max_silence:
        return Refusal(
            reason="silent",
            detail=f"{silence:.0%} of {seconds:.1f} s is silence",
            seconds=seconds,
            score=silence,
            threshold=settings.max_silence,
        )
    return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _trimmed(pcm: Pcm16, rate: int) -> tuple[Pcm16, float, float]:
    """Without its silent ends; how many seconds were cut off the first one, and how many of what
    is left are no silence, in frames of 10 ms (what is less than one at the end counts not)."""
    size, edge = round(_FRAME * rate), round(EDGE * rate)
    framed = pcm[: len(pcm) // size * size].reshape(-1, size)
    peaks = np.abs(framed).view(np.uint16).max(axis=1)  # of -32768 too, which has no int16 above 0
    loud = np.flatnonzero(peaks > max(_NOTHING * levels.PEAK, _QUIET * int(peaks.max(initial=0))))
    if not len(loud):
        return pcm[:0], 0.0, 0.0
    first = max(0, int(loud[0]) * size - edge)
    last = min(len(pcm), (int(loud[-1]) + 1) * size + edge)
    return pcm[first:last], first / rate, len(loud) * _FRAME


def _fade(wave: levels.Wave, rate: int) -> None:
    """From and to nothing, at both ends; in place."""
    size = min(round(FADE * rate), len(wave) // 2)
    ramp = _ramp(size)
    wave[:size] *= ramp
    wave[len(wave) - size :] *= ramp[::-1]


@functools.lru_cache(maxsize=64)
def _ramp(size: int) -> levels.Wave:
    ramp: levels.Wave = np.sin(np.linspace(0, np.pi / 2, size, endpoint=False)) ** 2
    return ramp.astype(np.float32)


def _moved(
    marks: Iterable[Mark], place: int, by: float, first: float, last: float
) -> Iterator[Mark]:
    """The marks of a piece in the text and the time of the utterance, within the piece."""
    for at, start, end in marks:
        start, end = start + by, end + by
        start = first if start < first else last if start > last else start
        yield Mark(at + place, start, last if end > last else start if end < start else end)
