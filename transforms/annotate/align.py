"""Say when the words of a known text were spoken: forced alignment with a local CTC model.

A text that was given for a recording has been dealt to its clips by their durations (`transcribe`),
an estimate that is wrong wherever somebody pauses or hurries. With a model the whole text is laid
over the speech of all its clips at once and dealt anew: each word goes to the clip in which it was
said. Texts that were heard, but without measured times, are laid over their own clip.

Nothing is believed blindly: a text whose letters are unlikely at their best place, or of which
less than half the words can be spelt in the model's letters, stays as it was, its times marked
`estimated`. Words without any known letter (figures, another script) are placed between their
neighbours, get no confidence, and leave their clip's times `estimated`.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic

from schemas.records import Clip, Drop, Task, TimesOrigin, Word, frames
from schemas.words import Span, word_ranges
from transforms.engines import aligner, ctc_model
from transforms.engines.dealing import spread
from transforms.step import Pcm16, Phase, RecordStep, Scope

LEAST_SPELT = 0.5  # of a text's words must have letters that the model knows (ours)


@dataclasses.dataclass(frozen=True, slots=True)
class _Said:
    """A word of a text, and where it was found: a clip, and frames of the recording."""

    word: Word
    clip: int
    span: Span | None  # None: it has no place of its own


class Align(RecordStep):
    """Measure the times of words whose times are estimated."""

    phase: ClassVar[Phase] = "annotate"
    reasons: ClassVar[dict[str, str]] = {
        "no_words_here": "By the alignment, none of the given text was said in the clip.",
    }

    model: str | None = pydantic.Field(
        default=None,
        min_length=1,
        description="Folder of a CTC model as transformers saves a Wav2Vec2ForCTC (path; off: "
        "times stay estimated)",
    )
    min_confidence: float = pydantic.Field(
        default=0.3,
        ge=0,
        le=1,
        description="A text that is less likely, by the frame, was not what was said: it stays as "
        "it was (geometric mean probability, 0 to 1; ours)",
    )
    device: Literal["cpu", "cuda"] = pydantic.Field(
        default="cpu", description="What the model runs on (name; ours: results are the same bits)"
    )

    def fingerprint(self) -> Any:
        return None if self.model is None else {"model": ctc_model.digest(self.model)}

    def load(self) -> ctc_model.CtcModel | None:
        return None if self.model is None else ctc_model.load(self.model, self.device)

    def __call__(
        self, records: Sequence[Clip], model: ctc_model.CtcModel | None, scope: Scope
    ) -> Iterator[Clip | Drop]:
        if model is None:
            yield from records
            return
        done: dict[str, Clip | Drop] = {}
        for clips, text in _texts(records, scope):
            done |= {clip.id: new for clip, new in self._aligned(clips, text, model, scope)}
        yield from (done.get(clip.id, clip) for clip in records)

    def _aligned(
        self, clips: Sequence[Clip], text: str, model: ctc_model.CtcModel, scope: Scope
    ) -> Iterator[tuple[Clip, Clip | Drop]]:
        """Each clip with what it becomes; nothing where the text could not be laid."""
        words = spread(text, 1.0)
        said = _said(clips, words, model, scope, self.min_confidence)
        ranges = word_ranges(text, words)
        if said is None or ranges is None:
            return
        for index, clip in enumerate(clips):
            own = [place for place, one in enumerate(said) if one.clip == index]
            if not own:
                yield clip, self._silent(clip)
                continue
            share = text[ranges[own[0]][0] : ranges[own[-1]][1]] if len(clips) > 1 else text
            yield clip, _retold(clip, share, [said[place] for place in own])

    def _silent(self, clip: Clip) -> Drop:
        return Drop(
            id=clip.id,
            root=clip.task,
            step=self.name(),
            reason="no_words_here",
            seconds=clip.seconds,
            detail=f"channel {clip.channel}, {clip.start:.2f}-{clip.end:.2f} s; the text dealt to "
            "it by its length was said elsewhere",
        )


def _texts(records: Sequence[Clip], scope: Scope) -> Iterator[tuple[list[Clip], str]]:
    """Texts without measured times, with the clips that they are said in, in order of time."""
    todo = [clip for clip in records if clip.times != "measured" and clip.text.strip()]
    todo.sort(key=lambda clip: (clip.start, clip.end, clip.channel, clip.id))
    whole = scope.root.text if isinstance(scope.root, Task) else None
    given = [clip for clip in todo if whole is not None and clip.quality == "given"]
    if whole is not None and given:
        yield given, whole
    ids = {clip.id for clip in given}
    yield from (([clip], clip.text) for clip in todo if clip.id not in ids)


def _said(
    clips: Sequence[Clip],
    words: Sequence[Word],
    model: ctc_model.CtcModel,
    scope: Scope,
    least: float,
) -> list[_Said] | None:
    """Each word with its place, or None where the text is not believed to be what was said."""
    import torch

    spelt = [aligner.spelled(word.text, model.vocabulary) for word in words]
    spoken = [bool(tokens) for word, tokens in zip(words, spelt, strict=True) if _sounds(word)]
    if not any(spoken) or sum(spoken) < LEAST_SPELT * len(spoken):
        return None
    delimiter = next(
        (model.vocabulary[sign] for sign in aligner.DELIMITERS if sign in model.vocabulary), None
    )
    columns = aligner.needed(spelt, model.blank, delimiter)
    number = {token: column for column, token in enumerate(columns)}
    answers = [model.log_probabilities(_pcm(clip, model.rate, scope))[:, columns] for clip in clips]
    laid = aligner.align(
        torch.cat(answers),
        [[number[token] for token in tokens] for tokens in spelt],
        None if delimiter is None else number[delimiter],
    )
    if laid is None or laid.confidence < least:
        return None
    return _placed(clips, words, laid.words, [len(part) for part in answers], model)


def _placed(
    clips: Sequence[Clip],
    words: Sequence[Word],
    found: Sequence[aligner.Found | None],
    lengths: Sequence[int],
    model: ctc_model.CtcModel,
) -> list[_Said]:
    """Words in their clips: that of a word's middle; a word without a place stays with the one
    before it, or at the beginning with the one after."""
    ends = list(itertools.accumulate(lengths))
    said: list[_Said] = []
    clip = next(_clip_of(place, ends) for place in found if place is not None)
    for word, place in zip(words, found, strict=True):
        if place is None:
            said.append(_Said(word, clip, None))
            continue
        clip = _clip_of(place, ends)
        before = ends[clip] - lengths[clip]
        record = clips[clip]
        low, high = frames(record.start, record.rate), frames(record.end, record.rate)
        start, end = (
            low + round(model.time_of(max(frame - before, 0)) * record.rate)
            for frame in (place.first, place.end)
        )
        said.append(
            _Said(
                dataclasses.replace(word, confidence=place.confidence),
                clip,
                (min(start, high), min(max(start, end), high)),
            )
        )
    return said


def _clip_of(place: aligner.Found, ends: Sequence[int]) -> int:
    middle = (place.first + place.end) / 2
    return next(index for index, end in enumerate(ends) if middle <= end)


def _retold(clip: Clip, text: str, said: Sequence[_Said]) -> Clip:
    """The clip with its share of the text; the answer it came from is changed with it."""
    words = tuple(_timed(clip, said))
    sure = all(one.span is not None or not _sounds(one.word) for one in said)
    times: TimesOrigin = "measured" if sure else "estimated"
    return dataclasses.replace(
        clip,
        text=text,
        words=words,
        times=times,
        transcripts=tuple(
            dataclasses.replace(answer, text=text, words=words, times=times)
            if (answer.text, answer.words) == (clip.text, clip.words)
            else answer
            for answer in clip.transcripts
        ),
    )


def _timed(clip: Clip, said: Sequence[_Said]) -> Iterator[Word]:
    """Words with times. One without a place shares the pause it stands in with its like; one
    without a sound, as a dash, takes no time."""
    low, high = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
    at = low
    for index, one in enumerate(said):
        if one.span is not None:
            start, end = max(one.span[0], low), one.span[1]
        elif not _sounds(one.word):
            start = end = at
        else:
            ahead = next(
                (place for place in range(index, len(said)) if said[place].span), len(said)
            )
            sharing = sum(_sounds(other.word) for other in said[index:ahead])
            span = said[ahead].span if ahead < len(said) else None
            start, end = at, at + (max((span[0] if span else high), at) - at) // sharing
        at = max(end, at)
        yield dataclasses.replace(one.word, start=start / clip.rate, end=end / clip.rate)


def _sounds(word: Word) -> bool:
    return any(sign.isalnum() for sign in word.text)


def _pcm(clip: Clip, rate: int, scope: Scope) -> Pcm16:
    samples = scope.samples().read(
        clip.channel, frames(clip.start, clip.rate), frames(clip.end, clip.rate)
    )
    if rate == clip.rate:
        return samples
    import soxr

    out = soxr.resample(samples.astype(np.float32), clip.rate, rate, quality="HQ")
    pcm16: Pcm16 = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return pcm16
