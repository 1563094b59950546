"""What a header states: as a claim before decoding, and as a measure of what is missing after.

FFmpeg shortens the duration of a cut WAV to what is there, and guesses that of an MP3 without a
table; so the sizes that WAV states are read here, and an MP3's duration counts only with a table.
"""

import math

from transforms.door_open import Bytes, Track
from transforms.door_words import Claims

# What came out may miss this much of what was stated before the file counts as broken off.
TOLERANCE = 0.5  # seconds: encoder padding, durations rounded by the container
EXACT_TOLERANCE = 0.01  # where the header counts samples
_EXACT = frozenset({"flac", "wav", "aiff"})
_ESTIMATED = frozenset({"aac", "mpegts"})  # containers whose duration is a guess
_ID3_HEADER = 10


def claims(track: Track, max_ratio: float) -> Claims:
    """What the header says, without decoding more than opening did."""
    context = track.stream.codec_context
    return Claims(
        seconds=_believable(track, stated_seconds(track), max_ratio),
        rate=context.sample_rate or 0,
        channels=context.channels or 0,
        codec=track.codec,
        container=track.format,
    )


def stated_seconds(track: Track) -> float:
    """The duration in the header, believed or not; 0.0 where there is none."""
    stream, container = track.stream, track.container
    if stream.duration is not None and stream.time_base is not None:
        seconds: float = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / 1_000_000
    else:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _believable(track: Track, seconds: float, max_ratio: float) -> float:
    """A stated duration, unless the bytes of the file could not hold it."""
    context = track.stream.codec_context
    if track.codec.startswith("pcm_") and context.bit_rate:
        return float(min(seconds, track.file.size * 8 / context.bit_rate))
    return seconds if seconds * 32_000 <= max(max_ratio * track.file.size, 60 * 32_000) else 0.0


def missing(track: Track) -> str:
    """What the header states beyond what was decoded, in words; empty where it is all there."""
    stated, tolerance = _countable_seconds(track)
    if stated - track.seconds > tolerance:
        return f"states {stated:.3f} s, holds {track.seconds:.3f} s"
    return ""


def _countable_seconds(track: Track) -> tuple[float, float]:
    """The duration that the header states for this track, if it is no guess, and a tolerance."""
    stated = stated_seconds(track)
    if track.format == "wav":
        return _wav_seconds(track), EXACT_TOLERANCE
    if track.format in _ESTIMATED or (track.format == "mp3" and not _has_mp3_table(track.file)):
        return 0.0, TOLERANCE
    if track.stream.duration is None and len(track.container.streams) > 1:
        return 0.0, TOLERANCE  # the container's duration may be the picture's
    return stated, EXACT_TOLERANCE if track.format in _EXACT else TOLERANCE


def _wav_seconds(track: Track) -> float:
    """The seconds that the data chunk of a PCM WAV states; 0.0 where it means "until the end"."""
    per_second = (track.stream.codec_context.bit_rate or 0) / 8
    size = _wav_data_size(track.file)
    # programs that write to a pipe put 0, or 2 or 4 GiB less some headers
    if not track.codec.startswith("pcm_") or not per_second or size >= 0x7FFF0000:
        return 0.0
    return float(size / per_second)


def _wav_data_size(file: Bytes) -> int:
    """What the data chunk's header says; 0 where no such chunk is found among the first."""
    if file.peek(0, 4) != b"RIFF":
        return 0  # RF64 states its size elsewhere, always at the end of writing
    offset = 12
    for _ in range(64):
        head = file.peek(offset, 8)
        if len(head) < 8:
            return 0
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return size
        offset += 8 + size + size % 2
    return 0


def _has_mp3_table(file: Bytes) -> bool:
    """Whether the first frame holds a Xing, Info or VBRI table, which counts the frames."""
    head = file.peek(0, _ID3_HEADER)
    start = 0
    if head[:3] == b"ID3" and len(head) == _ID3_HEADER:
        size = 0
        for byte in head[6:]:
            size = size << 7 | (byte & 0x7F)
        start = _ID3_HEADER + size
    frame = file.peek(start, 2048)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))
