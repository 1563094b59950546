"""faster-whisper: Whisper on CTranslate2, on CPU or GPU, for `faster-whisper/<size, id or folder>`.

It hears all clips of a recording together (`whisper_windows`), in one language: the one given, or
the one it finds in the first seconds of the recording's clips. The model's files are found and
checked without loading it (`whisper_files`); nothing is ever downloaded. Loaded once per process,
shared by streams and threads, which take turns. One thread on CPU; the instruction set is pinned
by the process (`CT2_FORCE_CPU_ISA`).
"""

import functools
import importlib.metadata
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from schemas.records import TimesOrigin, Transcript, Word
from transforms.engines import whisper_files, whisper_windows
from transforms.engines.answers import Answer, Given, Pcm16, Unanswered
from transforms.engines.dealing import spread
from transforms.engines.device_memory import NoRoomError, free_caches, twice
from transforms.engines.models import ModelError, file_digest

ROUNDING = 0.02  # seconds: the step of Whisper's time stamps

# ISO 639-1 to Whisper's codes, where they differ.
_CODES = {"jv": "jw"}

ComputeType = Literal[
    "default",
    "auto",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
]


class WhisperSettings(pydantic.BaseModel):
    """How faster-whisper decodes; for all its models in a step."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    batch_size: int = pydantic.Field(
        default=8,
        ge=1,
        le=256,
        description="Windows of one recording that go through the model together (count; "
        "faster-whisper's own default; 1: none)",
    )
    beam_size: int = pydantic.Field(
        default=5, ge=1, le=20, description="Beam of the search (count; OpenAI's default)"
    )
    temperatures: tuple[float, ...] = pydantic.Field(
        default=(0.0,),
        min_length=1,
        strict=False,
        description="Tried in order until a window succeeds (ours: 0 alone, without chance; "
        "OpenAI's ladder is 0 to 1 in steps of 0.2, each a guess more)",
    )
    chunk_seconds: float = pydantic.Field(
        default=30.0,
        ge=1,
        le=30,
        description="Most audio in a window (seconds; Whisper's training)",
    )
    padding: whisper_windows.Padding = pydantic.Field(
        default="full",
        description="Silence after a window: up to 30 s, as in Whisper's training (full), or up to "
        "the longest window of its batch in whole seconds, with batch_size 1 its own (longest; "
        "name; full)",
    )
    language_seconds: float = pydantic.Field(
        default=30.0,
        gt=0,
        le=600,
        description="Audio at the start of a recording's clips that its language is found in, "
        "where none is given (seconds; one window)",
    )
    min_log_probability: float = pydantic.Field(
        default=-1.0,
        le=0,
        description="Below this a window has failed, or is silence (mean log probability of a "
        "token; OpenAI's default)",
    )
    max_no_speech: float = pydantic.Field(
        default=0.6,
        ge=0,
        le=1,
        description="A window above this, and below min_log_probability, is silence (probability; "
        "OpenAI's default)",
    )
    max_compression_ratio: float = pydantic.Field(
        default=2.4,
        gt=0,
        description="A window whose text zlib shrinks by more has failed (ratio; OpenAI's default; "
        "only chooses the next temperature)",
    )
    device: Literal["auto", "cpu", "cuda"] = pydantic.Field(
        default="auto",
        description="Where the model runs (auto: a GPU where CTranslate2 finds one)",
    )
    compute_type: ComputeType = pydantic.Field(
        default="default",
        description="Number format of the weights (default: as stored, as near as the device can)",
    )

    @pydantic.field_validator("temperatures")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if list(values) != sorted(set(values)) or values[0] < 0 or values[-1] > 1:
            raise ValueError("temperatures rise from 0 or more to at most 1, each named once")
        return values

    def chosen_device(self) -> str:
        """The device on this machine."""
        if self.device != "auto":
            return self.device
        import ctranslate2

        return "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"

    def rules(self) -> whisper_windows.Rules:
        return whisper_windows.Rules(
            batch_size=self.batch_size,
            beam_size=self.beam_size,
            temperatures=self.temperatures,
            window_frames=round(self.chunk_seconds * 100),
            padding=self.padding,
            min_log_probability=self.min_log_probability,
            max_no_speech=self.max_no_speech,
            max_compression_ratio=self.max_compression_ratio,
        )


class FasterWhisper:
    """A Whisper model in CTranslate2's format."""

    quality = "normal"
    rate: int | None = whisper_windows.RATE

    def __init__(self, variant: str = "", settings: pydantic.BaseModel | None = None) -> None:
        self.check_variant(variant)
        self.name = f"{whisper_files.FAMILY}/{variant}"
        self.settings = _settings(settings)
        folder = whisper_files.locate(variant)
        _check_device(self.name, self.settings)
        place = (str(folder), self.settings.chosen_device(), self.settings.compute_type)
        self._model, self._turn = _shared(self.name, *place)
        self._copy = functools.partial(_load, self.name, *place)
        self.device = f"{self._model.model.device}/{self._model.model.compute_type}"

    @classmethod
    def check_variant(cls, variant: str) -> None:
        whisper_files.check_name(variant)

    @classmethod
    def fingerprint(
        cls, variant: str, settings: pydantic.BaseModel | None = None
    ) -> dict[str, str]:
        """Versions, the digest of the model's files, and the device.

        Raises `ModelError` where the model or the device is missing: so a run that could not work
        is refused when its keys are made.
        """
        chosen = _settings(settings)
        folder = whisper_files.locate(variant)
        _check_device(f"{whisper_files.FAMILY}/{variant}", chosen)
        return {
            **{
                name: importlib.metadata.version(name)
                for name in ("faster-whisper", "ctranslate2", "tokenizers")
            },
            "model": whisper_files.digest(folder),
            "device": _device_name(chosen.chosen_device()),
        }

    @classmethod
    def weights_digest(cls, variant: str) -> str:
        """The sha256 of model.bin, as the hub shows it."""
        return file_digest(whisper_files.locate(variant) / "model.bin")

    def speaks(self, language: str | None) -> bool:
        if language is None:
            return True
        if not self._model.model.is_multilingual:
            return language == "en"
        from faster_whisper.tokenizer import _LANGUAGE_CODES

        code = _CODES.get(language, language)
        token = self._model.hf_tokenizer.token_to_id(f"<|{code}|>")
        return code in _LANGUAGE_CODES and token is not None

    def transcribe(self, pcm: Pcm16, rate: int, given: Given) -> Transcript | None:
        (answer,) = self.transcribe_all([pcm], rate, [given])
        if isinstance(answer, Unanswered):
            raise NoRoomError(answer.detail)
        return answer

    def transcribe_all(
        self, clips: Sequence[Pcm16], rate: int, given: Sequence[Given]
    ) -> list[Answer]:
        if rate != self.rate:
            raise ValueError(f"engine {self.name} needs {self.rate} Hz, was given {rate} Hz")
        languages = {about.language for about in given}
        answers: list[Answer] = [None] * len(clips)
        for language in sorted(languages, key=lambda name: name or ""):
            places = [i for i, about in enumerate(given) if about.language == language]
            if self.speaks(language):
                with self._turn:
                    found = self._heard(_Some(clips, places), language)
                for place, answer in zip(places, found, strict=True):
                    answers[place] = answer
        return answers

    def _heard(self, clips: Sequence[Pcm16], language: str | None) -> list[Answer]:
        """The answers for clips in one language; None: to be found."""
        from faster_whisper.tokenizer import Tokenizer

        probability: float | None = None
        found = language
        if language is None and self._model.model.is_multilingual:
            try:
                code, probability = whisper_windows.language(
                    self._model, clips, self.settings.language_seconds, self._retried
                )
            except NoRoomError as error:
                return [_no_room(str(error))] * len(clips)
            found = {whisper: iso for iso, whisper in _CODES.items()}.get(code, code)
        tokenizer = Tokenizer(
            self._model.hf_tokenizer,
            self._model.model.is_multilingual,
            task="transcribe",
            language=_CODES.get(found or "en", found or "en"),
        )
        heard = whisper_windows.hear(
            self._model, tokenizer, clips, self.settings.rules(), self._retried, self._seeded
        )
        return [
            _no_room(clip.no_room) if clip.no_room else self._transcript(clip, found, probability)
            for clip in heard
        ]

    def _transcript(
        self,
        clip: whisper_windows.Clip,
        language: str | None,
        probability: float | None,
    ) -> Transcript | None:
        text = clip.text.strip()
        if not text:
            return None
        words, times = settled(clip.words, text, clip.seconds)
        sizes = [len(window.tokens) + 1 for window in clip.windows]
        mean = math.fsum(
            window.log_probability * size for window, size in zip(clip.windows, sizes, strict=True)
        ) / sum(sizes)
        return Transcript(
            engine=self.name,
            text=text,
            quality=self.quality,
            language=language,
            language_probability=_finite(probability),
            words=words,
            times=times,
            mean_log_probability=_finite(mean),
            no_speech_probability=_finite(max(window.no_speech for window in clip.windows)),
            temperature=max(window.temperature for window in clip.windows),
            device=self.device,
        )

    def _retried(self, work: Callable[[], Any]) -> Any:
        return twice(work, self._free)

    def _free(self) -> None:
        """Take the weights off the device and put them back, so that all it cached is free."""
        self._model.model.unload_model()
        free_caches()
        self._model.model.load_model()

    def _seeded(self, seed: int) -> Any:
        import ctranslate2

        ctranslate2.set_random_seed(seed)
        return self._copy()


