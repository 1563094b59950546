"""Whether a recognizer hears what a voice was to say, in a time that fits."""

import dataclasses
import fnmatch
from collections.abc import Mapping

from schemas.records import Clip, Transcript
from transforms.annotate.lattice import edits
from transforms.engines.normalizer import compared_words

Bounds = tuple[float, float]
SIGNS = (  # that are syllables: from, to, letters that one counts as
    ("\u3041", "\u30ff", 2),  # kana
    ("\u3400", "\u9fff", 4),  # Han
    ("\uac00", "\ud7a3", 3),  # Hangul
    ("\uf900", "\ufaff", 4),  # Han, compatibility forms
    ("\U00020000", "\U0003fffd", 4),  # Han, rarer ones
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a clip fails."""

    reason: str
    detail: str
    score: float | None = None
    threshold: float | None = None
    final: bool = False  # another voice would not mend it


def word_error_rate(clip: Clip, heard: str) -> float:
    """Edits per word between what was to be said and what was heard; 0 where all agrees.

    The text counts as it is written or as it was read, whichever is nearer: recognizers write
    "5 %" or "five percent" as they like. A text without words is heard right by hearing none.
    """
    found = compared_words(heard, clip.language)
    wanted = {clip.text, *(read.text for read in clip.transcripts[:1])}
    references = [compared_words(text, clip.language) for text in sorted(wanted)]
    return min(edits(words, found) / max(len(words), 1) for words in references)


def seconds_per_character(clip: Clip) -> float:
    """How long one letter or digit of what was read took, without the pause at the end.

    A sign that is said as a whole syllable counts as the letters which that takes elsewhere.
    """
    read = clip.transcripts[0].text if clip.transcripts else clip.text
    letters = sum(_letters(character) for character in read)
    spoken = (clip.words[-1].end if clip.words else clip.end) - clip.start
    return spoken / max(letters, 1)


def _letters(character: str) -> int:
    if not character.isalnum():
        return 0
    if character < SIGNS[0][0]:  # most of what there is
        return 1
    return next((many for first, last, many in SIGNS if first <= character <= last), 1)


def limit_of(speaker: str, limits: Mapping[str, float], default: float | None) -> float | None:
    """The limit of a voice: that of the pattern it fits which says most of it letter by letter."""
    for pattern in sorted(limits, key=lambda one: (-len(one.strip("*?")), one)):
        if fnmatch.fnmatchcase(speaker, pattern):
            return limits[pattern]
    return default


def too_fast_or_slow(clip: Clip, bounds: Bounds | None) -> Fault | None:
    """A fault where a clip's pace lies outside `bounds` (seconds per character)."""
    if bounds is None:
        return None
    pace = seconds_per_character(clip)
    if bounds[0] <= pace <= bounds[1]:
        return None
    wanted = bounds[0] if pace < bounds[0] else bounds[1]
    return Fault(
        reason="pace",
        score=pace,
        threshold=wanted,
        detail=f"{pace:.3f} s per character by {clip.speaker}, {bounds[0]:g} to {bounds[1]:g}",
    )


def misheard(clip: Clip, answer: Transcript | None, limit: float | None) -> Fault | None:
    """A fault where what was heard differs by more than `limit` of the words."""
    if limit is None:
        return None
    heard = "" if answer is None else answer.text
    rate = word_error_rate(clip, heard)
    if rate <= limit:
        return None
    shown = heard if len(heard) <= 60 else heard[:59] + "…"
    return Fault(
        reason="misheard",
        score=rate,
        threshold=limit,
        detail=f"word error rate {rate:.2f} of {clip.speaker}; heard {shown!r}",
    )
