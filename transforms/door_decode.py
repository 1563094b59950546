"""An opened track to PCM16 blocks, up to its end or to the first damage. Runs in the child only.

A damaged file keeps the prefix that decoded, marked partial: what comes after damage may be
misplaced in time. What a header says is never believed: limits count decoded frames. Frames are
joined end to end, so a gap in a stream's own timestamps closes.
"""

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.door_mix import Mixdown
from transforms.door_open import Track, check_shape, stated_seconds
from transforms.door_words import ChannelMode, Limits, MediaError

BLOCK_FRAMES = 1 << 16  # frames mixed and resampled at a time: 4 s at 16 kHz
LEADING_ERRORS = 8  # packets that may fail before the first frame (a stream cut out of another)
# a stated duration that is missed by more than both of these means that the file broke off
MISSING_SECONDS = 0.5
MISSING_SHARE = 0.02
_ESTIMATED = frozenset({"mp3", "aac", "mpegts"})  # containers whose duration is a guess


def blocks(track: Track) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """Decoded samples `[channels, frames]` and their rate, about `BLOCK_FRAMES` at a time.

    Ends at the end or at the first damage, which it notes in `track.damage`: what was decoded
    before is good. Raises `MediaError` for what no prefix can excuse.
    """
    held: list[npt.NDArray[Any]] = []
    kind: tuple[int, int, str] | None = None
    count = 0
    for frame in _frames(track):
        found = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if found != kind or count >= BLOCK_FRAMES:
            if kind is not None and held:
                yield _joined(held, kind), kind[0]
            held, count = [], 0
            if found != kind:
                if not _fits(track, found[0], found[1]):
                    return
                kind = found
        held.append(frame.to_ndarray())
        count += frame.samples
        track.frames += frame.samples
        track.seconds += frame.samples / frame.sample_rate
    if kind is not None and held:
        yield _joined(held, kind), kind[0]


def _fits(track: Track, rate: int, channels: int) -> bool:
    """Whether decoding may go on with frames of this kind: the first decides, later may damage."""
    if not track.rate:
        if rate <= 0 or channels <= 0:
            raise MediaError("bad_rate", f"{rate} Hz, {channels} channels")
        check_shape(rate, channels)
        track.rate, track.channels = rate, channels
        return True
    try:
        check_shape(max(rate, 1), channels)
    except MediaError as error:
        track.damage = f"frames change to {error.detail}"
        return False
    return True


def _joined(held: list[npt.NDArray[Any]], kind: tuple[int, int, str]) -> npt.NDArray[Any]:
    together = np.concatenate(held, axis=1)
    if together.shape[0] == kind[1]:
        return together  # planar, or mono
    return np.ascontiguousarray(together.reshape(-1, kind[1]).T)


def _frames(track: Track) -> Iterator[Any]:
    """Frames of the track up to the end or the first damage."""
    import av.error

    bad = (av.error.FFmpegError, OSError, ValueError, EOFError)
    packets = track.container.demux(track.stream)
    failed = 0
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except MemoryError:
            raise
        except bad as error:
            if track.file.failure is not None:
                raise MediaError("io", str(track.file.failure)) from error
            failed += 1
            track.damage = f"{type(error).__name__}: {error}"
            if track.frames or failed > LEADING_ERRORS:
                return
            continue
        for frame in frames:
            if frame.samples > 0:
                yield frame


def decoded(
    track: Track, rate: int, mode: ChannelMode, limits: Limits
) -> Generator[npt.NDArray[np.int16], None, dict[str, Any]]:
    """PCM16 blocks `[kept channels, frames]` of a track; returns what is to be said of it.

    Raises `MediaError` where a limit is passed, or where too little came out.
    """
    mixdown = Mixdown(rate, mode)
    ceiling = max(limits.max_ratio * track.file.size, limits.ratio_floor_bytes)
    for block, source_rate in blocks(track):
        try:
            ready = mixdown.feed(block, source_rate)
        except MediaError as error:
            if error.code != "broken":
                raise
            track.damage = error.detail
            break
        if track.seconds > limits.max_seconds:
            raise MediaError("too_long", f"more than {limits.max_seconds:g} s")
        if 2 * mixdown.length * len(mixdown.clipped) > ceiling:
            raise MediaError(
                "bomb", f"{track.file.size} bytes became {track.seconds:.0f} s and were not done"
            )
        yield from ready
    yield from mixdown.flush()
    return _summary(track, mixdown, limits)


def _summary(track: Track, mixdown: Mixdown, limits: Limits) -> dict[str, Any]:
    seconds = mixdown.length / mixdown.rate
    damage = track.damage or _missing(track)
    if not mixdown.length:
        if damage:
            raise MediaError("broken", damage)
        raise MediaError("zero_samples", "no frame came out")
    if damage and seconds < limits.min_partial_seconds:
        raise MediaError("broken", f"only {seconds:.3f} s before: {damage}")
    if seconds < limits.min_seconds:
        raise MediaError("too_short", f"{seconds:.4f} s")
    return {
        "length": mixdown.length,
        "source_rate": track.rate,
        "source_channels": track.channels,
        "source_frames": track.frames,
        "codec": track.codec,
        "container": track.format,
        "track": track.stream.index,
        "tracks": track.tracks,
        "clipped": mixdown.clipped,
        "partial": bool(damage),
        "detail": damage,
    }


def _missing(track: Track) -> str:
    """Whether the header states clearly more than came out: a cut file may decode silently."""
    stated = stated_seconds(track)
    if track.format in _ESTIMATED or (track.format == "wav" and _is_unknown_size(track)):
        return ""
    if stated - track.seconds > max(MISSING_SECONDS, MISSING_SHARE * stated):
        return f"states {stated:.3f} s, holds {track.seconds:.3f} s"
    return ""


def _is_unknown_size(track: Track) -> bool:
    """Streamed WAV writes a size of about 2 or 4 GiB that means "until the end"."""
    context = track.stream.codec_context
    stated = stated_seconds(track) * (context.bit_rate or 0) / 8
    return bool(stated >= 0x7FFFF000 - 4096)
