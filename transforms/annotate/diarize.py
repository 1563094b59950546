"""Cut each segment into clips of one speaker each; every frame of it is in a clip or in a drop.

An engine answers for one channel of one recording; channels kept apart (the two ends of a call)
are different people, so each is asked about on its own and names get the channel in front. A
speaker who was given with the recording is believed: a data set's own label beats any guess, and
no model runs.

An engine that hears several voices at once says where: a clip keeps the seconds of it that are
overlapped, and `overlap: drop` cuts those stretches out instead. What an engine hears no voice in
is dropped rather than given to a speaker who did not say it.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import pydantic

from schemas.records import Clip, Drop, Segment, Task, Turn, clip_id, frames
from transforms.engines import clustering, diarizer
from transforms.engines.device_memory import NoRoomError
from transforms.engines.turns import NOBODY, Spoken
from transforms.step import Audio, Phase, RecordStep, Scope

GIVEN = "given"  # not an engine: an answer that comes with the task
LEAST_OVERLAP = 0.1  # seconds; what is shorter is marked, but not worth breaking a clip for


class Diarize(RecordStep):
    """Find out who speaks when; one clip per turn."""

    phase: ClassVar[Phase] = "annotate"
    reasons: ClassVar[dict[str, str]] = {
        "no_speaker_given": "The engine is `given`, and no speaker was given with the recording.",
        "no_speaker": "The engine heard no voice in a stretch that the detector took for speech.",
        "oom": "The device had no room for the recording, twice: a larger one, or cpu, is needed.",
        "overlap": "Several speakers at once, which the recipe wants out.",
    }

    engine: str = pydantic.Field(
        default="resemblyzer",
        description="Diarizer: resemblyzer; pyannote/<directory or hub id[@revision]> (package "
        "pyannote.audio, models of your own); `one` takes each channel for one speaker, `given` "
        "the speaker of the table (name; resemblyzer: best measured that needs no hub)",
    )
    device: Literal["auto", "cpu", "cuda"] = pydantic.Field(
        default="auto",
        description="Where pyannote runs; auto takes a GPU where there is one, and the key says "
        "which (name; ours)",
    )
    trust_given: bool = pydantic.Field(
        default=True,
        description="A speaker given with the recording speaks all of it, and the engine is not "
        "asked (yes or no; ours)",
    )
    min_turn_seconds: float = pydantic.Field(
        default=0.5,
        ge=0,
        description="A shorter turn inside a segment goes to its longer neighbour (seconds; ours)",
    )
    max_speakers: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="Join the most similar speakers of a channel until so many are left "
        "(number; none: as many as are found)",
    )
    same_speaker: float = pydantic.Field(
        default=clustering.SAME_SPEAKER,
        gt=0,
        le=1.5,
        description="Two groups of windows are one speaker from this similarity on: within a "
        "block, so that a monologue stays whole, and from block to block (share of the "
        "similarity inside the groups; ours, chosen on LibriSpeech voices)",
    )
    block_windows: int = pydantic.Field(
        default=clustering.BLOCK,
        ge=100,
        le=5000,
        description="Most windows that are clustered at once; time grows with its square per "
        "hour, memory with its square, 130 MB at 2000 (number; ours: 27 minutes of speech)",
    )

    window_seconds: float = pydantic.Field(
        default=1200.0,
        ge=20,
        le=7200,
        description="Most speech, with its pauses, that pyannote hears at once; speakers are "
        "linked from window to window, and memory grows with it (seconds; ours)",
    )
    window_overlap_seconds: float = pydantic.Field(
        default=60.0,
        ge=0,
        description="What two windows share: who speaks there is known by both (seconds, at most "
        "half a window; ours)",
    )
    link_similarity: float = pydantic.Field(
        default=0.7,
        gt=0,
        le=1,
        description="Speakers of two windows are one from this similarity of their mean voice "
        "embeddings on (cosine; ours, not tuned on published weights)",
    )
    overlap: Literal["keep", "drop"] = pydantic.Field(
        default="keep",
        description="Keep stretches where several speak at once, marked on their clips, or drop "
        "them; only pyannote hears them (keep or drop; ours)",
    )

    @pydantic.field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        if name != GIVEN:
            try:
                diarizer.engine(name)
            except ValueError as unknown:
                raise ValueError(f"{unknown}, {GIVEN}") from None
        return name

    @pydantic.model_validator(mode="after")
    def _windows_move_on(self) -> Self:
        if self.window_overlap_seconds > self.window_seconds / 2:
            raise ValueError(
                f"window_overlap_seconds {self.window_overlap_seconds:g} is more than half of "
                f"window_seconds {self.window_seconds:g}: most would be heard twice"
            )
        return self

    def fingerprint(self) -> Any:
        if self.engine == GIVEN:
            return None
        return diarizer.engine(self.engine, self.device).fingerprint()

    def imports(self) -> tuple[str, ...]:
        return () if self.engine == GIVEN else diarizer.engine(self.engine, self.device).imports()

    def load(self) -> diarizer.Diarizer | None:
        if self.engine == GIVEN:
            return None
        return diarizer.engine(self.engine, self.device)(
            diarizer.Options(
                min_turn_seconds=self.min_turn_seconds,
                max_speakers=self.max_speakers,
                block_windows=self.block_windows,
                same_speaker=self.same_speaker,
                window_seconds=self.window_seconds,
                window_overlap_seconds=self.window_overlap_seconds,
                link_similarity=self.link_similarity,
            )
        )

    def __call__(
        self, records: Sequence[Segment], model: diarizer.Diarizer | None, scope: Scope
    ) -> Iterator[Clip | Drop]:
        task = scope.root
        if not isinstance(task, Task):
            raise TypeError(f"diarize works on a task, not on {type(task).__name__} {task.id}")
        segments = sorted(records, key=lambda segment: (segment.channel, segment.start))
        trusted = task.speaker if self.trust_given or model is None else None
        if trusted is None and model is None:
            yield from (_without_speaker(segment, self.name()) for segment in segments)
            return
        audio = scope.samples()
        for segment in segments:
            if segment.rate != audio.rate:
                raise ValueError(
                    f"segment {segment.id} is at {segment.rate} Hz, its audio at {audio.rate}"
                )
        many = len({segment.channel for segment in segments}) > 1
        index = itertools.count()
        for channel, group in itertools.groupby(segments, key=lambda segment: segment.channel):
            own = list(group)
            turns: Sequence[Turn]
            if trusted is not None:
                turns = [Turn(speaker=trusted, start=s.start, end=s.end) for s in own]
            else:
                assert model is not None
                try:
                    turns = model.turns(audio, channel, [_range(s) for s in own], audio.rate)
                except NoRoomError:
                    # A smaller batch would give other results than a device with room.
                    yield from (self._left_out(s, *_range(s), "oom") for s in own)
                    continue
                if many:
                    turns = [_of_channel(turn, channel) for turn in turns]
            for segment, turn in _paired(own, turns):
                if trusted is None and turn.speaker == NOBODY:
                    yield self._left_out(segment, *_range(turn, segment.rate), "no_speaker")
                else:
                    yield from self._spoken(task, segment, turn, index, trusted is not None, audio)

    def _spoken(
        self,
        task: Task,
        segment: Segment,
        turn: Turn,
        index: Iterator[int],
        given: bool,
        audio: Audio,
    ) -> Iterator[Clip | Drop]:
        """A turn as clips and drops that have each of its frames once."""
        start, end = _range(turn, segment.rate)
        overlaps = _checked_overlaps(turn, start, end)
        out = self._cut_out(overlaps, start, end, segment.rate) if self.overlap == "drop" else []
        for first, last in [*out, (end, end)]:
            if start < first:
                several = sum(max(0, min(first, b) - max(start, a)) for a, b in overlaps)
                yield dataclasses.replace(
                    _clip(task, segment, turn.speaker, (start, first), next(index), given, audio),
                    overlap_seconds=several / segment.rate,
                )
            if first < last:
                yield self._left_out(segment, first, last, "overlap")
            start = last

    def _cut_out(
        self, overlaps: Sequence[tuple[int, int]], start: int, end: int, rate: int
    ) -> list[tuple[int, int]]:
        """Frames of a turn that go: overlaps, and what they leave that is too short for a turn."""
        least = round(self.min_turn_seconds * rate)
        gone = [(a, b) for a, b in overlaps if b - a >= round(LEAST_OVERLAP * rate)]
        if not gone:
            return []
        found: list[tuple[int, int]] = []
        reached = start
        for first, last in [*gone, (end, end)]:
            if first - reached < least:
                first = reached
            if found and found[-1][1] == first:
                found[-1] = (found[-1][0], last)
            elif first < last:
                found.append((first, last))
            reached = last
        return found

    def _left_out(self, segment: Segment, start: int, end: int, reason: str) -> Drop:
        return Drop(
            id=segment.id,
            root=segment.recording,
            step=self.name(),
            reason=reason,
            seconds=(end - start) / segment.rate,
            start=start / segment.rate,
            end=end / segment.rate,
        )


def _of_channel(turn: Turn, channel: int) -> Turn:
    """The turn with its channel in front of its speaker, if there is one."""
    if turn.speaker == NOBODY:
        return turn
    return dataclasses.replace(turn, speaker=f"ch{channel}-{turn.speaker}")


def _checked_overlaps(turn: Turn, start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Where others speak too, in frames. Raises `ValueError` where an engine's answer is wrong."""
    overlaps = turn.overlaps if isinstance(turn, Spoken) else ()
    reached = start
    for first, last in overlaps:
        if not reached <= first < last <= end:
            raise ValueError(f"the diarizer answered with overlaps out of place: {turn}")
        reached = last
    return overlaps


