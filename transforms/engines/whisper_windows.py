"""Whisper over the clips of one recording: windows of several clips go through the model together.

Each clip is decoded exactly as `faster_whisper.WhisperModel.transcribe` would decode it alone with
`condition_on_previous_text` off: window after window, each starting where the last word or time
stamp of the one before stopped. What is ours is that the next windows of up to `batch_size` clips
are one batch. faster-whisper's own batched pipeline was not taken: it has no fallback, no check for
silence, drops what follows the last time stamp of a window, lets words end up to a second after
their clip, and hands word times on from one clip to the next.

A batch's make-up changes the low bits of scores (measured: float32 log probabilities by 7e-7, int8
word probabilities now and then), so it follows from the recording's clips alone: taken in the order
they are given, each batch holds the first `batch_size` clips that are not finished. Windows are
padded to the 30 s that Whisper was trained with, or, where the recipe says so, to the longest of
the batch: still a matter of the recording alone.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from schemas.records import Word
from transforms.engines.answers import Pcm16
from transforms.engines.device_memory import NoRoomError

RATE = 16_000
MAX_TOKENS = 448  # of a window, prompt included: what Whisper was trained with
MAX_FIRST_STAMP = 50  # in steps of 20 ms: speech begins in the first second of a window
_PREPENDED = "\"'\u201c\u00bf([{-"
_APPENDED = "\"'.\u3002,\uff0c!\uff01?\uff1f:\uff1a\u201d)]}\u3001"

Features = npt.NDArray[np.float32]
Padding = Literal["full", "longest"]
FULL = 3000  # frames: the model's 30 s
_STEP = 100  # frames that padding to the longest is rounded up to: a second


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How windows are decoded; the meaning of each stands at the settings."""

    batch_size: int
    beam_size: int
    temperatures: tuple[float, ...]
    window_frames: int
    padding: Padding
    min_log_probability: float
    max_no_speech: float
    max_compression_ratio: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """What the model said of one window."""

    tokens: list[int]
    log_probability: float  # mean per token
    no_speech: float
    temperature: float
    compression_ratio: float


@dataclasses.dataclass
class Clip:
    """A clip on its way through the model."""

    index: int
    features: Features  # [mels, frames], 100 frames per second, one more than its content
    seconds: float = 0.0
    seek: int = 0
    last_word: float = 0.0
    text: str = ""
    words: list[Word] = dataclasses.field(default_factory=list)
    windows: list[Decoded] = dataclasses.field(default_factory=list)  # those that gave text
    no_room: str = ""  # why the device could not hear it

    @property
    def frames(self) -> int:
        return int(self.features.shape[-1]) - 1


def as_float(pcm: Pcm16) -> npt.NDArray[np.float32]:
    return pcm.astype(np.float32) / np.float32(32768)


def language(
    model: Any, clips: Sequence[Pcm16], seconds: float, retried: Callable[[Callable[[], Any]], Any]
) -> tuple[str, float]:
    """The language of the first `seconds` of the clips' samples, and its probability.

    Of several windows of 30 s the probabilities are averaged.
    """
    from faster_whisper.audio import pad_or_trim

    wanted = round(seconds * RATE)
    parts: list[Pcm16] = []
    for clip in clips:
        parts.append(clip[: wanted - sum(map(len, parts))])
        if sum(map(len, parts)) >= wanted:
            break
    features = model.feature_extractor(as_float(np.concatenate(parts)))
    size = model.feature_extractor.nb_max_frames
    windows = [
        pad_or_trim(features[:, at : at + size]) for at in range(0, features.shape[-1] - 1, size)
    ] or [pad_or_trim(features)]
    batch = np.stack(windows)
    found = retried(lambda: model.model.detect_language(model.encode(batch)))
    sums: dict[str, float] = {}
    for window in found:
        for token, probability in window:
            sums[token[2:-2]] = sums.get(token[2:-2], 0.0) + probability
    best = min(sums, key=lambda code: (-sums[code], code))
    return best, float(sums[best] / len(found))


