"""Hear again what was spoken: a recognizer's round trip, on all clips or on a share of them.

A clip that is misheard, or too fast or too slow for its text, is spoken once more in another voice
at its normal speed and pitch, and heard once more; if that fails too, it is dropped with the score.
Speaking again is `Speak`'s own work: the recipe hands this step the `speak` of its stream
(`beside`), so engine, voices and loudness are the same and stand in one place.

Word error rates mean little by themselves: they belong to a pair of a voice and a recognizer
(docs/speaking.md has those of the offline ones). So a limit may be given per voice. The channel is
laid anew where a clip was replaced or dropped: later clips move, and keep their ids.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pydantic

from schemas.ids import digest_of, fraction
from schemas.records import Clip, Drop, Transcript, Word, frames
from transforms.engines import normalizer, recognizer
from transforms.engines.synthesizer import Manner, language_of
from transforms.engines.whisper import WhisperSettings
from transforms.spool import FileSpool
from transforms.step import Audio, Pcm16, Phase, RecordStep, Scope, Step
from transforms.synthesize.casting import Part, Stage
from transforms.synthesize.round_trip import (
    SIGNS,
    Fault,
    limit_of,
    misheard,
    too_fast_or_slow,
    word_error_rate,
)
from transforms.synthesize.speak import Range, Speak
from transforms.synthesize.spoken_clips import moved, speaker_of, with_take
from transforms.synthesize.takes import Refusal

_BLOCK = 1 << 20  # frames copied at once
_SEEDS = 31  # bits
NORMAL = Manner()


@dataclasses.dataclass(frozen=True)
class Listening:
    """What `Verify` works with."""

    recognizer: recognizer.Recognizer
    stage: Stage | None  # None: nothing is spoken again

    def close(self) -> None:
        if self.stage is not None:
            self.stage.close()


class Verify(RecordStep):
    """Spoken clips to the same clips, replaced where they failed, or dropped."""

    phase: ClassVar[Phase] = "synthesize"
    makes_audio: ClassVar[bool] = True
    unkeyed: ClassVar[frozenset[str]] = frozenset({"speaking"})  # the fingerprint has it
    reasons: ClassVar[dict[str, str]] = {
        "misheard": "A recognizer heard other words than were to be said, in two voices.",
        "pace": "Too fast or too slow for its text, in two voices.",
        "oom": "The recognizer's accelerator had no room for the clip, twice.",
        "scratch_full": "The page's speech would outgrow the scratch space of one page.",
    }

    engine: str = pydantic.Field(
        "pocketsphinx", description="Recognizer that listens (name; see transcribe)"
    )
    share: float = pydantic.Field(
        1.0, ge=0, le=1, description="Clips that are heard, drawn by their ids (share)"
    )
    max_wer: float | None = pydantic.Field(
        0.95,
        ge=0,
        description="Most words that are heard wrongly (word error rate; ours: pocketsphinx hears "
        "espeak-ng at 0.85 and flite at 0.17; off: any)",
    )
    max_wer_by_voice: dict[str, float] = pydantic.Field(
        default={"flite/*": 0.6},
        description="The same for some voices (rate by pattern of engine/voice; ours)",
    )
    pace: Range | None = pydantic.Field(
        (0.02, 0.3),
        strict=False,
        description="Fewest and most seconds per letter, of all clips; a Chinese sign counts as "
        "four, a kana as two, a Hangul one as three (seconds; ours: read English takes 0.06 to "
        "0.1; off: any)",
    )
    retake: bool = pydantic.Field(
        True, description="Speak what fails once more, in another voice (flag)"
    )
    speaking: Speak | None = pydantic.Field(
        None, description="How it is spoken again (settings; off: by the stream's own speak)"
    )
    whisper: WhisperSettings = pydantic.Field(
        default=WhisperSettings(), description="How faster-whisper decodes, where it listens"
    )

    @pydantic.field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        if recognizer.parse(name)[0] is recognizer.GivenText:
            raise ValueError("given hears nothing: name a recognizer")
        return name

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.pace is not None and not 0 <= self.pace[0] < self.pace[1]:
            raise ValueError(f"pace is {list(self.pace)}: from a lower to a higher value")
        if any(rate < 0 for rate in self.max_wer_by_voice.values()):
            raise ValueError("a word error rate is 0 or more")
        return self

    def beside(self, before: Sequence[Step]) -> Self:
        if self.speaking is not None or not self.retake:
            return self
        speaking = next((step for step in before if isinstance(step, Speak)), None)
        return self.model_copy(update={"speaking": speaking})

    def fingerprint(self) -> Any:
        return {
            "recognizer": recognizer.fingerprint(self.engine, self._settings()),
            "normalizer": normalizer.fingerprint(),
            "signs": digest_of(SIGNS),
            "speaking": None if self.speaking is None else _key(self.speaking),
        }

    def _settings(self) -> pydantic.BaseModel | None:
        return self.whisper if self.engine.startswith("faster-whisper/") else None

    def load(self) -> Listening:
        stage = self.speaking.load() if self.retake and self.speaking is not None else None
        return Listening(recognizer.load(self.engine, self._settings()), stage)

    def __call__(
        self, records: Sequence[Clip], model: Listening, scope: Scope
    ) -> Iterator[Clip | Drop]:
        if not isinstance(scope.sink, FileSpool):
            raise ValueError(f"verify needs a spool in the scope of {scope.root.id}")
        heard = self._heard(records, model, scope.samples(), scope.seed)
        judged = {clip.id: self._judged(clip, heard) for clip in records if clip.seconds}
        if not any(judged.values()):
            yield from (_with_answer(clip, heard.get(clip.id)) for clip in records)
            return
        voices = frozenset(clip.speaker for clip in records if clip.speaker)
        with scope.sink.relaid() as fresh:
            at: dict[int, int] = {}
            for clip in records:
                place = at.get(clip.channel, 0)
                fault = judged.get(clip.id)
                if fault is None:
                    kept = moved(_with_answer(clip, heard.get(clip.id)), place)
                    _copy(clip, scope.samples(), fresh)
                else:
                    made = self._again(clip, fault, model, scope, voices, place)
                    if isinstance(made, Drop):
                        yield made
                        continue
                    kept, pcm = made
                    fresh.append(clip.channel, pcm)
                at[clip.channel] = frames(kept.end, kept.rate)
                yield kept

    def _heard(
        self, records: Sequence[Clip], model: Listening, audio: Audio, seed: int
    ) -> dict[str, recognizer.Answer]:
        """The answers for the clips that are drawn, by id."""
        drawn = [
            clip
            for clip in sorted(records, key=lambda clip: (clip.channel, clip.start, clip.index))
            if clip.seconds
            and model.recognizer.speaks(clip.language)
            and fraction(seed, self.name(), clip.id) < self.share
        ]
        if not drawn:
            return {}
        rate = model.recognizer.rate or drawn[0].rate
        given = [recognizer.Given(language=clip.language) for clip in drawn]
        answers = model.recognizer.transcribe_all(_Sounds(audio, drawn, rate), rate, given)
        return {clip.id: answer for clip, answer in zip(drawn, answers, strict=True)}

    def _judged(self, clip: Clip, heard: Mapping[str, recognizer.Answer]) -> Fault | None:
        """What is wrong with a clip."""
        if fault := too_fast_or_slow(clip, self.pace):
            return fault
        if clip.id not in heard:
            return None
        answer = heard[clip.id]
        if isinstance(answer, recognizer.Unanswered):
            return Fault(reason=answer.reason, detail=answer.detail, final=True)
        limit = limit_of(clip.speaker, self.max_wer_by_voice, self.max_wer)
        return misheard(clip, answer, limit)

    def _again(
        self,
        clip: Clip,
        fault: Fault,
        model: Listening,
        scope: Scope,
        voices: frozenset[str],
        place: int,
    ) -> tuple[Clip, Pcm16] | Drop:
        """A failed clip in another voice, from frame `place` on, with its samples; or its end."""
        part = None if fault.final else self._other_part(clip, model.stage, scope, voices)
        if part is None or model.stage is None or self.speaking is None:
            return self._drop(clip, fault, scope)
        rng = scope.rng(f"{self.name()}:again", clip.id)
        seed, pause = rng.getrandbits(_SEEDS), rng.uniform(*self.speaking.pause)
        said = clip.transcripts[0].text if clip.transcripts else clip.text
        with model.stage.engine.begin(seed) as reading:
            made = self.speaking.taken(reading, clip.text, said, part, pause)
        if isinstance(made, Refusal):
            detail = f"{fault.detail}; as {part.voice.name}: {made.detail}"
            return self._drop(clip, dataclasses.replace(fault, detail=detail), scope)
        again = with_take(clip, made, part, model.stage.engine, seed, place)
        answer: recognizer.Answer | None = None
        heard = {}
        if self.max_wer is not None and model.recognizer.speaks(clip.language):
            rate = model.recognizer.rate or clip.rate
            given = [recognizer.Given(language=clip.language)]
            sound = made.pcm if rate == clip.rate else _resampled(made.pcm, clip.rate, rate)
            (answer,) = model.recognizer.transcribe_all([sound], rate, given)
            heard = {clip.id: answer}
        second = self._judged(again, heard)
        if second is not None:
            detail = f"{fault.detail}; then {second.detail}"
            return self._drop(clip, dataclasses.replace(second, detail=detail), scope)
        return _with_answer(again, answer), made.pcm

    def _other_part(
        self, clip: Clip, stage: Stage | None, scope: Scope, voices: frozenset[str]
    ) -> Part | None:
        """Another voice at its normal speed and pitch: one that the page has not, where there is
        one left."""
        if stage is None or self.speaking is None:
            return None
        language = _language(clip, self.speaking)
        taken = frozenset(
            voice.name
            for voice in stage.ensemble.of(language)
            if speaker_of(stage.engine, Part(voice=voice, manner=NORMAL)) in voices
        )
        own = clip.speaker.partition("/")[2]
        rng = scope.rng(f"{self.name()}:voice", clip.id)
        for avoided in (taken, frozenset([own])):
            part = stage.ensemble.draw(language, rng, avoided)
            if part is not None:
                return dataclasses.replace(part, manner=NORMAL)
        return None

    def _drop(self, clip: Clip, fault: Fault, scope: Scope) -> Drop:
        return Drop(
            id=clip.id,
            root=scope.root.id,
            step=self.name(),
            reason=fault.reason,
            seconds=clip.seconds,
            score=fault.score,
            threshold=fault.threshold,
            detail=fault.detail,
        )


def _key(speaking: Speak) -> list[Any]:
    """What of the step that speaks again changes results."""
    settings = speaking.model_dump(mode="json", exclude=set(speaking.unkeyed))
    return [settings, speaking.fingerprint()]


def _with_answer(clip: Clip, answer: recognizer.Answer | None) -> Clip:
    """A clip with what was heard of it: a second transcript, and its word error rate."""
    if answer is None or isinstance(answer, recognizer.Unanswered):
        return clip
    first = frames(clip.start, clip.rate)
    last = frames(clip.end, clip.rate)

    def placed(word: Word) -> Word:
        start, end = (
            min(first + frames(time, clip.rate), last) / clip.rate
            for time in (word.start, word.end)
        )
        return dataclasses.replace(word, start=start, end=end)

    words = tuple(placed(word) for word in answer.words)
    heard: Transcript = dataclasses.replace(answer, words=words)
    return dataclasses.replace(
        clip,
        transcripts=(*clip.transcripts[:1], heard),
        disagreement=word_error_rate(clip, answer.text),
    )


def _language(clip: Clip, speaking: Speak) -> str:
    """The language that a clip is said in."""
    return language_of(clip.language or speaking.language or "")


def _copy(clip: Clip, audio: Audio, sink: FileSpool) -> None:
    """A clip's samples to the end of its channel, in blocks."""
    at, last = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
    while at < last:
        until = min(at + _BLOCK, last)
        sink.append(clip.channel, audio.read(clip.channel, at, until))
        at = until


class _Sounds(Sequence[Pcm16]):
    """The samples of some clips at one rate, each read when it is asked for."""

    def __init__(self, audio: Audio, clips: Sequence[Clip], rate: int) -> None:
        self._audio, self._clips, self._rate = audio, clips, rate

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, place: Any) -> Any:
        clip = self._clips[place]
        first, last = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
        pcm = self._audio.read(clip.channel, first, last)
        return pcm if self._rate == clip.rate else _resampled(pcm, clip.rate, self._rate)


def _resampled(pcm: Pcm16, rate: int, wanted: int) -> Pcm16:
    import soxr

    out = soxr.resample(pcm.astype(np.float32), rate, wanted, quality="HQ")
    pcm16: Pcm16 = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return pcm16
