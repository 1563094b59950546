"""Give utterances a voice: a script becomes one channel of audio, each utterance a clip of it.

Per script a voice, a speed, a pitch and a seed are drawn for each role from the script's id, so
that neither the order of documents nor their number changes what one sounds like. What a voice says
is resampled, brought to one loudness and laid end to end with pauses, which belong to the clip
before them: documents are put together from clips, and speech without pauses is no speech.

What was drawn is kept on the clip: `speaker` is engine and voice, and its first transcript holds
what was read, with speed, pitch and seed in `device`. An utterance that stays text is a clip of no
length.
"""

import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import pydantic

from schemas.ids import digest_of, fraction
from schemas.pages import Utterance
from schemas.records import Clip, Drop, frames
from transforms.engines import synthesizer
from transforms.engines.generator import EndpointSettings
from transforms.engines.models import ModelError
from transforms.engines.synthesizer import Reading, SynthOptions, SynthSettings
from transforms.step import AudioSink, Phase, RecordStep, Scope, ScratchFull
from transforms.synthesize.casting import Ensemble, Part, Stage, chosen
from transforms.synthesize.spoken_clips import speaker_of, spoken
from transforms.synthesize.spoken_form import spoken_form
from transforms.synthesize.takes import Refusal, Take, take

_SEEDS = 31  # bits
Range = tuple[float, float]