def hear(
    model: Any,
    tokenizer: Any,
    clips: Sequence[Pcm16],
    rules: Rules,
    retried: Callable[[Callable[[], Any]], Any],
    sampler: Callable[[int], Any],
) -> list[Clip]:
    """Every clip with its text and words, in the order given.

    `retried` runs a piece of work and raises `NoRoomError` when the device has no room for it;
    `sampler(seed)` gives a copy of the model whose chance starts at `seed`, for temperatures
    above 0.
    """
    done: list[Clip] = []
    fresh = _begun(model, clips, done)
    active: list[Clip] = []
    while True:
        while len(active) < rules.batch_size and (clip := next(fresh, None)) is not None:
            active.append(clip)
        if not active:
            return sorted(done, key=lambda clip: clip.index)
        try:
            retried(_batch(model, tokenizer, active, rules, sampler))
        except NoRoomError as error:
            for clip in active:
                clip.no_room = str(error)
        for clip in active:
            if clip.no_room or clip.seek >= clip.frames:
                clip.features = clip.features[:, :1]  # a recording has many clips
                done.append(clip)
        active = [clip for clip in active if not clip.no_room and clip.seek < clip.frames]


def _begun(model: Any, clips: Sequence[Pcm16], done: list[Clip]) -> Iterator[Clip]:
    """Clips with their features, made when they are asked for; those too short are done."""
    for index in range(len(clips)):
        pcm = clips[index]
        features = model.feature_extractor(as_float(pcm))
        clip = Clip(index=index, features=features, seconds=len(pcm) / RATE)
        if clip.frames > 0:
            yield clip
        else:
            done.append(clip)


