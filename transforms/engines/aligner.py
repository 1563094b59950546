"""Where the words of a known text lie in sound: CTC forced alignment (torchaudio).

A model says for each stretch of 20 ms how likely each letter is; of all ways to lay the text's
letters over the sound in order, the most likely is taken. Time and memory grow with the product of
both lengths, so a long text is laid in blocks (`_block`), each ended by a wildcard that takes up
the sound of what comes after its words, and begun where the words before it ended.

How sure it is shows in the frames in which a letter is laid or heard: sound that the text leaves
out counts against it, a pause that both leave empty does not count.

A word of which no letter is known to the model (figures, another script) gets no place of its own:
what it is worth is its caller's to decide. Nothing is romanised here.
"""

import dataclasses
import itertools
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

CELLS = 1 << 29  # frames times states of one alignment: as many bytes (ours: 10 minutes of speech)
_SHARE = 0.6  # of the words a block would hold at an even pace: the rest is room for slow speech
_KEPT = 0.8  # of a block's words are believed; the last may have been drawn to what comes after
_HALF = math.log(0.5)
Span = tuple[int, int]  # half-open
DELIMITERS = ("|", " ")  # between words, where the vocabulary has one


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A word's stretch of the sound, in frames of the model, and how likely it is there."""

    first: int
    end: int  # frame after its last
    confidence: float  # 0..1: mean probability (geometric) of what it says of these frames


@dataclasses.dataclass(frozen=True, slots=True)
class Laid:
    """A whole text over the sound."""

    words: list[Found | None]
    confidence: float  # 0..1: mean probability (geometric) of what it says of all frames


def spelled(word: str, vocabulary: Mapping[str, int]) -> tuple[int, ...]:
    """The tokens of a word's letters, as far as the model knows them; marks and the rest fall out.

    A letter that is unknown is tried in the other case and then without its accents.
    """
    tokens: list[int] = []
    for sign in word:
        if sign in DELIMITERS:
            continue
        token = _known(sign, vocabulary)
        if token is not None:
            tokens.append(token)
            continue
        plain = unicodedata.normalize("NFKD", sign.casefold())
        tokens += [
            known
            for letter in plain
            if letter not in DELIMITERS and (known := _known(letter, vocabulary)) is not None
        ]
    return tuple(tokens)


def _known(sign: str, vocabulary: Mapping[str, int]) -> int | None:
    for form in (sign, sign.lower(), sign.upper()):
        if form in vocabulary:
            return vocabulary[form]
    return None


def needed(words: Sequence[Sequence[int]], blank: int, delimiter: int | None) -> list[int]:
    """The columns of a model's answers that an alignment reads: the blank's first."""
    rest = {token for word in words for token in word} - {blank}
    if delimiter is not None:
        rest.add(delimiter)
    return [blank, *sorted(rest)]


def align(
    answers: Any, words: Sequence[Sequence[int]], delimiter: int | None, cells: int = CELLS
) -> Laid | None:
    """Lay words over sound: for each its stretch, or None for a word without letters.

    `answers` are log probabilities, a float tensor [frames, columns] with the blank in column 0;
    `words` hold columns. None as a whole where the sound has too few frames for the letters, there
    are no letters, or the answers are no numbers.
    """
    if not bool(answers.isfinite().all()):
        return None
    spoken = [place for place, word in enumerate(words) if word]
    found: list[Found | None] = [None] * len(words)
    frame = 0
    scores: list[float | None] = []
    while spoken:
        count, frames = _block(
            [len(words[place]) + 1 for place in spoken], len(answers) - frame, cells
        )
        whole = count == len(spoken)
        part = answers[frame:] if whole else answers[frame : frame + frames]
        way = _way(part, [words[place] for place in spoken[:count]], delimiter, whole)
        if way is None:
            return None
        spans, likely = way
        kept = count if whole else max(1, math.floor(count * _KEPT))
        for place, (first, end) in zip(spoken[:kept], spans, strict=False):
            sure = _probability(likely[first:end])
            found[place] = Found(frame + first, frame + end, sure)
        after = len(likely) if whole else spans[kept - 1][1]
        scores += likely[:after]
        frame += after
        spoken = spoken[kept:]
    return Laid(found, _probability(scores)) if scores else None


def _probability(scores: Sequence[float | None]) -> float:
    counted = [score for score in scores if score is not None]
    return math.exp(min(math.fsum(counted) / len(counted), 0.0))


def _block(lengths: Sequence[int], frames: int, cells: int) -> tuple[int, int]:
    """How many of the words to lay at once, and over how many frames; all where they fit."""
    total = sum(lengths)
    if frames * (2 * total + 1) <= cells:
        return len(lengths), frames
    pace = total / max(frames, 1)  # letters per frame
    span = max(1, math.isqrt(math.floor(cells / (2 * _SHARE * pace))))
    room, count = _SHARE * pace * span, 0
    while count < len(lengths) - 1 and room >= lengths[count]:
        room -= lengths[count]
        count += 1
    return max(count, 1), span


def _way(
    answers: Any, words: Sequence[Sequence[int]], delimiter: int | None, whole: bool
) -> tuple[list[Span], list[float | None]] | None:
    """First frame and frame after the last of each word; of each frame how likely what is laid
    there is (log probability), None in a pause.

    None as a whole where there are too few frames. Unless these are the `whole` rest of the words,
    a wildcard after them takes the sound that is left.
    """
    import torch
    from torchaudio.functional import forced_align, merge_tokens

    targets: list[int] = []
    places: list[Span] = []
    for word in words:
        if targets and delimiter is not None:
            targets.append(delimiter)
        places.append((len(targets), len(targets) + len(word)))
        targets += word
    if not whole:
        answers = torch.nn.functional.pad(answers, (0, 1))  # log 1: as likely as can be
        targets.append(answers.shape[1] - 1)
    repeats = sum(a == b for a, b in itertools.pairwise(targets))
    if len(targets) + repeats > len(answers):
        return None
    path, scores = forced_align(
        answers[None].contiguous(), torch.tensor([targets], dtype=torch.int32), blank=0
    )
    spans = merge_tokens(path[0], scores[0], blank=0)
    return (
        [(int(spans[first].start), int(spans[end - 1].end)) for first, end in places],
        [
            score if token or blank < _HALF else None
            for token, score, blank in zip(
                path[0].tolist(), scores[0].tolist(), answers[:, 0].tolist(), strict=True
            )
        ],
    )
