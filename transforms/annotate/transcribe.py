"""Give each clip its text: by the first engine that answers, or by several that are combined.

Engines are asked in the order of the recipe, each about all clips of the recording at once, so that
an engine may batch them and still cannot see a neighbour. Every answer is kept in
`Clip.transcripts`. Which text a clip gets (`combine`):

- `first`: that of the first engine that answers; the others are not asked (unless `all_engines`).
- `rover`: every recognizer is asked and their words are put to the vote (`rover`).
- `cheap_first`: the next engine is asked only where the one before was `unsure`, and the last one
  asked decides, also when it heard nothing.

A text that was given for a recording is dealt to its clips by `deal` (timed text cue by cue, see
`cues`), decides in every mode and is never topped up by a recognizer: a clip that is left without
a word has no text. A clip without text
leaves as a drop. So does a clip that a device had no room for: another engine's text in its place
would make results depend on what else ran there.
"""

import dataclasses
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic

from schemas.records import Clip, Drop, Task, TimesOrigin, Transcript, Word, frames
from transforms.annotate import rover
from transforms.annotate.cues import dealt
from transforms.engines import recognizer
from transforms.engines.models import ModelError
from transforms.engines.whisper import WhisperSettings
from transforms.step import Audio, Pcm16, Phase, RecordStep, Scope

GIVEN = "given"


class Unsure(pydantic.BaseModel):
    """When `cheap_first` asks the next engine: nothing heard, or one of these. None: off."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    min_log_probability: float | None = pydantic.Field(
        default=-0.5,
        le=0,
        description="Below this, or where an engine gives none (mean log probability of a token; "
        "ours)",
    )
    max_no_speech: float | None = pydantic.Field(
        default=0.5, ge=0, le=1, description="Above this, where an engine says (probability; ours)"
    )
    max_compression_ratio: float | None = pydantic.Field(
        default=2.4,
        gt=0,
        description="Where zlib shrinks the text by more (ratio; OpenAI's limit for Whisper)",
    )

    def __call__(self, answer: Transcript | None) -> bool:
        """Whether an answer is to be doubted."""
        if answer is None:
            return True
        if self.min_log_probability is not None and (
            answer.mean_log_probability is None
            or answer.mean_log_probability < self.min_log_probability
        ):
            return True
        if (
            self.max_no_speech is not None
            and answer.no_speech_probability is not None
            and answer.no_speech_probability > self.max_no_speech
        ):
            return True
        data = answer.text.encode()
        ratio = len(data) / len(zlib.compress(data))
        return self.max_compression_ratio is not None and ratio > self.max_compression_ratio


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The text a clip gets, times from the clip's start."""

    text: str
    quality: str
    words: tuple[Word, ...]
    times: TimesOrigin


@dataclasses.dataclass
class _Hearing:
    """A clip, what is known of it, and what was answered so far."""

    clip: Clip
    given: recognizer.Given
    asked: list[str] = dataclasses.field(default_factory=list)  # recognizers, not the given text
    answers: dict[str, Transcript] = dataclasses.field(default_factory=dict)  # by engine, as asked
    first: Transcript | None = None  # the first answer that may decide
    closed: bool = False  # a text was given: what it does not cover is not ours to add
    probability: float | None = None  # of the language, where an engine found it
    failed: recognizer.Unanswered | None = None


