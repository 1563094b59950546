"""The nouns that travel through the pipeline: frozen, keyword-only, checked on construction.

Times are seconds from the start of the recording, on the grid of its sample rate: a time is
always `frame / rate` for a whole number of frames, so that sums can be compared to the sample
(`frames()` turns a time back). A record is never changed, only succeeded (`dataclasses.replace`).
Samples never travel in records.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Literal

from schemas.ids import digest_of

_ID = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")

Modality = Literal["audio", "page"]
TimesOrigin = Literal["measured", "estimated", "none"]


class RecordError(ValueError):
    """A record was built with values that break its invariants: a bug in a step, not bad data."""


def frames(seconds: float, rate: int) -> int:
    """The frame nearest to a time. Exact for times made by `frame / rate`."""
    return round(seconds * rate)


def _check(condition: bool, record: object, message: str) -> None:
    if not condition:
        raise RecordError(f"{type(record).__name__}: {message} (in {record!r})")


def _check_id(record: object, name: str) -> None:
    value = getattr(record, name)
    if not _ID.fullmatch(value):
        raise RecordError(
            f"{type(record).__name__}: {name} {value!r} is not 32 or 64 hex digits (in {record!r})"
        )


def _check_span(record: object, start: float, end: float) -> None:
    if not 0 <= start <= end < math.inf:  # a NaN is in no order
        raise RecordError(
            f"{type(record).__name__}: needs 0 <= start <= end, has {start}..{end} (in {record!r})"
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """A stretch of a recording with the text that was given for it; seconds from its start."""

    start: float
    end: float
    text: str
    speaker: str | None = None

    def __post_init__(self) -> None:
        _check_span(self, self.start, self.end)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Something asked for. Many sources may hold one recording, and the reverse.

    Licence, speaker and the given text live here, not on the recording: correcting them must not
    decode or transcribe again (licence joins at select; speaker and text make the `Task`).
    """

    id: str
    uri: str
    kind: Modality = "audio"
    licence: str | None = None
    provenance: str = ""  # "table.csv:12", or "" for a file found by walking a folder
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    channel: int | None = None  # from 0; None: all channels of the recording
    cues: tuple[Cue, ...] = ()  # timed text, by start, none overlapping; instead of `text`
    feed: str | None = None  # the feed it was offered by, or the group that a table gives it

    def __post_init__(self) -> None:
        _check_id(self, "id")
        _check(bool(self.uri), self, "uri is empty")
        _check(self.channel is None or self.channel >= 0, self, "channel is negative")


def source_id(uri: str, provenance: str = "") -> str:
    """The id of a source: a digest of its uri and, for a row of a table, of the row's place."""
    return digest_of("source", uri, provenance)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Fetched bytes that claim to be audio. Everything but the id is a claim until decoded."""

    id: str  # sha256 of the bytes, 64 digits
    uri: str  # one place that holds the bytes
    size: int  # bytes
    seconds: float  # probed; 0.0 where the container does not say
    rate: int = 0  # hertz; 0 where unknown
    channels: int = 0
    codec: str = ""
    container: str = ""

    def __post_init__(self) -> None:
        _check_id(self, "id")
        _check(self.size >= 0 and self.seconds >= 0, self, "size and seconds are not negative")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What annotate commits: a recording, and the text, speaker, channel, language given for it."""

    id: str
    recording: str
    channel: int | None = None
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    seconds: float = 0.0  # of stored speech; for balancing only, not part of the id
    cues: tuple[Cue, ...] = ()  # timed text, by start, none overlapping; instead of `text`

    def __post_init__(self) -> None:
        _check_id(self, "id")
        _check_id(self, "recording")


