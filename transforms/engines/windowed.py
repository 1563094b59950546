"""A long recording heard window by window, by a model that tells several voices apart at once.

The model behind it (`Listener`) is given at most one window of samples, so memory does not grow
with the recording; its speakers are linked from window to window (`linking`). What it answers in
seconds on the line (`timeline`) becomes turns that cover every frame of every stretch:

- a frame within `NEAR` of a voice belongs to it (detectors pad, models trim), as do pauses not
  much longer than that; of two speakers the nearer has it;
- a longer rest, and a stretch in which no voice was heard at all, is nobody's turn: to give it to
  someone would be a guess;
- a frame that several speak in belongs to whom the model names when it may name one only, and is
  marked as overlap.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from schemas.records import Turn
from transforms.engines import linking, timeline
from transforms.engines.timeline import Piece
from transforms.engines.turns import (
    NO_LABEL,
    Run,
    Spoken,
    Stretches,
    checked,
    merged,
    names,
    without_short,
)
from transforms.engines.voice import Float32
from transforms.step import Audio

if TYPE_CHECKING:
    from transforms.engines.diarizer import Options

NEAR = 0.5  # seconds around a voice that are still its turn
Voice = tuple[float, float, int]  # seconds from the start of the window, and the speaker


@dataclasses.dataclass(frozen=True)
class Heard:
    """What a listener says of one window."""

    turns: list[Voice]  # one speaker at a time
    voices: list[Voice]  # all that is heard: several at once where they talk at once
    embeddings: Float32  # mean embedding of each speaker, [k, d]; NaN where there is none


class Listener(Protocol):
    """A model that hears one window. Its answer depends on nothing but its arguments."""

    def hear(self, samples: Float32, most_speakers: int | None) -> Heard:
        """`samples` in -1..1 at 16 kHz, [n]. Raises `ValueError` for nothing but a bug."""
        ...


class Windowed:
    """Any listener as a diarizer."""

    def __init__(self, options: "Options", listener: Listener) -> None:
        self._options = options
        self._listener = listener

    def turns(self, audio: Audio, channel: int, stretches: Stretches, rate: int) -> Sequence[Turn]:
        pieces = timeline.laid_out(checked(stretches), rate)
        if not pieces:
            return []
        options = self._options
        spans = timeline.windows(
            pieces[-1].until,
            round(options.window_seconds * rate),
            round(options.window_overlap_seconds * rate),
        )
        answers = [
            _on_line(
                self._listener.hear(
                    _window(audio, channel, pieces, first, last, rate), options.max_speakers
                ),
                first,
                last,
                rate,
            )
            for first, last in spans
        ]
        borders = [0]
        borders += [timeline.border(pieces, b[0], a[1]) for a, b in itertools.pairwise(spans)]
        borders.append(pieces[-1].until)
        speakers = self._linked(answers, spans, rate)
        turns: list[Run] = []
        voices: list[Run] = []
        for answer, labels, (first, last) in zip(
            answers, speakers, itertools.pairwise(borders), strict=True
        ):
            turns += _clipped(answer.turns, labels, first, last)
            voices += _clipped(answer.voices, labels, first, last)
        runs = self._covered(pieces, _one_at_a_time(turns), rate)
        return _named(runs, pieces, _several_at_once(voices), rate)

    def _linked(
        self, answers: list["_Answer"], spans: list[tuple[int, int]], rate: int
    ) -> list[list[int]]:
        windows = [linking.Window(answer.embeddings, answer.seconds(rate)) for answer in answers]
        shared = [
            _shared(a, b, second[0], first[1]) / rate
            for (a, b), (first, second) in zip(
                itertools.pairwise(answers), itertools.pairwise(spans), strict=True
            )
        ]
        return linking.linked(
            windows,
            shared,
            similarity=self._options.link_similarity,
            most=self._options.max_speakers,
        )

    def _covered(self, pieces: list[Piece], turns: list[Run], rate: int) -> list[list[Run]]:
        """Runs of every piece, on the line. Pieces that touch in the recording count as one."""
        least = round(self._options.min_turn_seconds * rate)
        near = round(NEAR * rate)
        answers: list[list[Run]] = []
        place = 0
        for group in _touching(pieces):
            first, last = group[0].place, group[-1].until
            while place < len(turns) and turns[place][2] <= first:
                place += 1
            runs = _filled(
                [
                    (label, max(first, a), min(last, b))
                    for label, a, b in _before(turns, place, last)
                ],
                first,
                last,
                near,
                least,
            )
            for piece in group:
                own = [
                    (label, max(piece.place, a), min(piece.until, b))
                    for label, a, b in runs
                    if a < piece.until and b > piece.place
                ]
                answers.append(_speech_without_short(own, least))
        return answers


@dataclasses.dataclass(frozen=True)
class _Answer:
    """A listener's answer in frames of the line."""

    turns: list[Run]
    voices: list[Run]
    embeddings: linking.Float64

    def seconds(self, rate: int) -> linking.Float64:
        total = np.zeros(len(self.embeddings))
        for label, start, end in self.voices:
            total[label] += (end - start) / rate
        return total