def settled(
    words: Sequence[Word], text: str, seconds: float
) -> tuple[tuple[Word, ...], TimesOrigin]:
    """Words in order and inside a clip of `seconds`, and whether their times are measured.

    Times that are off by no more than `ROUNDING` are moved. Where one is off by more, no time of
    the clip is to be trusted: the text is spread over the clip instead and marked estimated.
    """
    moved: list[Word] = []
    floor = 0.0
    for word in words:
        start = min(max(word.start, floor), seconds)
        end = min(max(word.end, start), seconds)
        if abs(start - word.start) > ROUNDING + 1e-9 or abs(end - word.end) > ROUNDING + 1e-9:
            return spread(text, seconds), "estimated"
        floor = start
        moved.append(Word(text=word.text, start=start, end=end, confidence=word.confidence))
    return (tuple(moved), "measured") if moved else (spread(text, seconds), "estimated")


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _no_room(detail: str) -> Unanswered:
    return Unanswered(reason="oom", detail=detail)


class _Some(Sequence[Pcm16]):
    """Some items of a sequence that may read them only when asked."""

    def __init__(self, clips: Sequence[Pcm16], places: Sequence[int]) -> None:
        self._clips, self._places = clips, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: Any) -> Any:
        return self._clips[self._places[place]]


def _settings(settings: pydantic.BaseModel | None) -> WhisperSettings:
    return settings if isinstance(settings, WhisperSettings) else WhisperSettings()