class Transcribe(RecordStep):
    """Say what was said in each clip."""

    phase: ClassVar[Phase] = "annotate"
    reasons: ClassVar[dict[str, str]] = {
        "no_text": "No engine had words for the clip: none were given, none were heard.",
        "oom": "The accelerator had no room for the clip's batch, twice.",
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
    combine: Literal["first", "rover", "cheap_first"] = pydantic.Field(
        default="first",
        description="Whose text a clip gets: the first answer, a vote over all recognizers, or the "
        "next engine's where the one before was unsure (mode)",
    )
    unsure: Unsure = pydantic.Field(
        default=Unsure(), description="What cheap_first takes for unsure (limits)"
    )
    language: str | None = pydantic.Field(
        default=None,
        pattern=r"^[a-z]{2,3}$",
        description="Language of recordings for which none is given (ISO 639-1; off: unknown)",
    )
    whisper: WhisperSettings = pydantic.Field(
        default=WhisperSettings(), description="How faster-whisper decodes, for all its models"
    )
    sha256: dict[str, str] = pydantic.Field(
        default={},
        description="What model.bin of an engine must be, else the run is refused (64 hex digits "
        "by engine; as its hub page shows it)",
    )

    @pydantic.field_validator("engines")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            recognizer.parse(name)
        if len(set(names)) < len(names):
            raise ValueError(f"an engine is named twice: {', '.join(names)}")
        return names

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Transcribe":
        heard = [name for name in self.engines if name != GIVEN]
        if self.combine != "first" and len(heard) < 2:
            raise ValueError(
                f"combine: {self.combine} needs two recognizers or more beside the given text, "
                f"engines names {len(heard)}"
            )
        if self.combine == "cheap_first" and self.all_engines:
            raise ValueError("cheap_first spares engines, all_engines asks every one: choose one")
        for name, digest in self.sha256.items():
            if name not in self.engines or not hasattr(recognizer.parse(name)[0], "weights_digest"):
                raise ValueError(f"sha256 is of faster-whisper engines in engines, not of {name!r}")
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise ValueError(f"sha256 of {name} is not 64 hex digits: {digest!r}")
        return self

    def fingerprint(self) -> Any:
        """The engines' own. Raises `ModelError` where a model is missing or another than asked."""
        for name, wanted in self.sha256.items():
            family, variant = recognizer.parse(name)
            found = family.weights_digest(variant)  # type: ignore[attr-defined]
            if found != wanted:
                raise ModelError(
                    name,
                    f"model.bin has sha256 {found}, the recipe wants {wanted}: it is another model "
                    "or a damaged one. Get the right revision, or change transcribe.sha256",
                )
        return {name: recognizer.fingerprint(name, self._settings(name)) for name in self.engines}

    def load(self) -> tuple[recognizer.Recognizer, ...]:
        return tuple(recognizer.load(name, self._settings(name)) for name in self.engines)

    def _settings(self, name: str) -> pydantic.BaseModel | None:
        return self.whisper if name.startswith("faster-whisper/") else None

    def __call__(
        self,
        records: Sequence[Clip],
        model: tuple[recognizer.Recognizer, ...],
        scope: Scope,
    ) -> Iterator[Clip | Drop]:
        hearings = self._begun(records, scope)
        digests: dict[str, str] = {}
        for engine in model:
            asked = [hearing for hearing in hearings if self._asks(engine, hearing)]
            if asked:
                self._ask(engine, asked, scope.samples(), digests)
                _pass_on_language(asked, hearings)
        done = {hearing.clip.id: hearing for hearing in hearings}
        for clip in records:
            hearing = done[clip.id]
            chosen = None if hearing.failed else self._chosen(hearing)
            if chosen is None:
                yield self._drop(hearing)
            else:
                yield self._transcribed(hearing, chosen, digests[clip.id])

    def _begun(self, records: Sequence[Clip], scope: Scope) -> list[_Hearing]:
        """The clips in order of time, each with its share of what was given."""
        task = scope.root if isinstance(scope.root, Task) else None
        text = task.text if task is not None else None
        language = (task.language if task is not None else None) or self.language
        in_time = sorted(records, key=lambda clip: (clip.start, clip.end, clip.channel, clip.id))
        shares: Sequence[str | None] = [None] * len(in_time)
        if in_time and task is not None and task.cues:
            shares = dealt(task.cues, in_time)
        elif in_time and text is not None and text.strip():
            shares = recognizer.deal(text, [clip.seconds for clip in in_time])
        return [
            _Hearing(
                clip=clip,
                given=recognizer.Given(text=share, language=language or clip.language),
            )
            for clip, share in zip(in_time, shares, strict=True)
        ]

    def _asks(self, engine: recognizer.Recognizer, hearing: _Hearing) -> bool:
        if hearing.failed or not engine.speaks(hearing.given.language):
            return False
        if self.all_engines:
            return True
        if hearing.closed or (self.combine == "first" and hearing.first):
            return False
        if engine.quality == GIVEN or self.combine == "rover":
            return True
        return not hearing.asked or self.unsure(hearing.answers.get(hearing.asked[-1]))

    def _ask(
        self,
        engine: recognizer.Recognizer,
        hearings: Sequence[_Hearing],
        audio: Audio,
        digests: dict[str, str],
    ) -> None:
        rate = engine.rate or hearings[0].clip.rate
        tape = _Tape(audio, [hearing.clip for hearing in hearings], rate, digests)
        answers = engine.transcribe_all(tape, rate, [hearing.given for hearing in hearings])
        for hearing, answer in zip(hearings, answers, strict=True):
            if engine.quality != GIVEN:
                hearing.asked.append(engine.name)
            if isinstance(answer, recognizer.Unanswered):
                hearing.failed = answer
            elif answer is not None:
                _check(engine, answer, hearing.clip)
                hearing.answers[engine.name] = answer
                if not hearing.closed:
                    hearing.first = hearing.first or answer
            if engine.quality == GIVEN and hearing.given.text is not None:
                hearing.closed = True

    def _chosen(self, hearing: _Hearing) -> _Chosen | None:
        """The clip's text, or None where it has none."""
        answers = hearing.answers
        if self.combine == "first":
            return _as_chosen(hearing.first)
        if hearing.closed:
            return _as_chosen(answers.get(GIVEN))
        if not hearing.asked:
            return None
        if self.combine == "cheap_first":
            return _as_chosen(answers.get(hearing.asked[-1]))
        voted = rover.combine(_hypotheses(hearing), hearing.clip.seconds)
        if not voted.text.strip():
            return None
        qualities = [answers[name].quality for name in hearing.asked if name in answers]
        return _Chosen(
            text=voted.text,
            quality="smoke" if "smoke" in qualities else qualities[0],
            words=voted.words,
            times=voted.times,
        )

    def _transcribed(self, hearing: _Hearing, chosen: _Chosen, digest: str) -> Clip:
        clip = hearing.clip
        texts = [answer.text for answer in _hypotheses(hearing, given=True)]
        return dataclasses.replace(
            clip,
            text=chosen.text,
            quality=chosen.quality,
            language=hearing.given.language,
            language_probability=hearing.probability,
            disagreement=rover.disagreement(texts, hearing.given.language),
            times=chosen.times,
            words=tuple(_placed(word, clip) for word in chosen.words),
            transcripts=tuple(
                dataclasses.replace(
                    answer, words=tuple(_placed(word, clip) for word in answer.words)
                )
                for answer in hearing.answers.values()
            ),
            pcm_sha256=digest,
        )

    def _drop(self, hearing: _Hearing) -> Drop:
        clip, given = hearing.clip, hearing.given
        if hearing.failed is not None:
            why = hearing.failed.detail
        elif given.text == "":
            why = "the given text has no words left for this clip"
        else:
            why = f"asked {', '.join(self.engines)}; language {given.language or 'unknown'}"
        return Drop(
            id=clip.id,
            root=clip.task,
            step=self.name(),
            reason=hearing.failed.reason if hearing.failed else "no_text",
            seconds=clip.seconds,
            detail=f"channel {clip.channel}, {clip.start:.2f}-{clip.end:.2f} s: {why}",
        )


class _Tape(Sequence[Pcm16]):
    """The samples of some clips at one rate, each read when it is asked for."""

    def __init__(
        self, audio: Audio, clips: Sequence[Clip], rate: int, digests: dict[str, str]
    ) -> None:
        self._audio, self._clips, self._rate, self._digests = audio, clips, rate, digests

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, place: Any) -> Any:
        clip = self._clips[place]
        first, last = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
        pcm = self._audio.read(clip.channel, first, last)
        if clip.id not in self._digests:
            self._digests[clip.id] = hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()
        return pcm if self._rate == clip.rate else _resampled(pcm, clip.rate, self._rate)


