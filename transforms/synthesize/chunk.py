"""Cut the lines of scripts into utterances: what a voice says in one go, or leaves as text.

Sentences are SpeLangy's fine chunks, paragraphs its coarse ones (methods a.2, a.3: sentence
chunking before speech); word spans follow the laws of Zeng, LST and InSerter (`span_laws`), which
differ on purpose: which is best is an axis of ablation (methods g). However it is cut, the
utterances of a script hold every word of it once, in order, and none crosses from one line to the
next.

Trade-off: limits are kept by counting characters, since nothing is spoken yet; a voice of another
pace needs another `characters_per_second`.
"""

import importlib.metadata
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import pydantic
from pydantic import Field

from schemas.pages import Script, Utterance, utterance_id
from schemas.records import Drop
from transforms.step import Phase, RecordStep, Scope
from transforms.synthesize import span_laws
from transforms.synthesize.span_fit import Fit, between, cut, joined
from transforms.synthesize.span_laws import Dealt
from transforms.synthesize.span_units import PARAGRAPH, SENTENCE, Splitter, Worded, worded

By = Literal["sentences", "paragraphs", "poisson", "lst", "inserter", "inserter_sentences"]


class Chunk(RecordStep):
    """Scripts to utterances: by sentence, by paragraph, or by a law of word spans."""

    phase: ClassVar[Phase] = "synthesize"
    reasons: ClassVar[dict[str, str]] = {
        "no_words": "a script without a letter or a digit: nothing can be said of it",
        "unspeakable_word": "a script with a word longer than `max_word_characters`: it can be "
        "neither said nor cut",
    }

    by: By = Field(
        default="sentences",
        description="sentences (SpeLangy's fine chunks, a.3), paragraphs (its coarse ones), "
        "poisson (Zeng, e.1), lst (b.1), inserter, inserter_sentences (g)",
    )
    min_words: int = Field(
        default=3,
        ge=1,
        description="A shorter sentence or paragraph joins a neighbour of its line (words; ours)",
    )
    max_words: int | None = Field(
        default=None, ge=1, description="Longest utterance that is spoken (words; off: any; ours)"
    )
    max_seconds: float | None = Field(
        default=20.0,
        gt=0,
        description="Longest utterance that is spoken, by `characters_per_second`; a longer one is "
        "cut at a sentence, else at a comma or the like, else between words (seconds; off: any; "
        "ours: about the mean of SpeLangy's coarse chunks, a.2)",
    )
    characters_per_second: float = Field(
        default=15.0,
        gt=0,
        description="How fast voices speak, to judge lengths before they do (characters of "
        "English a second, a Han or kana character counting as 3; ours)",
    )
    max_word_characters: int = Field(
        default=1_000,
        ge=1,
        description="Longest word that can be spoken; a script with a longer one is dropped, for "
        "a page with a hole would be another page (characters; ours)",
    )
    eta: float = Field(
        default=0.3,
        gt=0,
        le=0.6,
        description="Share of the words that poisson and inserter speak (0..1; e.1: 0.3, ablated "
        "0.2 to 0.4; g: best 0.3 for words, 0.4 for sentences)",
    )
    mean_words: float = Field(
        default=10.0,
        ge=1,
        le=1_000,
        description="Mean length of the spoken spans of poisson and inserter (words; e.1: 10)",
    )
    min_span_words: int = Field(
        default=5, ge=1, description="Shortest spoken span of inserter (words; g: 5)"
    )
    lst_min_words: int = Field(
        default=5,
        ge=1,
        description="Shortest text span of lst; the speech span behind it is half as long (words; "
        "ours, b.1 publishes only the half)",
    )
    lst_max_words: int = Field(
        default=25, ge=1, description="Longest text span of lst, uniform between (words; ours)"
    )
    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2,3}$",
        description="Language of scripts that have none, for finding sentences (ISO 639-1; ours)",
    )

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "Chunk":
        if self.lst_max_words < self.lst_min_words:
            raise ValueError(
                f"lst_max_words {self.lst_max_words} is below lst_min_words {self.lst_min_words}"
            )
        if self.max_words is not None and self.max_words < self.min_words:
            raise ValueError(f"max_words {self.max_words} is below min_words {self.min_words}")
        if self.by == "inserter" and self.mean_words < self.min_span_words:
            raise ValueError(
                f"mean_words {self.mean_words} is below min_span_words {self.min_span_words}"
            )
        return self

    def fingerprint(self) -> Any:
        return {"sentencex": importlib.metadata.version("sentencex"), "version": 1}

    def load(self) -> Splitter:
        import sentencex

        return lambda language, text: list(sentencex.segment(language, text))

    def __call__(
        self, records: Sequence[Script], model: Splitter, scope: Scope
    ) -> Iterator[Utterance | Drop]:
        for script in records:
            lines = [
                worded(line.text, script.language or self.language, model) for line in script.lines
            ]
            bad = self._unsayable(script, lines)
            if bad is not None:
                yield bad
                continue
            rng = scope.rng(self.name(), script.id)
            index = 0
            for place, text in enumerate(lines):
                for start, end, spoken in self._dealt(text, rng):
                    yield _utterance(script, place, index, text.slice(start, end), spoken)
                    index += 1

    def _unsayable(self, script: Script, lines: Sequence[Worded]) -> Drop | None:
        longest = max((end - start for text in lines for start, end in text.words), default=0)
        if longest > self.max_word_characters:
            return self._drop(script, "unspeakable_word", longest, self.max_word_characters)
        if not any(text.count(0, len(text.words)) for text in lines):
            return self._drop(script, "no_words", None, None)
        return None

    def _drop(self, script: Script, reason: str, score: float | None, limit: float | None) -> Drop:
        return Drop(
            id=script.id,
            root=script.page,
            step=self.name(),
            reason=reason,
            seconds=0.0,
            score=score,
            threshold=limit,
        )

    def fit(self) -> Fit:
        """The limits, in words and characters."""
        weight = None
        if self.max_seconds is not None:
            weight = self.max_seconds * self.characters_per_second
        return Fit(min_words=self.min_words, max_words=self.max_words, max_weight=weight)

    def _dealt(self, text: Worded, rng: random.Random) -> Iterator[Dealt]:
        """The words of a line, end to end; what has no letter or digit is not spoken."""
        fit = self.fit()
        for start, end, spoken in self._spans(text, rng, fit):
            parts = cut(text, [(start, end)], fit) if spoken else [(start, end)]
            for first, last in parts:
                yield first, last, spoken and text.count(first, last) > 0

    def _spans(self, text: Worded, rng: random.Random, fit: Fit) -> list[Dealt]:
        count = len(text.words)
        if self.by == "poisson":
            return span_laws.poisson(count, rng, self.eta, self.mean_words)
        if self.by == "inserter":
            return span_laws.inserter(count, rng, self.eta, self.mean_words, self.min_span_words)
        if self.by == "lst":
            return span_laws.lst(count, rng, self.lst_min_words, self.lst_max_words)
        rank = PARAGRAPH if self.by == "paragraphs" else SENTENCE
        pieces = joined(text, cut(text, between(text, rank), fit), fit)
        if self.by == "inserter_sentences":
            lengths = [end - start for start, end in pieces]
            flags = span_laws.inserter_sentences(lengths, rng, self.eta)
            return [(*piece, flag) for piece, flag in zip(pieces, flags, strict=True)]
        return [(start, end, True) for start, end in pieces]


def _utterance(script: Script, line: int, index: int, text: str, spoken: bool) -> Utterance:
    return Utterance(
        id=utterance_id(script.id, index, text, spoken),
        page=script.page,
        script=script.id,
        index=index,
        line=line,
        role=script.lines[line].role,
        text=text,
        language=script.language,
        spoken=spoken,
        quality=script.quality,
    )
