"""From the kept clips of one task to documents: order, borders and the document's time line.

Kept speech is laid end to end, so a document has a time line of its own; what was left out before
each chunk is recorded as its gap, so that the place of every chunk in the recording, relative to
the first, can be computed again. Channels of a call are interleaved in the order in which their
clips begin, as the turns of a conversation are read; where two channels speak at once their clips
still follow one another, and the gap of the later is negative by the overlap.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from schemas.records import Chunk, Clip, Document, Drop, Word, document_id, frames, muted_seconds
from transforms.compose.masking import Mask, Masks

STEP = "interleave"
_PARAGRAPH = re.compile(r".+?(?:\n\s*\n\s*|\Z)", re.DOTALL)
_NO_MASK = Mask((), ())
QUALITIES = ("given", "normal", "smoke")  # best first; an unknown one counts as the worst


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a document says of itself that its clips do not know."""

    stream: str
    split: str
    licence: str
    source: str  # uri
    topic: str = ""  # where no clip has one
    topics: Mapping[str, str] = dataclasses.field(default_factory=dict)  # clip id -> topic
    language: str = ""  # where no clip has one
    seed: int = 0  # of the recipe: for a materialised interleaving
    masks: Masks = dataclasses.field(default_factory=dict)  # of the clips that hold personal data
    pages: bool = False  # clips are pages, or were spoken from them: each script a document


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Borders:
    """Where a document ends."""

    max_seconds: float
    on_drop: Literal["end", "gap"]
    max_gap: float | None
    min_chunks: int


def build(
    clips: Sequence[Clip], kept: AbstractSet[str], about: About, borders: Borders
) -> Iterator[Document | Drop]:
    """The documents of one task, each kept clip in exactly one of them or dropped with a reason.

    `clips` are all clips of the task, the dropped ones too: they show where a document breaks.
    Reasons: `no_text`, `longer_than_document`, `too_few_chunks`.
    """
    several = len({clip.channel for clip in clips}) > 1
    found: list[Clip] = []
    flags: list[bool] = []
    broken = False
    for clip in sorted(clips, key=_by_script if about.pages else _by_time):
        if clip.id not in kept:
            broken = True
            continue
        reason = _unfit(clip, borders.max_seconds)
        if reason is not None:
            yield _drop(clip, reason, borders)
            broken = True
            continue
        other = about.pages and bool(found) and clip.channel != found[-1].channel
        if found and (other or _ends(found, clip, broken, borders)):
            yield from _close(found, flags, about, borders, several)
            found, flags = [], []
        flags.append(broken and bool(found))
        found.append(clip)
        broken = False
    if found:
        yield from _close(found, flags, about, borders, several)


def _by_time(clip: Clip) -> tuple[object, ...]:
    return clip.start, clip.channel, clip.end, clip.id


def _by_script(clip: Clip) -> tuple[object, ...]:
    """Script by script; text that takes no time stands where its place says."""
    return clip.channel, clip.index


def _unfit(clip: Clip, max_seconds: float) -> str | None:
    if not clip.text.strip():
        return "no_text"
    return "longer_than_document" if clip.seconds > max_seconds else None


def _ends(found: Sequence[Clip], clip: Clip, broken: bool, borders: Borders) -> bool:
    """Whether the document so far ends before `clip`."""
    length = sum(_length(one) for one in found) + _length(clip)
    return (
        length > borders.max_seconds * clip.rate
        or (broken and borders.on_drop == "end")
        or (borders.max_gap is not None and clip.start - found[-1].end > borders.max_gap)
    )


def _length(clip: Clip) -> int:
    return frames(clip.end, clip.rate) - frames(clip.start, clip.rate)


def _drop(clip: Clip, reason: str, borders: Borders) -> Drop:
    score, threshold = None, None
    if reason == "longer_than_document":
        score, threshold = clip.seconds, borders.max_seconds
    return Drop(
        id=clip.id,
        root=clip.task,
        step=STEP,
        reason=reason,
        seconds=clip.seconds,
        score=score,
        threshold=threshold,
    )


def drop_document(document: Document, clips: Sequence[Clip], code: str, why: str) -> Iterator[Drop]:
    """The drops of all clips of a document that cannot be written."""
    ids = {chunk.clip for chunk in document.chunks}
    for clip in clips:
        if clip.id in ids:
            yield Drop(
                id=clip.id, root=clip.task, step=STEP, reason=code, seconds=clip.seconds, detail=why
            )


