"""What the first bytes of a FLAC say of it, without decoding: enough to refuse a wrong length."""

import dataclasses

from schemas.shard import ShardError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FlacInfo:
    rate: int
    channels: int
    bits: int
    frames: int


def flac_info(data: bytes, where: str) -> FlacInfo:
    """The stream information of a FLAC, its first metadata block (RFC 9639, section 8.2).

    Raises `ShardError` where there is none, or where it does not say the number of frames.
    """
    if len(data) < 42 or data[:4] != b"fLaC" or data[4] & 0x7F != 0:
        raise ShardError("bad_flac", f"{where}: not a FLAC stream: it begins {data[:8]!r}")
    packed = int.from_bytes(data[18:26], "big")
    info = FlacInfo(
        rate=packed >> 44,
        channels=(packed >> 41 & 0x7) + 1,
        bits=(packed >> 36 & 0x1F) + 1,
        frames=packed & (1 << 36) - 1,
    )
    if info.rate == 0 or info.frames == 0:
        raise ShardError("bad_flac", f"{where}: its header gives no rate or no length: {info}")
    return info