def task_id(
    recording: str,
    channel: int | None,
    text: str | None,
    speaker: str | None,
    language: str | None,
    cues: Sequence[Cue] = (),
) -> str:
    """The id of a task: a digest of the recording and of what was given for it."""
    timed = [[[cue.start, cue.end, cue.text, cue.speaker] for cue in cues]] if cues else []
    return digest_of("task", recording, channel, text, speaker, language, *timed)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Waveform:
    """One decoded channel of a recording, spooled as PCM16 on the worker; lives in hear only."""

    recording: str
    channel: int  # 0 for a mono mix
    rate: int  # after resampling
    length: int  # frames
    source_rate: int
    source_channels: int
    codec: str
    container: str
    pcm_sha256: str  # of the spooled little-endian PCM16
    partial: bool = False  # the file broke off; this is its decodable prefix
    clipped: int = 0  # samples beyond full scale that were clipped on the way to 16 bit

    def __post_init__(self) -> None:
        _check_id(self, "recording")
        _check(self.length >= 0 and self.rate > 0, self, "length and rate are positive")

    @property
    def seconds(self) -> float:
        return self.length / self.rate


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AudioRef:
    """Where samples are stored: a FLAC member inside a content-named tar, and a range in it."""

    tar: str  # sha256 of the tar, 64 digits: OUT/hear/<key>/tars/<tar>.tar
    offset: int  # byte of the FLAC inside the tar
    size: int  # bytes of the FLAC
    start: int  # first frame of the range inside that FLAC
    end: int  # frame after the last
    rate: int

    def __post_init__(self) -> None:
        _check(0 <= self.start <= self.end, self, "needs 0 <= start <= end")
        _check(self.offset >= 0 and self.size >= 0 and self.rate > 0, self, "negative range")

    def cut(self, start: int, end: int) -> "AudioRef":
        """The range [start, end) of this range, both in frames from its first frame."""
        _check(0 <= start <= end <= self.end - self.start, self, f"cannot cut {start}..{end}")
        return dataclasses.replace(self, start=self.start + start, end=self.start + end)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of speech of one channel of a recording, stored once as FLAC."""

    id: str
    recording: str
    channel: int
    start: float  # seconds
    end: float
    rate: int
    speech_seconds: float  # what the detector called speech inside [start, end)
    audio: AudioRef | None = None  # None until hear has committed its tar
    source_rate: int = 0
    source_channels: int = 0
    codec: str = ""
    pcm_sha256: str = ""  # of the whole decoded channel: equal for copies in other containers
    partial: bool = False

    def __post_init__(self) -> None:
        _check_id(self, "id")
        _check_id(self, "recording")
        _check_span(self, self.start, self.end)

    @property
    def seconds(self) -> float:
        return (frames(self.end, self.rate) - frames(self.start, self.rate)) / self.rate


def segment_id(recording: str, channel: int, start: int, end: int, rate: int) -> str:
    """The id of a segment; start and end in frames at `rate`."""
    return digest_of("segment", recording, channel, start, end, rate)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One word of a transcript; times in seconds from the start of the recording."""

    text: str
    start: float
    end: float
    confidence: float | None = None  # 0..1; None where the engine gives none worth keeping
    agreement: float | None = None  # 0..1: share of the engines that heard it; None for one engine

    def __post_init__(self) -> None:
        _check_span(self, self.start, self.end)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Who spoke when, as a diarizer answers: a speaker label that is local to the recording."""

    speaker: str
    start: float
    end: float

    def __post_init__(self) -> None:
        _check_span(self, self.start, self.end)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """One engine's answer for one clip. All answers are kept; the clip's text is one of them."""

    engine: str
    text: str
    quality: str = "normal"  # "normal" | "smoke" | "given"
    language: str | None = None
    language_probability: float | None = None
    words: tuple[Word, ...] = ()
    times: TimesOrigin = "none"
    mean_log_probability: float | None = None
    no_speech_probability: float | None = None
    temperature: float | None = None  # that the text was drawn at; 0: no chance in it
    device: str = ""  # "cpu/int8", "cuda/float16": what decoded it


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A stretch by one speaker: the unit that is filtered, and a fine chunk of a document."""

    id: str
    task: str  # the task it came from (later: the page)
    recording: str
    channel: int
    index: int  # place among its task's clips, by time
    start: float
    end: float
    rate: int
    speaker: str  # local to the recording ("spk0"), or the given name
    speaker_given: bool = False
    text: str = ""
    quality: str = ""  # of the text: see Transcript.quality; "" before transcribe
    language: str | None = None
    language_probability: float | None = None  # of a detected language; None for a given one
    disagreement: float | None = None  # word error rate between the engines' answers
    overlap_seconds: float = 0.0  # of it spoken by several at once, as far as the diarizer says
    times: TimesOrigin = "none"
    words: tuple[Word, ...] = ()
    transcripts: tuple[Transcript, ...] = ()
    audio: AudioRef | None = None
    source_rate: int = 0
    codec: str = ""
    pcm_sha256: str = ""  # of this clip's own samples (little-endian PCM16)
    partial: bool = False

    def __post_init__(self) -> None:
        _check_id(self, "id")
        _check_id(self, "task")
        _check_id(self, "recording")
        _check_span(self, self.start, self.end)

    @property
    def seconds(self) -> float:
        return (frames(self.end, self.rate) - frames(self.start, self.rate)) / self.rate


