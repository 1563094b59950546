"""Cut a clip between words into smaller clips, so that every frame and every character stays.

Sound is cut in the middle of the pause between two words (`schemas.words.word_borders`, as the
policies do), text where its caller says or between the marks of two words. Other engines' answers
are cut at the same moments: a word belongs where its middle lies.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence

from schemas.records import Chunk, Clip, Transcript, Word, clip_id, frames
from schemas.words import Span, word_borders, word_ranges
from transforms.annotate.lattice import around
from transforms.engines.dealing import deal
from transforms.step import Audio


def borders_of(clip: Clip) -> tuple[int, ...]:
    """The frame of the recording at which each word's stretch begins, and the clip's last."""
    whole = Chunk(
        clip=clip.id,
        start=clip.start,
        end=clip.end,
        text=clip.text,
        speaker=clip.speaker,
        words=clip.words,
    )
    return word_borders(whole, clip.rate)


def character_before(text: str, ranges: Sequence[Span], place: int) -> int:
    """Where to cut a text before its word `place`: marks stay with the word that they touch."""
    start = ranges[place][0]
    return start - len(around(text[ranges[place - 1][1] : start], "left")[2])


def cut(
    clip: Clip, places: Sequence[int], characters: Sequence[int], audio: Audio
) -> Iterator[Clip]:
    """The clips that begin at the first word and at each of `places`, in order.

    `places` are numbers of words, ascending, from 1; `characters` are where the text is cut before
    each of them. Texts lose the blanks at their ends. What is known of the clip as a whole
    (disagreement, language) holds for each part; its overlapped speech is shared by duration.
    """
    borders = borders_of(clip)
    edges = [borders[place] for place in (0, *places)] + [borders[-1]]
    words = [
        clip.words[first:last] for first, last in itertools.pairwise((0, *places, len(clip.words)))
    ]
    texts = [
        clip.text[first:last].strip()
        for first, last in itertools.pairwise((0, *characters, len(clip.text)))
    ]
    answers = [_dealt(answer, clip, words, texts, edges) for answer in clip.transcripts]
    total = edges[-1] - edges[0]
    for part, (start, end) in enumerate(itertools.pairwise(edges)):
        samples = audio.read(clip.channel, start, end)
        begin, stop = start / clip.rate, end / clip.rate
        yield dataclasses.replace(
            clip,
            id=clip_id(clip.task, clip.channel, start, end, clip.rate, clip.speaker),
            start=begin,
            end=stop,
            text=texts[part],
            words=_inside(words[part], begin, stop),
            transcripts=tuple(
                dataclasses.replace(answer, text=text, words=_inside(own, begin, stop))
                for answer, share in zip(clip.transcripts, answers, strict=True)
                for text, own in [share[part]]
                if text
            ),
            overlap_seconds=clip.overlap_seconds * (end - start) / total,
            audio=clip.audio.cut(start - edges[0], end - edges[0]) if clip.audio else None,
            pcm_sha256=hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest(),
        )


def _inside(words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
    """Words that overlap their neighbour across a cut end at the cut."""
    return tuple(
        dataclasses.replace(
            word, start=min(max(word.start, start), end), end=min(max(word.end, start), end)
        )
        for word in words
    )


def _dealt(
    answer: Transcript,
    clip: Clip,
    words: Sequence[tuple[Word, ...]],
    texts: Sequence[str],
    edges: Sequence[int],
) -> list[tuple[str, tuple[Word, ...]]]:
    """An engine's text and words for each part; "" where it has none there."""
    if answer.text == clip.text and answer.words in ((), clip.words):
        return [(text, own if answer.words else ()) for text, own in zip(texts, words, strict=True)]
    if not answer.words:  # a text without times: by duration, as a given one is dealt
        shares = deal(answer.text, [(b - a) / clip.rate for a, b in itertools.pairwise(edges)])
        return [(share, ()) for share in shares]
    ends = [0] * (len(edges) - 1)  # how many words lie before the end of each part
    for place, word in enumerate(answer.words):
        middle = frames((word.start + word.end) / 2, clip.rate)
        part = sum(middle >= edge for edge in edges[1:-1])
        for later in range(part, len(ends)):  # words stay in order, whatever their times claim
            ends[later] = max(ends[later], place + 1)
    runs = list(itertools.pairwise([0, *ends[:-1], len(answer.words)]))
    ranges = word_ranges(answer.text, answer.words)
    if ranges is None:
        return [
            (" ".join(word.text.strip() for word in answer.words[a:b]), answer.words[a:b])
            for a, b in runs
        ]
    known = ranges

    def character(place: int) -> int:
        if place in (0, len(known)):
            return len(answer.text) if place else 0
        return character_before(answer.text, known, place)

    return [
        (answer.text[character(a) : character(b)].strip() if b > a else "", answer.words[a:b])
        for a, b in runs
    ]