def _pass_on_language(asked: Sequence[_Hearing], hearings: Sequence[_Hearing]) -> None:
    """A language that an engine found for the recording is what later engines are asked in."""
    for hearing in asked:
        for answer in hearing.answers.values():
            if answer.language_probability is not None and answer.language is not None:
                for other in hearings:
                    if other.given.language is None:
                        other.given = dataclasses.replace(other.given, language=answer.language)
                        other.probability = answer.language_probability
                return


def _hypotheses(hearing: _Hearing, given: bool = False) -> list[Transcript]:
    """What each recognizer that was asked heard, nothing too; with `given`, the given text too."""
    silent = {name: Transcript(engine=name, text="") for name in hearing.asked}
    found = {**silent, **hearing.answers}
    return [answer for answer in found.values() if given or answer.quality != GIVEN]


def _as_chosen(answer: Transcript | None) -> _Chosen | None:
    if answer is None:
        return None
    return _Chosen(text=answer.text, quality=answer.quality, words=answer.words, times=answer.times)


def _check(engine: recognizer.Recognizer, answer: Transcript, clip: Clip) -> None:
    # Resampling rounds the length: allow one frame of the slower rate.
    slack = 1 / min(clip.rate, engine.rate or clip.rate)
    if faults := recognizer.violations(answer, clip.seconds + slack):
        raise ValueError(f"engine {engine.name} broke its contract on clip {clip.id}: {faults}")


def _placed(word: Word, clip: Clip) -> Word:
    """A word with its times moved to the recording, on the sample grid."""
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
