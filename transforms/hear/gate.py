"""Cheap drops before anything dear: what is not worth a diarizer's or a recognizer's time.

Each rule is a number that may be None (off). A segment leaves with the first rule that it breaks,
in the order of the fields: rules about the recording, then its channels, then the segment. Only
the rules that need samples read them, one segment at a time (at most 30 s by default).

The signal-to-noise figure here is a spread of levels inside one segment, good enough to refuse
hopeless audio; the measure `snr` is the one to filter by.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from schemas.records import Drop, Segment, frames
from transforms.step import Audio, Phase, RecordStep, Scope

_FULL_SCALE = 32767
_LEVEL_MS = 32
_SILENT = -100.0  # dBFS of digital silence

# What broke a rule: reason, score, threshold; None where all is well.
Verdict = tuple[str, float, float] | None


class Gate(RecordStep):
    """Drop channels and segments that cannot become useful clips."""

    phase: ClassVar[Phase] = "hear"
    reasons: ClassVar[dict[str, str]] = {
        "little_speech": "The recording holds too few seconds of speech in all.",
        "quiet_channel": "Another channel of the recording holds louder speech.",
        "low_speech_ratio": "Too small a share of the channel is speech.",
        "short_segment": "The segment is too short to be transcribed.",
        "crosstalk": "Another channel is louder at the same time: this is its echo.",
        "clipped": "Too many samples of the segment are at full scale.",
        "low_snr": "Speech hardly rises above the noise of the segment.",
    }

    min_recording_speech_seconds: float | None = pydantic.Field(
        default=None,
        ge=0,
        description="Least speech in all channels of a recording (seconds; off)",
    )
    channels: Literal["loudest"] | None = pydantic.Field(
        default=None,
        description="`loudest` keeps only the channel with the most speech energy, for recordings "
        "whose channels hold the same voices (off: all channels are kept)",
    )
    min_speech_ratio: float | None = pydantic.Field(
        default=None,
        ge=0,
        le=1,
        description="Least share of a channel that is speech (0..1; off)",
    )
    min_segment_seconds: float | None = pydantic.Field(
        default=0.25,
        ge=0,
        description="Shortest segment (seconds; ours: diarizers need 0.2 s, a spoken digit 0.27)",
    )
    max_crosstalk_db: float | None = pydantic.Field(
        default=None,
        description="By how much another channel may be louder over the same stretch, for calls "
        "with one speaker per channel (dB; off)",
    )
    max_clipped_ratio: float | None = pydantic.Field(
        default=None,
        ge=0,
        le=1,
        description="Largest share of samples at full scale (0..1; off)",
    )
    min_snr_db: float | None = pydantic.Field(
        default=None,
        description="Least spread between the loud and the quiet tenth of a segment (dB; off)",
    )

    def __call__(
        self, records: Sequence[Segment], model: Any, scope: Scope
    ) -> Iterator[Segment | Drop]:
        shared = self._channel_verdicts(records, scope)
        for segment in records:
            verdict = shared[segment.channel] or self._segment_verdict(segment, scope)
            yield segment if verdict is None else self._drop(segment, verdict)

    def _channel_verdicts(self, records: Sequence[Segment], scope: Scope) -> dict[int, Verdict]:
        """What the rules about recording and channel say, by channel."""
        speech: dict[int, float] = {}
        for segment in records:
            speech[segment.channel] = speech.get(segment.channel, 0.0) + segment.speech_seconds
        verdicts: dict[int, Verdict] = dict.fromkeys(speech)
        total = sum(speech.values())
        if (least := self.min_recording_speech_seconds) is not None and total < least:
            return dict.fromkeys(speech, ("little_speech", total, least))
        if self.channels == "loudest" and len(speech) > 1:
            levels = {channel: _speech_level(records, channel, scope) for channel in speech}
            best = max(sorted(levels), key=lambda channel: levels[channel])
            for channel in speech:
                if channel != best:
                    verdicts[channel] = ("quiet_channel", levels[channel], levels[best])
        if (share := self.min_speech_ratio) is not None:
            for channel, seconds in speech.items():
                ratio = seconds * scope.samples().rate / scope.samples().length(channel)
                if ratio < share and verdicts[channel] is None:
                    verdicts[channel] = ("low_speech_ratio", ratio, share)
        return verdicts

    def _segment_verdict(self, segment: Segment, scope: Scope) -> Verdict:
        if (least := self.min_segment_seconds) is not None and segment.seconds < least:
            return "short_segment", segment.seconds, least
        if (most := self.max_crosstalk_db) is not None:
            lead = _lead_of_others(segment, scope.samples())
            if lead > most:
                return "crosstalk", lead, most
        if (most := self.max_clipped_ratio) is not None:
            ratio = clipped_ratio(_samples(segment, scope.samples()))
            if ratio > most:
                return "clipped", ratio, most
        if (least := self.min_snr_db) is not None:
            spread = level_spread(_samples(segment, scope.samples()), segment.rate)
            if spread < least:
                return "low_snr", spread, least
        return None

    def _drop(self, segment: Segment, verdict: tuple[str, float, float]) -> Drop:
        reason, score, threshold = verdict
        return Drop(
            id=segment.id,
            root=segment.recording,
            step=self.name(),
            reason=reason,
            seconds=segment.seconds,
            score=score,
            threshold=threshold,
            detail=f"channel {segment.channel}, {segment.start:.2f}-{segment.end:.2f} s",
        )


def clipped_ratio(pcm: npt.NDArray[np.int16]) -> float:
    """Share of samples at full scale, 0..1; 0 for no samples. `pcm` has shape [n]."""
    if not len(pcm):
        return 0.0
    full = (pcm >= _FULL_SCALE) | (pcm <= -_FULL_SCALE)
    return float(np.count_nonzero(full)) / len(pcm)


def level_spread(pcm: npt.NDArray[np.int16], rate: int) -> float:
    """Decibels between the 95th and the 10th percentile of the levels of 32 ms stretches.

    The last incomplete stretch does not count, unless it is the only one: its spread is 0.
    """
    size = rate * _LEVEL_MS // 1000
    whole = len(pcm) - len(pcm) % size
    if not whole:
        return 0.0
    rows = pcm[:whole].reshape(-1, size).astype(np.float64)
    levels = np.array([_decibels(float(np.mean(row * row))) for row in rows])
    quiet, loud = np.percentile(levels, (10, 95))
    return float(loud - quiet)


def _decibels(power: float) -> float:
    """dBFS of a mean square of 16-bit samples."""
    return max(_SILENT, 10 * float(np.log10(max(power, 1e-10) / 32768**2)))


def _samples(segment: Segment, audio: Audio) -> npt.NDArray[np.int16]:
    return audio.read(
        segment.channel, frames(segment.start, segment.rate), frames(segment.end, segment.rate)
    )


def _power(pcm: npt.NDArray[np.int16]) -> float:
    wide = pcm.astype(np.float64)
    return float(np.mean(wide * wide)) if len(pcm) else 0.0


def _speech_level(records: Sequence[Segment], channel: int, scope: Scope) -> float:
    """Energy of a channel's segments in dB of full-scale seconds: louder and longer is more."""
    energy = sum(
        _power(_samples(segment, scope.samples())) * segment.seconds
        for segment in records
        if segment.channel == channel
    )
    return _decibels(energy)


def _lead_of_others(segment: Segment, audio: Audio) -> float:
    """Decibels by which the loudest other channel exceeds this one over the segment's stretch;
    below -100 where there is no other channel."""
    start, end = frames(segment.start, segment.rate), frames(segment.end, segment.rate)
    own = _decibels(_power(_samples(segment, audio)))
    others = [
        _decibels(_power(audio.read(channel, start, min(end, audio.length(channel)))))
        for channel in audio.channels()
        if channel != segment.channel and start < audio.length(channel)
    ]
    return max(others, default=2 * _SILENT) - own
