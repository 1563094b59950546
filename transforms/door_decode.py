"""An opened track to PCM16 blocks, up to its end or to the first damage. Runs in the child only.

A damaged file keeps the prefix that decoded, marked partial: what comes after damage may be
misplaced in time. (MP3 and ADTS go on: splices leave packets that are no audio.) What a header
says is never believed: limits count decoded frames. Frames are joined end to end, so a gap in a
stream's own timestamps closes.
"""

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.door_claims import missing
from transforms.door_mix import Mixdown
from transforms.door_open import Track, check_shape
from transforms.door_words import ChannelMode, Limits, MediaError

BLOCK_FRAMES = 1 << 16  # frames mixed and resampled at a time: 4 s at 16 kHz
# Packets in a row that may fail before the first frame (a stream cut out of another), and at any
# place in formats that find their own way back: spliced podcasts have tags between their frames.
PASSED_OVER = 8
_SELF_SYNCHRONISING = frozenset({"mp3", "aac"})


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
    failed = total = 0
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            if packet.has_sidedata("encryption_info"):  # ciphertext decodes to noise
                raise MediaError("unsupported_codec", "encrypted")
            frames = packet.decode()
        except MemoryError:
            raise
        except bad as error:
            if track.file.failure is not None:
                raise MediaError("io", str(track.file.failure)) from error
            failed, total = failed + 1, total + 1
            track.damage = f"{total} packet(s) did not decode: {error}"
            astray = track.frames and track.format not in _SELF_SYNCHRONISING
            if astray or failed > PASSED_OVER:
                return
            continue
        failed = 0 if frames else failed
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
    damage = track.damage or missing(track)
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