class Speak(RecordStep):
    """Utterances of one page to clips with samples."""

    phase: ClassVar[Phase] = "synthesize"
    makes_audio: ClassVar[bool] = True
    unkeyed: ClassVar[frozenset[str]] = frozenset({"endpoint"})
    reasons: ClassVar[dict[str, str]] = {
        "language_without_voice": "The engine has no voice, or too few, for the text's language.",
        "silent": "Nothing is heard of the text, or almost nothing but silence.",
        "too_long": "The audio is far too long, in all or for its text.",
        "crashed": "The engine's process ended on the text.",
        "timeout": "The engine did not finish in time.",
        "refused": "The engine refused the text.",
        "scratch_full": "The page's speech would outgrow the scratch space of one page.",
    }

    engine: str = pydantic.Field(
        "espeak-ng",
        description="Synthesizer (name, or name/path where it needs a local model; the default "
        "comes with its package)",
    )
    voices: tuple[str, ...] = pydantic.Field(
        (),
        strict=False,  # a YAML list is a list; its items stay strict
        description="Voices that are drawn from (names or patterns such as en-us+f*; none: the "
        "usual ones of the engine)",
    )
    accents: tuple[str, ...] = pydantic.Field(
        (),
        strict=False,
        description="Accents that are drawn from, before the voice (en-us, en-gb-scotland; none: "
        "all of them; Krist has 5)",
    )
    weights: dict[str, float] = pydantic.Field(
        default={},
        description="How often an accent or a voice is drawn, by name, where not 1 (weight; 0: "
        "never)",
    )
    speed: Range = pydantic.Field(
        (0.9, 1.1), strict=False, description="Speed of a document (shares of normal; ours)"
    )
    pitch: Range = pydantic.Field(
        (0.9, 1.1), strict=False, description="Pitch, where the engine can (shares of normal; ours)"
    )
    language: str | None = pydantic.Field(
        None,
        pattern=r"^[a-z]{2,3}$",
        description="Language of text whose language is not known (ISO 639-1; off: it is dropped)",
    )
    normalise: bool = pydantic.Field(
        True,
        description="Read numbers, units and signs as they are spoken; the text stays (flag)",
    )
    rate: Literal[16000, 24000] = pydantic.Field(
        16000, description="Sample rate of the clips (Hz; what the other steps take)"
    )
    loudness: float | None = pydantic.Field(
        -23.0,
        ge=-60,
        le=0,
        description="Loudness of every utterance, as far as its peaks allow (LUFS; EBU R 128; "
        "off: as it comes)",
    )
    pause: Range = pydantic.Field(
        (0.15, 0.45), strict=False, description="Silence after an utterance (seconds; ours)"
    )
    turn_pause: Range = pydantic.Field(
        (0.4, 0.8), strict=False, description="Silence after the last of a line (seconds; ours)"
    )
    join_pause: float = pydantic.Field(
        0.12, ge=0, description="Silence between the pieces of a long utterance (seconds; ours)"
    )
    max_characters: int = pydantic.Field(
        400, ge=20, description="Longest text of one call to the engine (characters; ours)"
    )
    max_seconds: float = pydantic.Field(
        300.0, gt=0, description="Longest utterance that is kept (seconds; ours)"
    )
    max_seconds_per_character: float = pydantic.Field(
        0.5, gt=0, description="Slowest speech that is kept, past 2 seconds (seconds; ours)"
    )
    max_silence: float = pydantic.Field(
        0.7, gt=0, le=1, description="Most silence inside an utterance (share; ours)"
    )
    options: SynthOptions = pydantic.Field(
        default=SynthOptions(), description="What the engine is told beside its name"
    )
    endpoint: EndpointSettings = pydantic.Field(
        default=EndpointSettings(),
        description="Where the engine endpoint/MODEL is and how it is called",
    )

    @pydantic.field_validator("engine")
    @classmethod
    def _known(cls, name: str) -> str:
        synthesizer.parse(name)
        return name

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name, most in (("speed", 4.0), ("pitch", 2.0), ("pause", 60.0), ("turn_pause", 60.0)):
            low, high = getattr(self, name)
            least = 0.25 if name in ("speed", "pitch") else 0.0
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name} is [{low:g}, {high:g}]; it goes from a lower to a higher value, "
                    f"within {least:g} and {most:g}"
                )
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("a weight is 0 or more")
        return self

    def fingerprint(self) -> Any:
        """The engine's own, and the voices that may be drawn: another release may have others.

        Raises `ModelError` where the engine cannot work or lacks a voice.
        """
        found = synthesizer.fingerprint(self.engine, self.settings())
        names = [voice.name for voice in self.ensemble().voices]
        libraries = (
            "numpy",
            "pyloudnorm",
            "scipy",
            *(("babel", "unicode-rbnf") if self.normalise else ()),
        )
        return {
            "engine": found,
            "voices": digest_of("voices", names),
            **{name: importlib.metadata.version(name) for name in libraries},
        }

    def imports(self) -> tuple[str, ...]:
        return ("pyloudnorm", "scipy.fft", "scipy.signal")

    @property
    def concurrency(self) -> int:
        """Pages at once: more than one where an endpoint is waited for."""
        return self.endpoint.concurrency if self.engine.startswith("endpoint/") else 1

    def settings(self) -> SynthSettings:
        """What the engine is told beside its name."""
        return SynthSettings(**dict(self.options), endpoint=self.endpoint)

    def ensemble(self) -> Ensemble:
        """The voices that may be drawn. Raises `ModelError` for one that the engine lacks."""
        family, variant = synthesizer.parse(self.engine)
        listed = family.listed(variant, self.settings())
        try:
            voices = chosen(listed, self.voices, self.accents)
        except ValueError as error:
            raise ModelError(self.engine, str(error)) from error
        known = {voice.name for voice in voices} | {voice.accent for voice in voices}
        if unknown := sorted(set(self.weights) - known):
            message = f"speak.weights names what cannot be drawn: {', '.join(unknown)}"
            raise ModelError(self.engine, message)
        return Ensemble(voices=voices, weights=self.weights, speed=self.speed, pitch=self.pitch)

    def load(self) -> Stage:
        """The engine with its voices. Whoever loads it closes it; it ends with the worker."""
        return Stage(synthesizer.load(self.engine, self.settings()), self.ensemble())

    def __call__(
        self, records: Sequence[Utterance], model: Stage, scope: Scope
    ) -> Iterator[Clip | Drop]:
        if scope.sink is None:
            raise ValueError(f"speak needs a sink in the scope of {scope.root.id}")
        scripts: dict[str, list[Utterance]] = {}
        for utterance in records:
            scripts.setdefault(utterance.script, []).append(utterance)
        for channel, (script, utterances) in enumerate(scripts.items()):
            yield from self._script(channel, script, utterances, model, scope, scope.sink)

    def _script(
        self,
        channel: int,
        script: str,
        utterances: Sequence[Utterance],
        model: Stage,
        scope: Scope,
        sink: AudioSink,
    ) -> Iterator[Clip | Drop]:
        rng = scope.rng(self.name(), script)
        seed = rng.getrandbits(_SEEDS)
        parts: dict[tuple[str, str], Part] = {}
        for key in dict.fromkeys((u.role, self.language_of(u)) for u in utterances if u.spoken):
            taken = frozenset(part.voice.name for part in parts.values())
            part = model.ensemble.draw(key[1], rng, taken) if key[1] else None
            if part is None:
                for utterance in utterances:
                    yield self._drop(utterance, scope, self._voiceless(key, model))
                return
            parts[key] = part
        at = 0
        with model.engine.begin(seed) as reading:
            for index, utterance in enumerate(utterances):
                if not utterance.spoken:
                    yield self._text(utterance, scope, channel, at)
                    continue
                following = utterances[index + 1] if index + 1 < len(utterances) else None
                ends = following is None or following.line != utterance.line
                part = parts[utterance.role, self.language_of(utterance)]
                made = self.said(reading, utterance, part, scope, ends)
                if isinstance(made, Take):
                    try:
                        sink.append(channel, made.pcm)
                    except ScratchFull as error:
                        made = Refusal(reason="scratch_full", detail=str(error))
                if isinstance(made, Refusal):
                    yield self._drop(utterance, scope, made)
                    continue
                yield Clip(
                    id=digest_of("clip", utterance.id, speaker_of(model.engine, part)),
                    **self._fields(utterance, scope, channel),
                    **spoken(self.rate, made, part, model.engine, seed, at),
                )
                at += len(made.pcm)

    def language_of(self, utterance: Utterance) -> str:
        """The language that an utterance is said in; "" where it is not known."""
        return synthesizer.language_of(utterance.language or self.language or "")

    def said(
        self, reading: Reading, utterance: Utterance, part: Part, scope: Scope, ends: bool
    ) -> Take | Refusal:
        """An utterance, spoken with a part; `ends`: it is the last of its line."""
        said = utterance.said
        if said is None:
            said = utterance.text
            if self.normalise:
                said = spoken_form(said, part.voice.language)
        low, high = self.turn_pause if ends else self.pause
        pause = low + (high - low) * fraction(scope.seed, f"{self.name()}:pause", utterance.id)
        return self.taken(reading, utterance.text, said, part, pause)

    def taken(
        self, reading: Reading, text: str, said: str, part: Part, pause: float
    ) -> Take | Refusal:
        """`said`, spoken with a part in place of `text`."""
        return take(
            reading,
            self,
            text=text,
            said=said,
            voice=part.voice.name,
            manner=part.manner,
            pause=pause,
        )

    def _text(self, utterance: Utterance, scope: Scope, channel: int, at: int) -> Clip:
        """A clip of no length."""
        return Clip(
            id=digest_of("clip", utterance.id, ""),
            start=at / self.rate,
            end=at / self.rate,
            speaker="",
            **self._fields(utterance, scope, channel),
        )

    def _fields(self, utterance: Utterance, scope: Scope, channel: int) -> dict[str, Any]:
        """What a clip has of its utterance, spoken or not."""
        return {
            "task": scope.root.id,
            "recording": getattr(scope.root, "root", scope.root.id),
            "channel": channel,
            "index": utterance.index,
            "rate": self.rate,
            "text": utterance.text,
            "quality": utterance.quality,
            "language": utterance.language or self.language,
            "codec": "synthetic",
        }

    def _voiceless(self, key: tuple[str, str], model: Stage) -> Refusal:
        role, language = key
        has = len(model.ensemble.of(language))
        if not language:
            why = "its language is not known: set speak.language, or detect it in extract"
        elif not has:
            why = f"{self.engine} has no voice for {language!r}"
        else:
            why = f"{self.engine} has {has} voice(s) for {language!r}, none is left for {role}"
        return Refusal(reason="language_without_voice", detail=why)

    def _drop(self, utterance: Utterance, scope: Scope, refusal: Refusal) -> Drop:
        return Drop(
            id=utterance.id,
            root=scope.root.id,
            step=self.name(),
            reason=refusal.reason,
            seconds=frames(refusal.seconds, self.rate) / self.rate,
            score=refusal.score,
            threshold=refusal.threshold,
            detail=refusal.detail,
        )
