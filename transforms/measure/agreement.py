"""How far several recognizers agree about a clip: the best witness against invention.

Engines of different make err differently, but seldom invent the same sentence. Both values come
from the ensemble of `transcribe`; with one engine, or a given text, there is nothing to compare.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from schemas.records import Clip, Scores
from transforms.step import Measure, Scope


class Agreement(Measure):
    """Disagreement between the engines' answers (a word error rate), and of words (0..1)."""

    columns: ClassVar[dict[str, type]] = {
        "disagreement": float,
        "word_agreement": float,
        "lowest_word": float,
    }
    needs_audio: ClassVar[bool] = False

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            words = [w.agreement for w in clip.words if w.agreement is not None]
            words = [value for value in words if math.isfinite(value)]
            between = clip.disagreement
            yield Scores(
                id=clip.id,
                values=(
                    between if between is not None and math.isfinite(between) else None,
                    math.fsum(words) / len(words) if words else None,
                    min(words, default=None),
                ),
            )
