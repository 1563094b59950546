"""How sure the recognizer was of a clip's text.

Read from the transcript that became the clip's text; where several engines made it together, the
mean over those that say. Text that was given was not heard, and has none of these. A recognizer is
no honest witness of its own inventions (loops are often the surest of its words), so this stands
beside the measures that look at text and sound, never instead of them; scales differ by model, and
a limit is worth only as much as the labelled clips it was chosen on.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, Scores, Transcript
from transforms.step import Measure, Scope


class Confidence(Measure):
    """No-speech probability, mean log probability, and how many words the recognizer doubts."""

    columns: ClassVar[dict[str, type]] = {
        "no_speech": float,
        "mean_log_probability": float,
        "unsure_share": float,
        "lowest_word": float,
    }
    needs_audio: ClassVar[bool] = False

    unsure_below: float = pydantic.Field(
        0.5, gt=0, le=1, description="A word below this confidence is unsure (0..1; ours)"
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            heard = behind(clip)
            words = _known(word.confidence for word in clip.words)
            unsure = sum(value < self.unsure_below for value in words)
            yield Scores(
                id=clip.id,
                values=(
                    _mean(_known(t.no_speech_probability for t in heard)),
                    _mean(_known(t.mean_log_probability for t in heard)),
                    unsure / len(words) if words else None,
                    min(words, default=None),
                ),
            )


def behind(clip: Clip) -> tuple[Transcript, ...]:
    """The answers that a clip's text rests on: the one that it is, else all that were heard."""
    for transcript in clip.transcripts:
        if transcript.text == clip.text and transcript.quality == clip.quality:
            return (transcript,)
    return tuple(t for t in clip.transcripts if t.quality != "given")


def _known(values: Iterator[float | None] | Any) -> list[float]:
    return [float(v) for v in values if v is not None and math.isfinite(v)]


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