def _on_line(heard: Heard, first: int, last: int, rate: int) -> _Answer:
    def placed(voices: list[Voice]) -> list[Run]:
        found = [
            (label, max(first, first + round(a * rate)), min(last, first + round(b * rate)))
            for a, b, label in voices
        ]
        return sorted((run for run in found if run[1] < run[2]), key=lambda run: (run[1], run[2]))

    return _Answer(
        turns=placed(heard.turns),
        voices=placed(heard.voices),
        embeddings=np.asarray(heard.embeddings, dtype=np.float64),
    )


def _window(
    audio: Audio, channel: int, pieces: list[Piece], first: int, last: int, rate: int
) -> Float32:
    """Samples of [first, last) of the line at 16 kHz, silence between the pieces."""
    samples = np.zeros(round((last - first) * timeline.RATE / rate), dtype=np.float32)
    for piece in timeline.within(pieces, first, last):
        heard = timeline.heard(audio.read(channel, piece.start, piece.end), rate)
        begin = min(len(samples), round((piece.place - first) * timeline.RATE / rate))
        heard = heard[: len(samples) - begin]
        samples[begin : begin + len(heard)] = heard
    return samples


def _clipped(runs: list[Run], labels: list[int], first: int, last: int) -> Iterator[Run]:
    for label, start, end in runs:
        if start < last and end > first:
            yield labels[label], max(start, first), min(end, last)


def _shared(left: _Answer, right: _Answer, first: int, last: int) -> linking.Float64:
    """Frames of [first, last) of the line that each pair of names shares, [k_left, k_right]."""
    found = np.zeros((len(left.embeddings), len(right.embeddings)))
    theirs = [run for run in right.voices if run[1] < last]
    for a, start, end in (run for run in left.voices if run[2] > first):
        for b, begin, until in theirs:
            found[a, b] += max(0, min(end, until, last) - max(start, begin, first))
    return found


def _one_at_a_time(turns: list[Run]) -> list[Run]:
    """Turns in order, none before the one before it has ended: the earlier one has the frames."""
    found: list[Run] = []
    reached = 0
    for label, start, end in sorted(turns, key=lambda run: (run[1], run[2], run[0])):
        if end > max(start, reached):
            found.append((label, max(start, reached), end))
            reached = end
    return merged(found)


def _several_at_once(voices: list[Run]) -> list[Run]:
    """Frames of the line in which two or more different speakers are heard."""
    edges = sorted(
        edge for label, a, b in voices for edge in ((a, 1, label), (b, 0, label)) if a < b
    )
    active: dict[int, int] = {}
    found: list[Run] = []
    reached = 0
    for place, begins, label in edges:
        if len(active) > 1 and place > reached:
            found.append((0, reached, place))
        reached = place
        active[label] = active.get(label, 0) + (1 if begins else -1)
        if active[label] == 0:
            del active[label]
    return merged(found)


def _before(runs: list[Run], place: int, last: int) -> Iterator[Run]:
    """The runs from `place` on that begin before `last`."""
    while place < len(runs) and runs[place][1] < last:
        yield runs[place]
        place += 1


def _touching(pieces: list[Piece]) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    for piece in pieces:
        if group and group[-1].end != piece.start:
            yield group
            group = []
        group.append(piece)
    yield group


def _filled(turns: list[Run], first: int, last: int, near: int, least: int) -> list[Run]:
    """Runs that cover [first, last): turns, pauses given to their neighbours, and nobody's."""
    if not turns:
        return [(NO_LABEL, first, last)]
    found: list[Run] = []
    reached, before = first, NO_LABEL
    for label, start, end in [*turns, (NO_LABEL, last, last)]:
        sides = (before != NO_LABEL) + (label != NO_LABEL)
        begin = reached + near * (before != NO_LABEL)
        until = start - near * (label != NO_LABEL)
        if until - begin < max(1, least):  # a pause: the nearer voice has it
            begin = until = {2: (reached + start) // 2, 1: start if label == NO_LABEL else reached}[
                sides
            ]
        found += [(before, reached, begin), (NO_LABEL, begin, until), (label, until, end)]
        reached, before = end, label
    return merged([run for run in found if run[2] > run[1]])


def _speech_without_short(runs: list[Run], least: int) -> list[Run]:
    """Short turns joined to a longer neighbour, which nobody's turn never is."""
    found: list[Run] = []
    for speech, group in itertools.groupby(runs, key=lambda run: run[0] != NO_LABEL):
        own = list(group)
        found += without_short(own, least) if speech else own
    return found


def _named(runs: list[list[Run]], pieces: list[Piece], several: list[Run], rate: int) -> list[Turn]:
    known = names([label for own in runs for label, *_ in own])
    found: list[Turn] = []
    place = 0
    for piece, own in zip(pieces, runs, strict=True):
        shift = piece.start - piece.place
        for label, start, end in own:
            while place < len(several) and several[place][2] <= start:
                place += 1
            overlaps = [
                (max(start, a) + shift, min(end, b) + shift)
                for _, a, b in _before(several, place, end)
            ]
            found.append(
                Spoken(
                    speaker=known[label],
                    start=(start + shift) / rate,
                    end=(end + shift) / rate,
                    overlaps=tuple(overlaps) if label != NO_LABEL else (),
                )
            )
    return found