def _close(
    found: Sequence[Clip],
    flags: Sequence[bool],
    about: About,
    borders: Borders,
    several: bool,
) -> Iterator[Document | Drop]:
    if len(found) < borders.min_chunks:
        for clip in found:
            yield dataclasses.replace(
                _drop(clip, "too_few_chunks", borders),
                score=float(len(found)),
                threshold=float(borders.min_chunks),
            )
        return
    rates = {clip.rate for clip in found}
    if len(rates) > 1:
        raise ValueError(f"clips of task {found[0].task} have several rates: {sorted(rates)}")
    yield Document(
        id=document_id(about.stream, tuple(clip.id for clip in found)),
        stream=about.stream,
        split=about.split,
        recording=found[0].recording,
        language=_language(found, about.language),
        topic=_topic(found, about.topics, about.topic),
        licence=about.licence,
        source=about.source,
        rate=found[0].rate,
        quality=max((clip.quality for clip in found), key=_worse),
        chunks=tuple(_chunks(found, flags, several, about.masks)),
    )


def _worse(quality: str) -> tuple[int, str]:
    place = QUALITIES.index(quality) if quality in QUALITIES else len(QUALITIES)
    return place, quality


def _language(found: Sequence[Clip], default: str) -> str:
    """The language of the most frames; ties go to the first in the alphabet."""
    count: Counter[str] = Counter()
    for clip in found:
        if clip.language:
            count[clip.language] += _length(clip)
    return min(count, key=lambda code: (-count[code], code), default=default)


def _topic(found: Sequence[Clip], topics: Mapping[str, str], default: str) -> str:
    """The topic of the most frames; ties go to the first in the alphabet."""
    count: Counter[str] = Counter()
    for clip in found:
        if clip.id in topics:
            count[topics[clip.id]] += _length(clip)
    return min(count, key=lambda name: (-count[name], name), default=default)


def _chunks(
    found: Sequence[Clip], flags: Sequence[bool], several: bool, masks: Masks
) -> Iterator[Chunk]:
    at = 0  # frames of the document
    end: int | None = None  # frames of the recording
    for clip, after_drop in zip(found, flags, strict=True):
        first, length = frames(clip.start, clip.rate), _length(clip)
        mask = masks.get(clip.id, _NO_MASK)
        if clip.audio is None and not length:
            yield from _texts(clip, at / clip.rate, after_drop, mask)
            continue
        if clip.audio is None or clip.audio.end - clip.audio.start != length:
            raise ValueError(f"clip {clip.id} of {length} frames has audio {clip.audio}")
        yield Chunk(
            clip=clip.id,
            start=at / clip.rate,
            end=(at + length) / clip.rate,
            text=clip.text,
            speaker=_speaker(clip, several),
            words=tuple(_shifted(word, clip, at, length) for word in clip.words),
            times=clip.times if clip.words else "none",
            audio=clip.audio,
            gap=0.0 if end is None else (first - end) / clip.rate,
            after_drop=after_drop,
            masked=",".join(mask.kinds),
            muted=muted_seconds(clip.audio, mask.mutes),
            mutes=mask.mutes,
        )
        at, end = at + length, first + length


def _texts(clip: Clip, at: float, after_drop: bool, mask: Mask) -> Iterator[Chunk]:
    """What is not spoken, paragraph by paragraph: a reader may end a piece between two chunks."""
    for text in paragraphs(clip.text):
        yield Chunk(
            clip=clip.id,
            start=at,
            end=at,
            text=text,
            speaker=clip.speaker,
            after_drop=after_drop,
            modality="text",
            masked=",".join(mask.kinds),
        )
        after_drop = False


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, each with the blank lines behind it: together they are the text."""
    return [found for found in _PARAGRAPH.findall(text) if found]


def _speaker(clip: Clip, several: bool) -> str:
    """Labels are local to a channel, so a document of several channels tells them apart."""
    return (
        f"ch{clip.channel}:{clip.speaker}" if several and not clip.speaker_given else clip.speaker
    )


def _shifted(word: Word, clip: Clip, at: int, length: int) -> Word:
    """A word on the document's time line, held inside its chunk."""
    first = frames(clip.start, clip.rate)
    start, end = (
        at + min(max(frames(time, clip.rate) - first, 0), length) for time in (word.start, word.end)
    )
    return dataclasses.replace(word, start=start / clip.rate, end=end / clip.rate)