def _range(record: Segment | Turn, rate: int | None = None) -> tuple[int, int]:
    rate = record.rate if isinstance(record, Segment) else rate
    assert rate is not None
    return frames(record.start, rate), frames(record.end, rate)


def _paired(segments: Sequence[Segment], turns: Sequence[Turn]) -> Iterator[tuple[Segment, Turn]]:
    """Each turn with its segment. Raises `ValueError` where an engine's turns do not cover the
    segments of the channel frame by frame: a bug in the engine."""
    rest = iter(turns)
    for segment in segments:
        start, end = _range(segment)
        while start < end:
            turn = next(rest, None)
            here = _range(turn, segment.rate) if turn else (-1, -1)
            if turn is None or here[0] != start or not start < here[1] <= end:
                raise ValueError(
                    f"the diarizer left frames {start}..{end} of segment {segment.id} "
                    f"without a turn of their own: its answer is {turn}"
                )
            start = here[1]
            yield segment, turn
    if (turn := next(rest, None)) is not None:
        raise ValueError(f"the diarizer answered {turn}, which lies in no segment")


def _clip(
    task: Task,
    segment: Segment,
    speaker: str,
    span: tuple[int, int],
    index: int,
    given: bool,
    audio: Audio,
) -> Clip:
    start, end = span
    first = frames(segment.start, segment.rate)
    samples = audio.read(segment.channel, start, end)
    return Clip(
        id=clip_id(task.id, segment.channel, start, end, segment.rate, speaker),
        task=task.id,
        recording=segment.recording,
        channel=segment.channel,
        index=index,
        start=start / segment.rate,
        end=end / segment.rate,
        rate=segment.rate,
        speaker=speaker,
        speaker_given=given,
        audio=segment.audio.cut(start - first, end - first) if segment.audio else None,
        source_rate=segment.source_rate,
        codec=segment.codec,
        pcm_sha256=hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest(),
        partial=segment.partial,
    )


def _without_speaker(segment: Segment, step: str) -> Drop:
    return Drop(
        id=segment.id,
        root=segment.recording,
        step=step,
        reason="no_speaker_given",
        seconds=segment.seconds,
        detail="no speaker for this recording in the table; give one, or choose another engine",
    )
