"""What becomes of a take: the fields of a clip that say who spoke, what was read, and when."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from schemas.records import Clip, Transcript, Word, frames
from transforms.engines.synthesizer import Synthesizer
from transforms.synthesize.casting import Part
from transforms.synthesize.takes import Take
from transforms.synthesize.word_times import Timed


def speaker_of(engine: Synthesizer, part: Part) -> str:
    """The label of a voice: the engine's family and the voice, "espeak-ng/en-us+f3"."""
    return f"{engine.name.partition('/')[0]}/{part.voice.name}"


def with_take(
    clip: Clip, made: Take, part: Part, engine: Synthesizer, seed: int, start: int
) -> Clip:
    """A clip with what was spoken for it, from frame `start` of its channel on."""
    return dataclasses.replace(clip, **spoken(clip.rate, made, part, engine, seed, start))


def spoken(
    rate: int, made: Take, part: Part, engine: Synthesizer, seed: int, start: int
) -> dict[str, Any]:
    """The fields of a clip that a take decides, where it begins at frame `start` of its channel.

    Its first transcript is what was read: the text as the voice was given it, and how it spoke.
    """
    end = start + len(made.pcm)
    words = _placed(made.words, start, end, rate)
    manner, speaker = part.manner, speaker_of(engine, part)
    read = Transcript(
        engine=speaker,
        text=made.said,
        quality="given",
        language=part.voice.language,
        device=f"speed={manner.speed:g} pitch={manner.pitch:g} seed={seed}",
    )
    return {
        "start": start / rate,
        "end": end / rate,
        "speaker": speaker,
        "speaker_given": True,
        "times": made.times if words else "none",
        "words": words,
        "transcripts": (read,),
        "source_rate": made.source_rate,
    }


def moved(clip: Clip, start: int) -> Clip:
    """The same samples from another frame of the channel on."""
    by = start - frames(clip.start, clip.rate)
    if not by:
        return clip

    def later(seconds: float) -> float:
        return (frames(seconds, clip.rate) + by) / clip.rate

    def words_later(words: Sequence[Word]) -> tuple[Word, ...]:
        return tuple(
            dataclasses.replace(word, start=later(word.start), end=later(word.end))
            for word in words
        )

    return dataclasses.replace(
        clip,
        start=later(clip.start),
        end=later(clip.end),
        words=words_later(clip.words),
        transcripts=tuple(
            dataclasses.replace(answer, words=words_later(answer.words))
            for answer in clip.transcripts
        ),
    )


def _placed(words: Sequence[Timed], first: int, last: int, rate: int) -> tuple[Word, ...]:
    """Words with their times on the channel's time line and on the grid of its samples."""
    placed = []
    for text, begins, ends in words:
        start, end = first + round(begins * rate), first + round(ends * rate)
        start, end = start if start < last else last, end if end < last else last
        placed.append(Word(text=text, start=start / rate, end=end / rate))
    return tuple(placed)
