"""Cut each segment into clips of one speaker each; every frame of it stays.

An engine answers for one channel of one recording; channels kept apart (the two ends of a call)
are different people, so each is asked about on its own and names get the channel in front. A
speaker who was given with the recording is believed: a data set's own label beats any guess, and
no model runs.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, Drop, Segment, Task, Turn, clip_id, frames
from transforms.engines import clustering, diarizer
from transforms.step import Audio, Phase, RecordStep, Scope

GIVEN = "given"  # not an engine: an answer that comes with the task


class Diarize(RecordStep):
    """Find out who speaks when; one clip per turn."""

    phase: ClassVar[Phase] = "annotate"
    reasons: ClassVar[dict[str, str]] = {
        "no_speaker_given": "The engine is `given`, and no speaker was given with the recording.",
    }

    engine: str = pydantic.Field(
        default="resemblyzer",
        description="Diarizer; `one` takes each channel for one speaker, `given` the speaker of "
        "the table (name; resemblyzer: best measured that needs no hub)",
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

    @pydantic.field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        if name != GIVEN:
            try:
                diarizer.engine(name)
            except ValueError as unknown:
                raise ValueError(f"{unknown}, {GIVEN}") from None
        return name

    def fingerprint(self) -> Any:
        return None if self.engine == GIVEN else diarizer.engine(self.engine).fingerprint()

    def load(self) -> diarizer.Diarizer | None:
        if self.engine == GIVEN:
            return None
        return diarizer.engine(self.engine)(
            diarizer.Options(
                min_turn_seconds=self.min_turn_seconds,
                max_speakers=self.max_speakers,
                block_windows=self.block_windows,
                same_speaker=self.same_speaker,
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
            if trusted is not None:
                turns = [Turn(speaker=trusted, start=s.start, end=s.end) for s in own]
            else:
                assert model is not None
                turns = model.turns(audio, channel, [_range(s) for s in own], audio.rate)
                if many:
                    turns = [
                        dataclasses.replace(turn, speaker=f"ch{channel}-{turn.speaker}")
                        for turn in turns
                    ]
            for segment, turn in _paired(own, turns):
                yield _clip(task, segment, turn, next(index), trusted is not None, audio)


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


def _clip(task: Task, segment: Segment, turn: Turn, index: int, given: bool, audio: Audio) -> Clip:
    start, end = _range(turn, segment.rate)
    first = frames(segment.start, segment.rate)
    samples = audio.read(segment.channel, start, end)
    return Clip(
        id=clip_id(task.id, segment.channel, start, end, segment.rate, turn.speaker),
        task=task.id,
        recording=segment.recording,
        channel=segment.channel,
        index=index,
        start=turn.start,
        end=turn.end,
        rate=segment.rate,
        speaker=turn.speaker,
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