def _batch(
    model: Any, tokenizer: Any, clips: Sequence[Clip], rules: Rules, sampler: Callable[[int], Any]
) -> Callable[[], None]:
    """The work of one batch. Changes no clip before all that can run out of memory is done."""

    def work() -> None:
        from faster_whisper.audio import pad_or_trim

        sizes = [min(rules.window_frames, clip.frames - clip.seek) for clip in clips]
        length = FULL if rules.padding == "full" else -(-max(sizes) // _STEP) * _STEP
        windows = np.stack(
            [
                pad_or_trim(clip.features[:, clip.seek : clip.seek + size], length)
                for clip, size in zip(clips, sizes, strict=True)
            ]
        )
        encoded = model.encode(windows)
        decoded = _decoded(model, tokenizer, encoded, windows, rules, _Chance(sampler))
        spoken = [_is_speech(one, rules) for one in decoded]
        texts = [
            [token for token in one.tokens if token < tokenizer.eot] if said else []
            for one, said in zip(decoded, spoken, strict=True)
        ]
        alignments = model.find_alignment(tokenizer, texts, encoded, sizes)
        for clip, size, one, said, aligned in zip(
            clips, sizes, decoded, spoken, alignments, strict=True
        ):
            if said:
                _heard(model, tokenizer, clip, size, one, aligned)
            else:
                clip.seek += size

    return work


def _is_speech(window: Decoded, rules: Rules) -> bool:
    return (
        window.no_speech <= rules.max_no_speech
        or window.log_probability > rules.min_log_probability
    )


def _decoded(
    model: Any, tokenizer: Any, encoded: Any, windows: Features, rules: Rules, chance: "_Chance"
) -> list[Decoded]:
    """All windows at the first temperature; those that failed again at the next, and so on."""
    tried: list[list[Decoded]] = [[] for _ in windows]
    failed = list(range(len(windows)))
    for temperature in rules.temperatures:
        if temperature > 0:
            again = windows[failed]
            found = chance.generate(model, tokenizer, again, temperature, rules)
        else:
            found = _generate(model, tokenizer, encoded, temperature, len(windows), rules)
        for index, one in zip(failed, found, strict=True):
            tried[index].append(one)
        failed = [i for i in failed if _fails(tried[i][-1], rules)]
        if not failed:
            break
    return [_best(attempts, rules) for attempts in tried]


def _fails(window: Decoded, rules: Rules) -> bool:
    improbable = window.log_probability < rules.min_log_probability
    if improbable and window.no_speech > rules.max_no_speech:
        return False  # silence: not worth another try
    return improbable or window.compression_ratio > rules.max_compression_ratio


def _best(attempts: Sequence[Decoded], rules: Rules) -> Decoded:
    """The last attempt if it is good; of failures the likeliest that does not repeat itself."""
    if not _fails(attempts[-1], rules):
        return attempts[-1]
    plain = [a for a in attempts if a.compression_ratio <= rules.max_compression_ratio]
    return max(plain or attempts, key=lambda attempt: attempt.log_probability)


def _generate(
    model: Any, tokenizer: Any, encoded: Any, temperature: float, count: int, rules: Rules
) -> list[Decoded]:
    from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens

    if temperature > 0:
        search = {
            "beam_size": 1,
            "num_hypotheses": 5,
            "sampling_topk": 0,
            "sampling_temperature": temperature,
        }
    else:
        search = {"beam_size": rules.beam_size, "patience": 1}
    results = model.model.generate(
        encoded,
        [list(tokenizer.sot_sequence)] * count,
        length_penalty=1,
        repetition_penalty=1,
        no_repeat_ngram_size=0,
        max_length=MAX_TOKENS,
        return_scores=True,
        return_no_speech_prob=True,
        suppress_blank=True,
        suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
        max_initial_timestamp_index=MAX_FIRST_STAMP,
        **search,
    )
    found = []
    for result in results:
        tokens = list(result.sequences_ids[0])
        found.append(
            Decoded(
                tokens=tokens,
                log_probability=float(result.scores[0] * len(tokens) / (len(tokens) + 1)),
                no_speech=float(result.no_speech_prob),
                temperature=float(temperature),
                compression_ratio=float(get_compression_ratio(tokenizer.decode(tokens).strip())),
            )
        )
    return found


class _Chance:
    """Sampling that is the same in every run.

    CTranslate2 seeds a model's random numbers when they are first drawn and not again, so each
    batch that needs them gets a fresh copy of the model, seeded with the digest of its first window
    that failed: loading costs more than decoding, which is the price of the ladder.
    """

    def __init__(self, sampler: Callable[[int], Any]) -> None:
        self._sampler = sampler
        self._model: Any = None

    def generate(
        self, model: Any, tokenizer: Any, windows: Features, temperature: float, rules: Rules
    ) -> list[Decoded]:
        if self._model is None:
            digest = hashlib.sha256(np.ascontiguousarray(windows[0]).tobytes()).digest()
            self._model = self._sampler(int.from_bytes(digest[:4], "big"))
        encoded = self._model.encode(windows)
        return _generate(self._model, tokenizer, encoded, temperature, len(windows), rules)


class _Aligned:
    """Stands in for the model where faster-whisper makes words of an alignment: ours is made."""

    def __init__(self, model: Any, alignment: list[dict[str, Any]]) -> None:
        self.frames_per_second = model.frames_per_second
        self._alignment = alignment

    def find_alignment(self, *_: Any) -> list[list[dict[str, Any]]]:
        return [self._alignment]


def _heard(
    model: Any, tokenizer: Any, clip: Clip, size: int, window: Decoded, aligned: Any
) -> None:
    """Add a window's words to its clip, and say where its next window begins."""
    from faster_whisper.utils import get_end

    per_frame = model.feature_extractor.time_per_frame
    offset = clip.seek * per_frame
    segments, seek, closed = model._split_segments_by_timestamps(
        tokenizer=tokenizer,
        tokens=window.tokens,
        time_offset=offset,
        segment_size=size,
        segment_duration=size * per_frame,
        seek=clip.seek,
    )
    type(model).add_word_timestamps(
        _Aligned(model, aligned),
        [segments],
        tokenizer,
        None,
        size,
        _PREPENDED,
        _APPENDED,
        last_speech_timestamp=clip.last_word,
    )
    end = get_end(segments)
    if end is not None:
        clip.last_word = float(end)
        if not closed and clip.last_word > offset:
            seek = round(clip.last_word * model.frames_per_second)
    for segment in segments:
        text = tokenizer.decode(segment["tokens"])
        if segment["start"] == segment["end"] or not text.strip():
            continue
        clip.text += text
        clip.words += [
            Word(
                text=word["word"].strip(),
                start=max(float(word["start"]), 0.0),
                end=max(float(word["end"]), float(word["start"]), 0.0),
                confidence=min(max(float(word["probability"]), 0.0), 1.0),
            )
            for word in segment["words"]
            if word["word"].strip()
        ]
        if not clip.windows or clip.windows[-1] is not window:
            clip.windows.append(window)
    clip.seek = seek if seek > clip.seek else clip.seek + size
