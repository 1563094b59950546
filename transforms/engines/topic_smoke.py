"""The default of `topic` and `domain`: naive Bayes over a few hundred words of our own.

Made by `topic_training` and kept in `topic_smoke.json`. English only, and blind to everything that
its few words do not name: of real speech it labels the plainest part. It is there so that every
step after it can be tried without a model; its labels carry the quality `smoke`.
"""

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from transforms.engines.topics import NOTHING, Topic
from transforms.measure.wording import words_of

FILE = Path(__file__).with_name("topic_smoke.json")
LEAST_WORDS = 2  # known ones: fewer say nothing


@functools.cache
def _models() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def fingerprint() -> dict[str, str]:
    """The digest of the file."""
    return {"topic_smoke.json": hashlib.sha256(FILE.read_bytes()).hexdigest()}


class SmokeTopics:
    """Labels by naive Bayes with equal priors."""

    quality = "smoke"

    def __init__(self, task: Literal["topic", "domain"]) -> None:
        model = _models()[task]
        self.labels: list[str] = model["labels"]
        self._words: Mapping[str, list[float]] = model["words"]

    def classify(self, texts: Sequence[str]) -> list[Topic]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Topic:
        rows = [self._words[word] for word in words_of(text) if word in self._words]
        if len(rows) < LEAST_WORDS:
            return NOTHING
        sums = [math.fsum(column) for column in zip(*rows, strict=True)]
        top = max(sums)
        best = sums.index(top)  # of equals the first in the alphabet
        total = math.fsum(math.exp(number - top) for number in sums)
        return Topic(self.labels[best], 1 / total)
