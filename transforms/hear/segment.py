"""Cut each channel of a recording into stretches of speech; what lies between is dropped.

A VAD engine gives a curve of speech probabilities; `stretches` turns it into borders and is a
pure function, so that every rule (hysteresis, shortest speech, shortest silence, padding, longest
segment) is tested without a model. Segments never overlap, and their frames and the frames of the
drops add up to the channel exactly.

Short silences make fine segments (the papers' fine chunks last about 5 s) that later steps can
merge; long ones cannot be made fine again without decoding. So the default cuts at half a second.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pydantic

from schemas.records import Drop, Segment, Waveform, segment_id
from transforms.engines import vad
from transforms.step import Audio, Pcm16, Phase, RecordStep, Scope

Flags = npt.NDArray[np.bool_]


class SegmentStep(RecordStep):
    """Find speech; keep it as segments of at most `max_seconds`."""

    phase: ClassVar[Phase] = "hear"
    reasons: ClassVar[dict[str, str]] = {
        "no_speech": "The detector found no speech in the whole channel.",
        "non_speech": "A stretch between segments: pauses, music, noise.",
    }

    engine: str = pydantic.Field(
        default="silero",
        description="VAD engine; `whole` keeps everything, for ready-cut utterances "
        "(name; silero: best free detector that needs no hub)",
    )
    threshold: float = pydantic.Field(
        default=0.5,
        gt=0,
        le=0.99,
        description="Speech begins at this probability (0..1; silero-vad's default)",
    )
    hysteresis: float = pydantic.Field(
        default=0.15,
        ge=0,
        lt=1,
        description="Speech ends this far below the threshold (0..1; silero-vad's default)",
    )
    min_speech_seconds: float = pydantic.Field(
        default=0.25,
        ge=0,
        description="Shorter speech is dropped (seconds; silero-vad's default)",
    )
    min_silence_seconds: float = pydantic.Field(
        default=0.5,
        ge=0,
        description="Shorter silence stays inside a segment (seconds; gives segments of about "
        "5 s on conversations, the fine chunks of SpeLangy a.2)",
    )
    pad_seconds: float = pydantic.Field(
        default=0.1,
        ge=0,
        description="Kept before and after speech, at most half of the gap (seconds; ours: soft "
        "onsets and endings lie below the threshold)",
    )
    max_seconds: float = pydantic.Field(
        default=30.0,
        ge=1,
        description="Longer segments are cut where they sound least like speech (seconds; the "
        "window of Whisper-like recognizers)",
    )
    cut_seconds: float = pydantic.Field(
        default=10.0,
        gt=0,
        description="How far before `max_seconds` such a cut may fall (seconds; ours)",
    )

    @pydantic.field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        vad.engine(name)
        return name

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "SegmentStep":
        if self.cut_seconds > self.max_seconds / 3:
            raise ValueError(
                f"cut_seconds {self.cut_seconds} is more than a third of max_seconds "
                f"{self.max_seconds}: cut segments could become very short"
            )
        if self.hysteresis >= self.threshold:
            raise ValueError(
                f"hysteresis {self.hysteresis} reaches down to probability 0 from threshold "
                f"{self.threshold}: speech would never end"
            )
        return self

    def fingerprint(self) -> Any:
        return vad.engine(self.engine).fingerprint()

    def load(self) -> vad.Vad:
        return vad.engine(self.engine)()

    def __call__(
        self, records: Sequence[Waveform], model: vad.Vad, scope: Scope
    ) -> Iterator[Segment | Drop]:
        for waveform in records:
            blocks = _blocks(scope.samples(), waveform)
            curve = model.probabilities(vad.at_rate(blocks, waveform.rate))
            found = stretches(curve, self, waveform.length, waveform.rate)
            yield from _records(found, waveform, self.name())


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """Frames [start, end) of a channel that become a segment; `speech` of them are speech."""

    start: int
    end: int
    speech: int


def stretches(curve: vad.Curve, settings: SegmentStep, length: int, rate: int) -> list[Stretch]:
    """The segments of a channel of `length` frames at `rate`, ascending, disjoint.

    `curve` is the speech probability of every 32 ms, shape [ceil(length / (0.032 * rate))].
    Raises `ValueError` where the curve does not fit or is not finite: a bug in an engine.
    """
    borders = _borders(length, rate)
    if len(curve) != len(borders) - 1 or not np.all(np.isfinite(curve)):
        raise ValueError(
            f"engine {settings.engine} gave {len(curve)} probabilities, "
            f"{int(np.sum(~np.isfinite(curve)))} of them not finite, for {length} frames at "
            f"{rate} Hz; {len(borders) - 1} finite ones are needed"
        )
    speaking = _hysteresis(curve, settings.threshold, settings.threshold - settings.hysteresis)
    # Ready-cut utterances may be shorter than any speech that a detector would believe in.
    shortest = 0.0 if settings.engine == "whole" else settings.min_speech_seconds
    runs = [(int(borders[a]), int(borders[b])) for a, b in _runs(speaking)]
    runs = _without_short_gaps(runs, settings.min_silence_seconds * rate)
    runs = [(a, b) for a, b in runs if b - a >= shortest * rate]
    runs = _padded(runs, round(settings.pad_seconds * rate), length)
    most = int(settings.max_seconds * rate)
    window = int(settings.cut_seconds * rate)
    middles = (borders[:-1] + borders[1:]) // 2
    pieces = [p for run in runs for p in _cut(run, most, window, curve, middles)]
    spoken = np.concatenate([[0], np.cumsum(np.diff(borders) * speaking)])
    return [
        Stretch(a, b, _spoken(b, borders, spoken) - _spoken(a, borders, spoken)) for a, b in pieces
    ]


def _borders(length: int, rate: int) -> npt.NDArray[np.int64]:
    """Where the 32 ms of the curve begin, in frames, and the end of the channel at last."""
    count = -(-length * 1000 // (rate * vad.FRAME_MS))
    starts = np.arange(count, dtype=np.int64) * (rate * vad.FRAME_MS) // 1000
    return np.append(starts, length)


def _hysteresis(curve: vad.Curve, begin: float, stop: float) -> Flags:
    """Speech from a value of at least `begin` on, until a value falls below `stop`."""
    decided = (curve >= begin) | (curve < stop)
    last = np.maximum.accumulate(np.where(decided, np.arange(len(curve)), -1))
    return (last >= 0) & (curve[last] >= begin)


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Half-open ranges of indices where `flags` holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _without_short_gaps(runs: list[tuple[int, int]], shortest: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in runs:
        if joined and start - joined[-1][1] < shortest:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _padded(runs: list[tuple[int, int]], pad: int, length: int) -> list[tuple[int, int]]:
    """Each run widened by `pad` on both sides, by half of the gap where that is shorter."""
    wide: list[tuple[int, int]] = []
    for index, (start, end) in enumerate(runs):
        before = (start - runs[index - 1][1]) // 2 if index else start
        after = (runs[index + 1][0] - end + 1) // 2 if index + 1 < len(runs) else length - end
        wide.append((start - min(pad, before), end + min(pad, after)))
    return wide


def _cut(
    run: tuple[int, int],
    most: int,
    window: int,
    curve: vad.Curve,
    middles: npt.NDArray[np.int64],
) -> Iterator[tuple[int, int]]:
    """The run in pieces of at most `most` frames, cut in the middle of the least speech-like 32 ms
    of the last `window` before the limit; the last of equals, so that pieces are few."""
    start, end = run
    while end - start > most:
        # A cut right before the end would leave a crumb: share the last two pieces instead.
        latest = min(start + most, max(end - window, start + most - window))
        first, after = np.searchsorted(middles, [latest - window, latest + 1])
        if first < after:
            cut = int(middles[after - 1 - int(np.argmin(curve[first:after][::-1]))])
        else:
            cut = latest  # a window shorter than 32 ms may hold no middle
        yield start, cut
        start = cut
    yield start, end


def _spoken(frame: int, borders: npt.NDArray[np.int64], spoken: npt.NDArray[Any]) -> int:
    """Frames of speech before `frame`; exact, because inside a 32 ms all are alike."""
    index = int(np.searchsorted(borders, frame, side="right")) - 1
    if index + 1 >= len(borders):
        return int(spoken[-1])
    into = frame - int(borders[index]) if spoken[index + 1] > spoken[index] else 0
    return int(spoken[index]) + into


def _blocks(audio: Audio, waveform: Waveform) -> Iterator[Pcm16]:
    size = waveform.rate * 16
    for start in range(0, waveform.length, size):
        yield audio.read(waveform.channel, start, min(start + size, waveform.length))


def _records(found: list[Stretch], waveform: Waveform, step: str) -> Iterator[Segment | Drop]:
    """Segments and, for every gap, a drop; in the order of time."""
    if not found:
        yield _drop(waveform, step, "no_speech", 0, waveform.length)
        return
    reached = 0
    for stretch in found:
        if stretch.start > reached:
            yield _drop(waveform, step, "non_speech", reached, stretch.start)
        yield _segment(waveform, stretch)
        reached = stretch.end
    if waveform.length > reached:
        yield _drop(waveform, step, "non_speech", reached, waveform.length)


def _segment(waveform: Waveform, stretch: Stretch) -> Segment:
    rate = waveform.rate
    return Segment(
        id=segment_id(waveform.recording, waveform.channel, stretch.start, stretch.end, rate),
        recording=waveform.recording,
        channel=waveform.channel,
        start=stretch.start / rate,
        end=stretch.end / rate,
        rate=rate,
        speech_seconds=stretch.speech / rate,
        source_rate=waveform.source_rate,
        source_channels=waveform.source_channels,
        codec=waveform.codec,
        pcm_sha256=waveform.pcm_sha256,
        partial=waveform.partial,
    )


def _drop(waveform: Waveform, step: str, reason: str, start: int, end: int) -> Drop:
    return Drop(
        id=waveform.recording,
        root=waveform.recording,
        step=step,
        reason=reason,
        seconds=(end - start) / waveform.rate,
        start=start / waveform.rate,
        end=end / waveform.rate,
        detail=f"channel {waveform.channel}",
    )
