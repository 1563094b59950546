"""What both sides of the door say: limits, answers, the codes of refusal, and how they are framed.

The parent (`transforms.door`) asks over a socket, the child (`transforms.door_child`) answers
over a pipe. Frames are length-prefixed: JSON for what is said, raw PCM16 for what is decoded.
Nothing here imports PyAV, so the parent stays light.
"""

import dataclasses
import json
import struct
from typing import Any, Literal

ChannelMode = Literal["mix", "split"]

CODES: dict[str, str] = {
    "empty": "the file has no bytes",
    "not_audio": "the bytes are of no format that is known",
    "format_not_allowed": "the bytes are of a format that is not on the list of allowed ones",
    "unsupported_codec": "the audio is encrypted or of a codec that is not allowed",
    "no_audio": "the file is a known container without an audio track",
    "broken": "the file breaks off or is damaged before enough of it could be decoded",
    "too_long": "it decodes to more seconds than the limit",
    "bomb": "it decodes to far more bytes than its size can honestly hold",
    "bad_rate": "its sample rate is outside 4 to 384 kHz",
    "too_many_channels": "it has more than 32 channels",
    "non_finite": "it holds samples that are NaN or infinite",
    "zero_samples": "it is well-formed and holds no samples",
    "too_short": "it decodes to fewer seconds than the limit",
    "crash": "the decoder crashed on it twice",
    "timeout": "the decoder hung on it twice",
    "memory": "the decoder ran out of its memory limit on it twice",
    "io": "the file cannot be read",
}

MIN_RATE = 4_000  # hertz; outside, resampling would make nothing or everything of a lying header
MAX_RATE = 384_000
MAX_CHANNELS = 32


class MediaError(Exception):
    """Bytes that do not become audio. `code` is one of `CODES`; `detail` is for people."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one file may cost. Times grow with what was decoded, never with what a header says."""

    max_seconds: float = 48 * 3600.0
    max_ratio: float = 400.0  # bytes spooled per byte of file, once past `ratio_floor_bytes`
    ratio_floor_bytes: int = 60 * 32_000  # a minute of mono 16 kHz: short silence is no bomb
    min_seconds: float = 0.1
    min_partial_seconds: float = 1.0  # a shorter prefix of a damaged file is not worth keeping
    timeout_seconds: float = 60.0
    timeout_per_hour: float = 120.0  # seconds more per decoded hour
    timeout_per_gigabyte: float = 120.0  # seconds more per 10^9 bytes of file
    memory_mb: int = 1024  # address space of the child

    def budget(self, size: int, decoded_seconds: float) -> float:
        """Seconds the child may have taken once it has decoded so much of a file of `size`."""
        return (
            self.timeout_seconds
            + self.timeout_per_hour * decoded_seconds / 3600
            + self.timeout_per_gigabyte * size / 1e9
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claims:
    """What a header says. A duration that the bytes could not hold is no claim: 0.0."""

    seconds: float
    rate: int
    channels: int
    codec: str
    container: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """What was decoded: one entry per kept channel in `sha256` and `clipped`."""

    rate: int
    length: int  # frames, equal for all channels
    source_rate: int  # of the first decoded frame
    source_channels: int
    source_frames: int
    codec: str
    container: str
    track: int  # index of the stream in the container
    tracks: int  # audio tracks it had to choose from
    sha256: tuple[str, ...]  # of the little-endian PCM16 of each channel
    clipped: tuple[int, ...]
    partial: bool
    detail: str = ""  # why it is partial

    @property
    def seconds(self) -> float:
        return self.length / self.rate


# --- framing ---------------------------------------------------------------------------------

HEADER = struct.Struct("<cBI")  # kind, channels, then bytes of JSON or frames per channel
SAID = b"J"
SAMPLES = b"P"
REQUEST = struct.Struct("<I")


def said(message: dict[str, Any]) -> bytes:
    """One JSON frame of the child."""
    body = json.dumps(message, allow_nan=False).encode("ascii")
    return HEADER.pack(SAID, 0, len(body)) + body


def request(message: dict[str, Any]) -> bytes:
    """One question of the parent; the file's descriptor travels beside its first byte."""
    body = json.dumps(message, allow_nan=False).encode("ascii")
    return REQUEST.pack(len(body)) + body
