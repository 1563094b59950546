"""Cut clips between sentences: fine chunks that begin and end where a speaker does.

A clip of a diarizer ends where a turn or a pause ends, which may be in mid-sentence or after ten of
them; SpeLangy's fine chunks are about a sentence (mean 5.2 s, coarse ones 19.2 s; methods a.2).
Sentence borders are found in the text (library sentencex, some 300 languages by rule and list of
abbreviations, no model) and carried to the sound by the words' times. So a clip is cut only where
its words have times that can be trusted and stand in its text; all others pass whole.
"""

import bisect
import dataclasses
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, frames
from schemas.words import Span, word_ranges
from transforms.annotate.cutting import borders_of, character_before, cut
from transforms.step import Phase, RecordStep, Scope

Splitter = Callable[[str, str], list[str]]  # language, text -> its sentences, end to end


class Sentences(RecordStep):
    """One clip per sentence, or per few short ones."""

    phase: ClassVar[Phase] = "annotate"

    min_seconds: float = pydantic.Field(
        default=1.0,
        ge=0,
        description="A shorter sentence stays with its shorter neighbour (seconds; ours: less is "
        "hardly a thing to read or to hear)",
    )
    max_seconds: float | None = pydantic.Field(
        default=20.0,
        gt=0,
        description="A longer sentence is cut at the longest pause between its words (seconds; "
        "off: never; ours: SpeLangy's coarse chunks are as long on average)",
    )
    allow_estimated: bool = pydantic.Field(
        default=False,
        description="Cut also at words whose times are estimated, not measured (flag; ours: no, "
        "for a cut may then fall into a word)",
    )
    language: str = pydantic.Field(
        default="en",
        pattern=r"^[a-z]{2,3}$",
        description="Language of clips that have none (ISO 639-1; ours)",
    )

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "Sentences":
        if self.max_seconds is not None and self.max_seconds < 2 * self.min_seconds:
            raise ValueError(
                f"max_seconds ({self.max_seconds}) is below twice min_seconds "
                f"({self.min_seconds}): a chunk could not be cut in two"
            )
        return self

    def fingerprint(self) -> Any:
        return {"sentencex": importlib.metadata.version("sentencex")}

    def load(self) -> Splitter:
        import sentencex

        return lambda language, text: list(sentencex.segment(language, text))

    def __call__(self, records: Sequence[Clip], model: Splitter, scope: Scope) -> Iterator[Clip]:
        index = itertools.count()
        for clip in sorted(records, key=lambda c: (c.channel, c.start, c.end, c.id)):
            for part in self._parts(clip, model, scope):
                yield dataclasses.replace(part, index=next(index))

    def _parts(self, clip: Clip, model: Splitter, scope: Scope) -> Iterator[Clip]:
        trusted = clip.times == "measured" or (self.allow_estimated and clip.times == "estimated")
        ranges = word_ranges(clip.text, clip.words) if trusted and len(clip.words) > 1 else None
        if ranges is None:
            yield clip
            return
        sentences = sentence_starts(
            ranges, model(clip.language or self.language, clip.text), clip.text
        )
        places = self._places(clip, sorted(sentences))
        if not places:
            yield clip
            return
        characters = [
            sentences.get(place) or character_before(clip.text, ranges, place) for place in places
        ]
        yield from cut(clip, places, characters, scope.samples())

    def _places(self, clip: Clip, sentences: Sequence[int]) -> list[int]:
        """The words that a chunk begins with, but for the first."""
        borders = borders_of(clip)
        least = max(1, frames(self.min_seconds, clip.rate))
        edges = merged([0, *sentences, len(clip.words)], borders, least)
        if self.max_seconds is not None:
            pauses = [0] + [
                frames(after.start, clip.rate) - frames(before.end, clip.rate)
                for before, after in itertools.pairwise(clip.words)
            ]
            edges = parted(edges, borders, pauses, least, frames(self.max_seconds, clip.rate))
        return edges[1:-1]


def sentence_starts(ranges: Sequence[Span], sentences: Sequence[str], text: str) -> dict[int, int]:
    """The words that begin a sentence, but for the first, with the character it begins at.

    A border inside a word ("e.g.", taken for two) is none. No borders where the sentences are not
    the whole text end to end.
    """
    if "".join(sentences) != text:
        return {}
    starts = [start for start, _ in ranges]
    found = {}
    for border in itertools.accumulate(len(sentence) for sentence in sentences[:-1]):
        place = bisect.bisect_left(starts, border)
        if 0 < place < len(ranges) and ranges[place - 1][1] <= border:
            found[place] = border
    return found


def merged(edges: Sequence[int], borders: Sequence[int], least: int) -> list[int]:
    """Edges of chunks, without those around chunks of less than `least` frames.

    The shortest chunk joins its shorter neighbour (of two alike the one before) until none is left
    that is too short. `edges` are numbers of words, with both ends.
    """
    found = list(edges)
    while len(found) > 2:
        lengths = [borders[b] - borders[a] for a, b in itertools.pairwise(found)]
        short = min(range(len(lengths)), key=lengths.__getitem__)
        if lengths[short] >= least:
            break
        before = lengths[short - 1] if short else None
        after = lengths[short + 1] if short + 1 < len(lengths) else None
        backwards = after is None or (before is not None and before <= after)
        del found[short if backwards else short + 1]
    return found


def parted(
    edges: Sequence[int], borders: Sequence[int], pauses: Sequence[int], least: int, most: int
) -> list[int]:
    """Edges of chunks, with more where a chunk has over `most` frames.

    A chunk is cut where the pause before a word is longest (of pauses alike: nearest its middle)
    and both sides keep `least` frames; where there is no such place it stays as long as it is.
    """
    found, todo = [edges[0]], list(itertools.pairwise(edges))[::-1]
    while todo:
        first, last = todo.pop()
        middle = borders[first] + borders[last]
        places = [
            place
            for place in range(first + 1, last)
            if borders[last] - borders[first] > most
            and borders[place] - borders[first] >= least
            and borders[last] - borders[place] >= least
        ]
        if places:
            place = min(places, key=lambda p: (-pauses[p], abs(2 * borders[p] - middle), p))
            todo += [(place, last), (first, place)]
        else:
            found.append(last)
    return found
