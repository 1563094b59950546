"""What becomes of a take: the fields of a clip that say who spoke, what was read, and when."""

import dataclasses
from collections.abc import Sequence

from schemas.records import Clip, Transcript, Word, frames
from transforms.engines.synthesizer import Synthesizer
from transforms.synthesize.casting import Part
from transforms.synthesize.takes import Take


def speaker_of(engine: Synthesizer, part: Part) -> str:
    """The label of a voice: the engine's family and the voice, "espeak-ng/en-us+f3"."""
    return f"{engine.name.partition('/')[0]}/{part.voice.name}"


def with_take(
    clip: Clip, made: Take, part: Part, engine: Synthesizer, seed: int, start: int
) -> Clip:
    """A clip with what was spoken for it, from frame `start` of its channel on.

    Its first transcript is what was read: the text as the voice was given it, and how it spoke.
    """
    end = start + len(made.pcm)
    words = _placed(made.words, start, end, clip.rate)
    manner = part.manner
    read = Transcript(
        engine=speaker_of(engine, part),
        text=made.said,
        quality="given",
        language=part.voice.language,
        device=f"speed={manner.speed:g} pitch={manner.pitch:g} seed={seed}",
    )
    return dataclasses.replace(
        clip,
        start=start / clip.rate,
        end=end / clip.rate,
        speaker=speaker_of(engine, part),
        speaker_given=True,
        times=made.times if words else "none",
        words=words,
        transcripts=(read,),
        source_rate=made.source_rate,
    )


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


def _placed(words: Sequence[Word], first: int, last: int, rate: int) -> tuple[Word, ...]:
    """Words with their times on the channel's time line and on the grid of its samples."""
    return tuple(
        Word(
            text=word.text,
            start=min(first + frames(word.start, rate), last) / rate,
            end=min(first + frames(word.end, rate), last) / rate,
        )
        for word in words
    )
