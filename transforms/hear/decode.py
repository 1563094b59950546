"""Decode a recording through the door to PCM16 at the recipe's rate, in the worker's scratch.

The first step of hear, and the only place where a recording's bytes are parsed. One `Waveform`
per kept channel comes out, or one `Drop` for the whole recording with the door's code.

A recording's id is the digest of its bytes, so the file is digested once more before the door opens
it, and its size, time and inode are compared afterwards: samples never stand under an id that is
not theirs. 1.5 GB a second, from the page cache that the decoder then reads.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from schemas.records import Drop, Recording, Waveform
from transforms.door import CODES, Decoded, Door, Limits, MediaError
from transforms.gather.digests import open_regular
from transforms.step import Phase, RecordStep, Scope, ScratchFull


class Decode(RecordStep):
    """Bytes to samples: mixed to mono, or with the channels of a call kept apart."""

    phase: ClassVar[Phase] = "hear"
    reasons: ClassVar[dict[str, str]] = {
        **CODES,
        "changed": "the file does not hold the bytes that were found in it, or changed meanwhile",
        "scratch_full": "its samples would outgrow the scratch space of one recording",
    }

    rate: Literal[16000, 24000] = Field(
        16000, description="Sample rate of everything that follows (Hz; what the engines take)"
    )
    channels: Literal["mix", "split"] = Field(
        "mix", description="mix: equal-weight mono; split: each channel by itself, for calls"
    )
    max_hours: float = Field(
        48.0, gt=0, description="Longest recording that is kept (hours; ours, a day and its night)"
    )
    max_ratio: float = Field(
        400.0,
        gt=0,
        description="Most bytes of samples per byte of file, past a minute (ratio; ours: an hour "
        "of silence in FLAC is 637, speech in Opus at 6 kbit/s is 43)",
    )
    min_seconds: float = Field(
        0.1, ge=0, description="Shortest recording that is kept (seconds; ours, below a syllable)"
    )
    min_partial_seconds: float = Field(
        1.0, ge=0, description="Shortest start of a damaged file that is kept (seconds; ours)"
    )
    timeout_seconds: float = Field(
        60.0, gt=0, description="Time the decoder has for any file (seconds; ours)"
    )
    timeout_per_hour: float = Field(
        120.0, ge=0, description="Time it gets more per hour decoded (seconds; ours, 20x measured)"
    )
    timeout_per_gigabyte: float = Field(
        120.0, ge=0, description="Time it gets more per 10^9 bytes of file (seconds; ours)"
    )
    memory_mb: int = Field(
        1024, ge=384, description="Address space of the decoding process (MiB; ours, 3x measured)"
    )

    def fingerprint(self) -> Any:
        """The decoder's and the resampler's versions: other ones may give other samples."""
        import av
        import soxr

        libraries = av.library_versions
        return {
            "av": av.__version__,
            "ffmpeg": {name: list(libraries[name]) for name in sorted(libraries)},
            "soxr": [soxr.__version__, soxr.__libsoxr_version__],
        }

    def limits(self) -> Limits:
        """The settings as the door takes them."""
        return Limits(
            max_seconds=self.max_hours * 3600,
            max_ratio=self.max_ratio,
            min_seconds=self.min_seconds,
            min_partial_seconds=self.min_partial_seconds,
            timeout_seconds=self.timeout_seconds,
            timeout_per_hour=self.timeout_per_hour,
            timeout_per_gigabyte=self.timeout_per_gigabyte,
            memory_mb=self.memory_mb,
        )

    def load(self) -> Door:
        """A started door. Whoever loads it closes it (`Door.close`); it dies with the worker."""
        door = Door(self.limits())
        door.start()
        return door

    def __call__(
        self, records: Sequence[Recording], model: Door, scope: Scope
    ) -> Iterator[Waveform | Drop]:
        (recording,) = records
        if scope.path is None or scope.sink is None:
            raise ValueError(f"decode needs a path and a sink in the scope of {recording.id}")
        before = _mark(scope.path)
        if before is not None and before[0] != recording.size:
            yield self._drop(recording, "changed", f"{recording.size} bytes became {before[0]}")
            return
        found = _digest(scope.path)
        if found not in (None, recording.id):
            yield self._drop(recording, "changed", f"the sha256 of its bytes is now {found}")
            return
        try:
            decoded = model.decode(scope.path, self.rate, self.channels, scope.sink)
        except MediaError as error:
            yield self._drop(recording, error.code, error.detail)
        except ScratchFull as error:
            yield self._drop(recording, "scratch_full", str(error))
        else:
            if _mark(scope.path) == before:
                yield from _waveforms(recording, decoded)
            else:
                yield self._drop(recording, "changed", "it was written to while it was decoded")

    def _drop(self, recording: Recording, code: str, detail: str) -> Drop:
        return Drop(
            id=recording.id,
            root=recording.id,
            step=self.name(),
            reason=code,
            seconds=recording.seconds,
            detail=detail,
        )


def _mark(path: str) -> tuple[int, int, int] | None:
    """Size, time and inode of a file; None where the door will say better what is wrong."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns, state.st_ino


def _digest(path: str) -> str | None:
    """The sha256 of a file; None where the door will say what is wrong."""
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def _waveforms(recording: Recording, decoded: Decoded) -> Iterator[Waveform]:
    pairs = zip(decoded.sha256, decoded.clipped, strict=True)
    for channel, (digest, clipped) in enumerate(pairs):
        yield Waveform(
            recording=recording.id,
            channel=channel,
            rate=decoded.rate,
            length=decoded.length,
            source_rate=decoded.source_rate,
            source_channels=decoded.source_channels,
            codec=decoded.codec,
            container=decoded.container,
            pcm_sha256=digest,
            partial=decoded.partial,
            clipped=clipped,
        )
