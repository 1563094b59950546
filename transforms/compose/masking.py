"""Personal data of the clips of a task: where it is, and the clips without it.

A number may go on in the next clip after a pause, so the texts of neighbours (one speaker, one
channel, a short pause) are searched once more end to end, and what crosses a border is masked on
both sides of it. A clip in which nothing is found is given back as it is.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from schemas.records import Clip, Mute, Word, frames
from schemas.words import word_ranges
from transforms.measure.personal import Found, Search, find, placeholder

Unmeasured = Literal["refuse", "drop", "clip"]


class MaskError(ValueError):
    """Samples are to be muted, and nobody knows where the words are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Muting:
    """How sound is treated: a margin around words, and what to do without measured times."""

    margin: float  # seconds
    unmeasured: Unmeasured


@dataclasses.dataclass(frozen=True, slots=True)
class Mask:
    """What was taken out of a clip: kinds in the order of the text, and ranges of its FLAC."""

    kinds: tuple[str, ...]
    mutes: tuple[Mute, ...]


def spans_of(
    clips: Sequence[Clip], kept: AbstractSet[str], search: Search, max_pause: float
) -> dict[str, tuple[Found, ...]]:
    """Clip id -> what is to be masked in its text; clips with nothing are left out."""
    found = {clip.id: list(find(clip.text, search)) for clip in clips if clip.id in kept}
    for run in _runs([clip for clip in clips if clip.id in kept], max_pause):
        whole = " ".join(clip.text for clip in run)
        ends = list(itertools.accumulate(len(clip.text) + 1 for clip in run))
        starts = [0, *ends[:-1]]
        place = 0
        for one in find(whole, search):
            while one.start >= ends[place]:
                place += 1
            if one.end <= ends[place] - 1:
                continue  # inside one clip, whose own text says all
            at = place
            while at < len(run) and starts[at] < one.end:
                low = max(one.start - starts[at], 0)
                high = min(one.end - starts[at], len(run[at].text))
                if low < high:
                    mine = found[run[at].id]
                    mine[:] = [f for f in mine if f.end <= low or f.start >= high]
                    mine.append(Found(one.kind, low, high, one.said))
                at += 1
    return {
        name: tuple(sorted(spans, key=lambda f: f.start)) for name, spans in found.items() if spans
    }


def _runs(clips: Sequence[Clip], max_pause: float) -> Iterator[list[Clip]]:
    """Neighbours of one speaker on one channel, at least two."""
    ordered = sorted(clips, key=lambda c: (c.channel, c.start, c.end, c.id))
    run: list[Clip] = []
    for clip in ordered:
        if run and (
            (clip.channel, clip.speaker) != (run[-1].channel, run[-1].speaker)
            or clip.start - run[-1].end > max_pause
        ):
            if len(run) > 1:
                yield run
            run = []
        run.append(clip)
    if len(run) > 1:
        yield run


def masked(clip: Clip, spans: Sequence[Found], muting: Muting | None) -> tuple[Clip, Mask] | None:
    """A clip with placeholders in its text and words, and what of its sound must be silent.

    `muting` None: sound stays. None as the answer: the clip must leave, for its words have no
    measured times (`unmeasured: drop`). Raises `MaskError` for `unmeasured: refuse`.
    """
    ranges = word_ranges(clip.text, clip.words) if clip.words else None
    groups = [] if ranges is None else list(_groups(spans, ranges))
    placed = ranges is not None and all(last > first for _, first, last in groups)
    kinds = tuple(one.kind for one in spans)
    text = _replaced(clip.text, spans)
    words = _words(clip, spans, ranges, groups) if placed and ranges is not None else ()
    changed = dataclasses.replace(
        clip, text=text, words=words, times=clip.times if words else "none"
    )
    if muting is None or clip.audio is None:
        return changed, Mask(kinds, ())
    if placed and clip.times == "measured":
        return changed, Mask(kinds, tuple(_mutes(clip, groups, muting.margin)))
    if muting.unmeasured == "drop":
        return None
    if muting.unmeasured == "clip":
        return changed, Mask(kinds, (Mute(start=clip.audio.start, end=clip.audio.end),))
    told = {"measured": "they cannot be found in its text", "none": "it has none"}
    raise MaskError(
        f"mask: clip {clip.id} of recording {clip.recording} "
        f"({clip.start:.3f}-{clip.end:.3f} s) holds personal data ({', '.join(kinds)}), and its "
        f"sound cannot be muted word by word: word times are needed that were measured, and "
        f"{told.get(clip.times, 'its times are only estimated')}. Add the step `align` or an "
        "engine of `transcribe` that measures word times; or set `unmeasured: drop` (such clips "
        "leave), `unmeasured: clip` (they fall silent as a whole) or `mute: false` (text only)"
    )


def _replaced(text: str, spans: Sequence[Found], low: int = 0, high: int | None = None) -> str:
    """Characters [low, high) of a text, with placeholders for the spans inside them."""
    pieces, at = [], low
    high = len(text) if high is None else high
    for one in spans:
        if one.end <= low or one.start >= high:
            continue
        pieces += [text[at : one.start], placeholder(one.kind)]
        at = one.end
    return "".join([*pieces, text[at:high]])


def _groups(
    spans: Sequence[Found], ranges: Sequence[tuple[int, int]]
) -> Iterator[tuple[tuple[Found, ...], int, int]]:
    """Spans with the words [first, last) that they touch; spans that share a word go together."""
    taken: list[Found] = []
    first = last = 0
    for one in spans:
        low, high = _touched(one, ranges, first)
        if taken and low < last:
            taken.append(one)
            last = max(last, high)
            continue
        if taken:
            yield tuple(taken), first, last
        taken, first, last = [one], low, high
    if taken:
        yield tuple(taken), first, last


def _touched(one: Found, ranges: Sequence[tuple[int, int]], at: int) -> tuple[int, int]:
    low = next((n for n in range(at, len(ranges)) if ranges[n][1] > one.start), len(ranges))
    high = next((n for n in range(low, len(ranges)) if ranges[n][0] >= one.end), len(ranges))
    return low, high


def _words(
    clip: Clip,
    spans: Sequence[Found],
    ranges: Sequence[tuple[int, int]],
    groups: Sequence[tuple[tuple[Found, ...], int, int]],
) -> tuple[Word, ...]:
    """The words, those of personal data as one that holds its placeholder."""
    found: list[Word] = []
    at = 0
    for _, first, last in groups:
        found += clip.words[at:first]
        inside = clip.words[first:last]
        found.append(
            Word(
                text=_replaced(clip.text, spans, ranges[first][0], ranges[last - 1][1]),
                start=min(word.start for word in inside),
                end=max(word.end for word in inside),
            )
        )
        at = last
    return (*found, *clip.words[at:])


def _mutes(
    clip: Clip, groups: Sequence[tuple[tuple[Found, ...], int, int]], margin: float
) -> Iterator[Mute]:
    """Ranges of the FLAC that holds the clip, a margin around the words."""
    if clip.audio is None:
        return
    begin, wide = frames(clip.start, clip.rate), frames(margin, clip.rate)
    for _, first, last in groups:
        inside = clip.words[first:last]
        low = min(frames(word.start, clip.rate) for word in inside) - begin - wide
        high = max(frames(word.end, clip.rate) for word in inside) - begin + wide
        start = min(max(clip.audio.start + low, clip.audio.start), clip.audio.end)
        end = min(max(clip.audio.start + high, start), clip.audio.end)
        if start < end:
            yield Mute(start=start, end=end)


Masks = Mapping[str, Mask]