def clip_id(task: str, channel: int, start: int, end: int, rate: int, speaker: str) -> str:
    """The id of a clip; start and end in frames at `rate`."""
    return digest_of("clip", task, channel, start, end, rate, speaker)


Score = float | int | str | bool | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What one measure says of one clip: values in the order of the measure's `columns`."""

    id: str  # of the clip
    values: tuple[Score, ...]

    def __post_init__(self) -> None:
        _check_id(self, "id")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """An id, or a stretch of one, that left; with enough to explain it to its owner."""

    id: str  # of the record that left (a stretch: of the record it was cut from)
    root: str  # the recording, task or source it descends from
    step: str
    reason: str  # a code of `transforms.step.REASONS` or `step:code` of its own; never free text
    seconds: float  # of audio that left with it
    start: float | None = None  # a stretch of the record; None: the whole of it
    end: float | None = None
    score: float | None = None
    threshold: float | None = None
    detail: str = ""  # values for people; control characters are removed where it is shown

    def __post_init__(self) -> None:
        _check_id(self, "id")
        _check(bool(self.step) and bool(self.reason), self, "step and reason are needed")
        _check(math.isfinite(self.seconds) and self.seconds >= 0, self, "seconds is negative")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Mute:
    """Frames [start, end) of a stored FLAC that are silence wherever they are composed."""

    start: int
    end: int

    def __post_init__(self) -> None:
        _check(0 <= self.start <= self.end, self, "needs 0 <= start <= end")


def muted_seconds(audio: AudioRef | None, mutes: tuple[Mute, ...]) -> float:
    """How much of a stored range is muted; overlapping mutes count once."""
    if audio is None:
        return 0.0
    total, at = 0, audio.start
    for mute in sorted(mutes, key=lambda m: m.start):
        start, end = max(mute.start, at), min(mute.end, audio.end)
        total += max(0, end - start)
        at = max(at, end)
    return total / audio.rate


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """One (audio, text) pair of a document, as a shard holds it; times from the FLAC's start."""

    clip: str
    start: float
    end: float
    text: str
    speaker: str
    words: tuple[Word, ...] = ()
    times: TimesOrigin = "none"
    audio: AudioRef | None = None  # where the samples are before composing; not in the shard
    gap: float = 0.0  # seconds of the recording left out before this chunk; below 0: overlap
    after_drop: bool = False  # a clip was dropped in that gap: views never merge across it
    modality: Literal["both", "speech", "text"] = "both"  # one side: a materialised interleaving
    masked: str = ""  # kinds of personal data that placeholders stand for: "email,phone"
    muted: float = 0.0  # seconds of it that are silence for that reason
    mutes: tuple[Mute, ...] = ()  # where, in the FLAC of `audio`; not in the shard


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """An ordered list of chunks of one recording: X = [(A1,T1) ... (An,Tn)] (SpeLangy a.2)."""

    id: str
    stream: str
    split: str  # "train" | "valid" | "test"
    recording: str
    language: str
    topic: str
    licence: str
    source: str  # uri
    rate: int
    quality: str  # the worst text quality among the chunks
    chunks: tuple[Chunk, ...]

    def __post_init__(self) -> None:
        _check_id(self, "id")
        _check(bool(self.chunks), self, "a document has at least one chunk")

    @property
    def seconds(self) -> float:
        return self.chunks[-1].end


def document_id(stream: str, clips: tuple[str, ...]) -> str:
    """The id of a document: a digest of its stream and of its clips' ids in order."""
    return digest_of("document", stream, list(clips))
