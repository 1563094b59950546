"""Whether a clip's text and its speech are of one length and in one place.

Text where nobody speaks was invented; speech without words was lost (a recognizer that stops early,
a given text that is cut off). Where the words have measured times, both are seen in place; where
they have none, or only estimated ones, those columns are None and the rate alone tells: letters
per second of *speech*, not of the clip, so that a pause changes nothing and text on silence is
absurd at once. Letters are counted as they sound (`wording.spoken_letters`), or a list of digits
and Chinese would pass for text cut off.

Times count as far as they lie inside the clip; their order does not matter.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic

from schemas.records import Clip, Scores
from transforms.engines.vad import ENGINES, Vad
from transforms.measure.sound import samples
from transforms.measure.voiced import FRAME_SECONDS, Voiced, voiced
from transforms.measure.wording import spoken_letters
from transforms.step import Measure, Scope

_LEAST_SPEECH = 0.1  # seconds; less is a click, and the divisor of a rate is never below it


class Coverage(Measure):
    """Speech that words cover, words outside speech, speech without words, letters per second."""

    columns: ClassVar[dict[str, type]] = {
        "speech_covered": float,
        "words_outside": float,
        "longest_unsaid": float,
        "letters_per_second": float,
    }
    needs_audio: ClassVar[bool] = True

    engine: Literal["silero", "energy"] = pydantic.Field(
        "silero", description="Voice activity engine (silero measured best; energy needs no model)"
    )
    threshold: float = pydantic.Field(
        0.5, gt=0, lt=1, description="From this probability on a frame is speech (silero's default)"
    )
    pad_seconds: float = pydantic.Field(
        0.2,
        ge=0,
        le=2,
        description="A word reaches this far beyond its times (seconds; recognizers and detectors "
        "disagree by about this much)",
    )

    def fingerprint(self) -> Any:
        return ENGINES[self.engine].fingerprint()

    def load(self) -> Vad:
        return ENGINES[self.engine]()

    def __call__(self, records: Sequence[Clip], model: Vad, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            heard = voiced(samples(clip, scope), clip.rate, model, self.threshold)
            letters = spoken_letters(clip.text)
            rate = letters / max(heard.seconds, _LEAST_SPEECH) if clip.seconds > 0 else None
            yield Scores(id=clip.id, values=(*self.in_place(clip, heard), rate))

    def in_place(
        self, clip: Clip, heard: Voiced
    ) -> tuple[float | None, float | None, float | None]:
        """Share of speech that is covered by words, share of words outside speech, and the longest
        stretch without a word that holds speech (seconds of speech in it)."""
        if clip.times != "measured" or not clip.words or not len(heard.speech):
            return None, None, None
        said = np.zeros(len(heard.speech), np.bool_)
        outside = 0
        for word in clip.words:
            span = self._frames(word.start - clip.start, word.end - clip.start, len(said))
            said[span] = True
            outside += not heard.speech[span].any()
        unsaid = heard.speech & ~said
        share = outside / len(clip.words)
        if heard.seconds < _LEAST_SPEECH:
            return None, share, 0.0
        covered = 1 - float(heard.weights[unsaid].sum()) / heard.seconds
        return covered, share, _longest(heard, said)

    def _frames(self, start: float, end: float, count: int) -> slice:
        """The frames of the clip that a word touches; none where it lies beyond the clip."""
        first = max(0, int((start - self.pad_seconds) // FRAME_SECONDS))
        return slice(first, min(count, int((end + self.pad_seconds) // FRAME_SECONDS) + 1))


def _longest(heard: Voiced, said: Any) -> float:
    """The most speech (seconds) between two neighbouring words, or before or after them all."""
    edges = np.flatnonzero(np.concatenate(([True], said, [True])))
    sums = np.concatenate(([0.0], np.cumsum(np.where(heard.speech, heard.weights, 0.0))))
    return float(max(sums[high - 1] - sums[low] for low, high in itertools.pairwise(edges)))
