"""Give each clip its text: the first engine of a list that answers decides.

Engines are asked in the order of the recipe; every answer is kept in `Clip.transcripts`, the
first one also becomes the clip's text, words and quality. A text that was given for a recording
is dealt to its clips by `deal` and never topped up by a recognizer: a clip that is left without a
word has no text. A clip without text leaves as a drop.

Samples reach an engine at the rate it wants, one clip at a time: no batches yet, so nothing can
depend on a neighbour.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pydantic

from schemas.records import Clip, Drop, Task, Transcript, Word, frames
from transforms.engines import recognizer
from transforms.step import Pcm16, Phase, RecordStep, Scope


class Transcribe(RecordStep):
    """Say what was said in each clip."""

    phase: ClassVar[Phase] = "annotate"
    reasons: ClassVar[dict[str, str]] = {
        "no_text": "No engine had words for the clip: none were given, none were heard.",
    }

    engines: tuple[str, ...] = pydantic.Field(
        default=("given", "pocketsphinx"),
        min_length=1,
        strict=False,  # a YAML list is a list; its items stay strict
        description="Recognizers, asked in this order until one answers (names; a text that was "
        "given is better than one that was heard)",
    )
    all_engines: bool = pydantic.Field(
        default=False,
        description="Ask every engine and keep all answers; the first still decides (flag; costs "
        "every engine's time)",
    )
    language: str | None = pydantic.Field(
        default=None,
        pattern=r"^[a-z]{2,3}$",
        description="Language of recordings for which none is given (ISO 639-1; off: unknown)",
    )

    @pydantic.field_validator("engines")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            recognizer.parse(name)
        if len(set(names)) < len(names):
            raise ValueError(f"an engine is named twice: {', '.join(names)}")
        return names

    def fingerprint(self) -> Any:
        return {name: recognizer.fingerprint(name) for name in self.engines}

    def load(self) -> tuple[recognizer.Recognizer, ...]:
        return tuple(recognizer.load(name) for name in self.engines)

    def __call__(
        self,
        records: Sequence[Clip],
        model: tuple[recognizer.Recognizer, ...],
        scope: Scope,
    ) -> Iterator[Clip | Drop]:
        task = scope.root if isinstance(scope.root, Task) else None
        text = task.text if task is not None else None
        language = (task.language if task is not None else None) or self.language
        in_time = sorted(records, key=lambda clip: (clip.start, clip.end, clip.channel, clip.id))
        shares: dict[str, str] = {}
        if text is not None and text.strip():
            dealt = recognizer.deal(text, [clip.seconds for clip in in_time]) if in_time else []
            shares = {clip.id: share for clip, share in zip(in_time, dealt, strict=True)}
        for clip in records:
            given = recognizer.Given(text=shares.get(clip.id), language=language or clip.language)
            yield self._transcribed(clip, given, model, scope)

    def _transcribed(
        self,
        clip: Clip,
        given: recognizer.Given,
        model: tuple[recognizer.Recognizer, ...],
        scope: Scope,
    ) -> Clip | Drop:
        pcm = scope.samples().read(
            clip.channel, frames(clip.start, clip.rate), frames(clip.end, clip.rate)
        )
        answers: list[Transcript] = []
        chosen: Transcript | None = None
        closed = False
        for engine in model:
            if (chosen is not None or closed) and not self.all_engines:
                break
            answer = _asked(engine, pcm, clip, given)
            if answer is not None:
                answers.append(answer)
                if not closed:
                    chosen = chosen or answer
            # A text was given for the recording: what it does not cover is not ours to add.
            closed = closed or (engine.quality == "given" and given.text is not None)
        if chosen is None:
            return self._drop(clip, given)
        return dataclasses.replace(
            clip,
            text=chosen.text,
            quality=chosen.quality,
            language=given.language,
            times=chosen.times,
            words=chosen.words,
            transcripts=tuple(answers),
            pcm_sha256=hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest(),
        )

    def _drop(self, clip: Clip, given: recognizer.Given) -> Drop:
        why = (
            "the given text has no words left for this clip"
            if given.text == ""
            else f"asked {', '.join(self.engines)}; language {given.language or 'unknown'}"
        )
        return Drop(
            id=clip.id,
            root=clip.task,
            step=self.name(),
            reason="no_text",
            seconds=clip.seconds,
            detail=f"channel {clip.channel}, {clip.start:.2f}-{clip.end:.2f} s: {why}",
        )


def _asked(
    engine: recognizer.Recognizer, pcm: Pcm16, clip: Clip, given: recognizer.Given
) -> Transcript | None:
    """An engine's answer with its words' times moved to the recording, on the sample grid."""
    if engine.rate is None or engine.rate == clip.rate:
        answer = engine.transcribe(pcm, clip.rate, given)
    else:
        answer = engine.transcribe(_resampled(pcm, clip.rate, engine.rate), engine.rate, given)
    if answer is None:
        return None
    # Resampling rounds the length: allow one frame of the slower rate.
    slack = 1 / min(clip.rate, engine.rate or clip.rate)
    if faults := recognizer.violations(answer, clip.seconds + slack):
        raise ValueError(f"engine {engine.name} broke its contract on clip {clip.id}: {faults}")
    words = tuple(_placed(word, clip) for word in answer.words)
    return dataclasses.replace(answer, words=words)


def _placed(word: Word, clip: Clip) -> Word:
    first, last = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
    start, end = (
        min(first + frames(time, clip.rate), last) / clip.rate for time in (word.start, word.end)
    )
    return dataclasses.replace(word, start=start, end=end)


def _resampled(pcm: Pcm16, rate: int, wanted: int) -> Pcm16:
    import soxr

    out = soxr.resample(pcm.astype(np.float32), rate, wanted, quality="HQ")
    pcm16: Pcm16 = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return pcm16