def _check_device(engine: str, settings: WhisperSettings) -> None:
    import ctranslate2

    device = settings.chosen_device()
    if device == "cuda" and ctranslate2.get_cuda_device_count() == 0:
        raise ModelError(
            engine, "transcribe.whisper.device is cuda, but there is no GPU here; write auto or cpu"
        )
    able = {"default", "auto"} | ctranslate2.get_supported_compute_types(device)
    if settings.compute_type not in able:
        raise ModelError(
            engine,
            f"transcribe.whisper.compute_type {settings.compute_type} cannot run on {device}; "
            f"it can: {', '.join(sorted(able))}",
        )


def _device_name(device: str) -> str:
    """The device class beyond the processor's: the model of the first GPU."""
    if device != "cuda":
        return device
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return f"cuda/{line.partition(':')[2].strip()}"
    return device


_models: dict[tuple[str, ...], tuple[Any, threading.Lock]] = {}
_loading = threading.Lock()


def _shared(engine: str, folder: str, device: str, compute_type: str) -> tuple[Any, threading.Lock]:
    """The one model of this process for these, and the lock that its users take turns by."""
    key = (folder, device, compute_type)
    with _loading:
        if key not in _models:
            _models[key] = _load(engine, folder, device, compute_type), threading.Lock()
        return _models[key]


def _load(engine: str, folder: str, device: str, compute_type: str) -> Any:
    from faster_whisper import WhisperModel

    try:
        model = WhisperModel(
            folder,
            device=device,
            compute_type=compute_type,
            cpu_threads=1,
            num_workers=1,
            local_files_only=True,
        )
    except Exception as error:  # CTranslate2 and tokenizers raise bare ones for broken files
        if "out of memory" in str(error).lower():
            raise
        raise ModelError(
            engine, f"{folder} does not load: {type(error).__name__}: {error}. Get it again"
        ) from error
    bands = model.feature_extractor.mel_filters.shape[0]
    if bands != model.model.n_mels:
        raise ModelError(
            engine,
            f"{folder} needs {model.model.n_mels} mel bands, preprocessor_config.json says {bands} "
            "(80 where the file is missing). Get the file that belongs to the model",
        )
    return model
