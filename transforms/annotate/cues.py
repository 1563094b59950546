"""Cut clips where the cues of a given transcript begin and end: one clip per cue.

Published transcripts and captions say what is said when (the table's column `cues`). Their times
are believed as given text is believed: sound between cues leaves with a reason, because nobody says
what is spoken there, and a cue's speaker replaces the diarizer's. A clip of a task without cues
passes as it is. Stands between `diarize` and `transcribe`, which gives each clip its cue's text.
"""

import bisect
import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pydantic

from schemas.records import Clip, Cue, Drop, Task, clip_id, frames
from transforms.engines.dealing import deal
from transforms.step import Audio, Phase, RecordStep, Scope


class Cues(RecordStep):
    """One clip per cue of the transcript that was given."""

    phase: ClassVar[Phase] = "annotate"
    reasons: ClassVar[dict[str, str]] = {
        "outside_cues": "The given transcript has cues, and none for this stretch.",
    }

    trust_speakers: bool = pydantic.Field(
        default=True,
        description="A cue's speaker, where it names one, is the clip's (yes or no; ours)",
    )

    def __call__(self, records: Sequence[Clip], model: None, scope: Scope) -> Iterator[Clip | Drop]:
        task = scope.root
        cues = task.cues if isinstance(task, Task) else ()
        if not cues:
            yield from records
            return
        index = itertools.count()
        for clip in sorted(records, key=lambda c: (c.start, c.channel, c.end, c.id)):
            yield from self._cut(clip, cues, scope.samples(), index)

    def _cut(
        self, clip: Clip, cues: Sequence[Cue], audio: Audio, index: Iterator[int]
    ) -> Iterator[Clip | Drop]:
        """The clip's frames, each once: under a cue, or left out."""
        at, last = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
        for cue in cues:
            start = max(frames(cue.start, clip.rate), at)
            end = min(frames(cue.end, clip.rate), last)
            if start >= end:
                continue
            if at < start:
                yield self._left_out(clip, at, start)
            yield self._part(clip, start, end, cue, audio, next(index))
            at = end
        if at < last:
            yield self._left_out(clip, at, last)

    def _part(self, clip: Clip, start: int, end: int, cue: Cue, audio: Audio, index: int) -> Clip:
        named = cue.speaker if self.trust_speakers else None
        speaker = named or clip.speaker
        first, length = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
        samples = audio.read(clip.channel, start, end)
        return dataclasses.replace(
            clip,
            id=clip_id(clip.task, clip.channel, start, end, clip.rate, speaker),
            index=index,
            start=start / clip.rate,
            end=end / clip.rate,
            speaker=speaker,
            speaker_given=clip.speaker_given or named is not None,
            overlap_seconds=clip.overlap_seconds * (end - start) / (length - first),
            audio=clip.audio.cut(start - first, end - first) if clip.audio else None,
            pcm_sha256=hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest(),
        )

    def _left_out(self, clip: Clip, start: int, end: int) -> Drop:
        return Drop(
            id=clip.id,
            root=clip.task,
            step=self.name(),
            reason="outside_cues",
            seconds=(end - start) / clip.rate,
            start=start / clip.rate,
            end=end / clip.rate,
        )


def dealt(cues: Sequence[Cue], clips: Sequence[Clip]) -> list[str]:
    """The text of the cues for each clip: a cue's own words, or its share of them where a cue is
    heard in several clips of a channel (by duration, `deal`). "" for a clip that no cue touches."""
    shares: list[list[str]] = [[] for _ in clips]
    for channel in sorted({clip.channel for clip in clips}):
        own = [place for place, clip in enumerate(clips) if clip.channel == channel]
        own.sort(key=lambda place: clips[place].start)  # clips of a channel never overlap
        ends = [clips[place].end for place in own]
        for cue in cues:
            first = bisect.bisect_right(ends, cue.start)
            last = bisect.bisect_left(own, cue.end, key=lambda place: clips[place].start)
            touched = [(place, _common(cue, clips[place])) for place in own[first:last]]
            heard = [(place, length) for place, length in touched if length > 0]
            if heard:
                texts = deal(cue.text, [float(length) for _, length in heard])
                for (place, _), text in zip(heard, texts, strict=True):
                    shares[place].append(text)
    return [" ".join(text for text in share if text) for share in shares]


def _common(cue: Cue, clip: Clip) -> int:
    """Frames of a clip under a cue."""
    start = max(frames(cue.start, clip.rate), frames(clip.start, clip.rate))
    return min(frames(cue.end, clip.rate), frames(clip.end, clip.rate)) - start
