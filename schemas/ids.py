"""Identity and chance: every id is a digest of content, every draw a function of (seed, step, id).

Ids are lower-case hex. A recording keeps the whole sha256 of its bytes (64 digits) because users
compare it with other tools; every other id is cut to 32 digits (128 bits: a collision among 10^12
ids has probability below 10^-14).
"""

import hashlib
import json
import random
from collections.abc import Iterable
from typing import BinaryIO

ID_DIGITS = 32
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)


def bytes_digest(data: bytes) -> str:
    """The sha256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def stream_digest(stream: BinaryIO, block: int = 1 << 20) -> str:
    """The sha256 of what is left in `stream`, read `block` bytes at a time."""
    digest = hashlib.sha256()
    while data := stream.read(block):
        digest.update(data)
    return digest.hexdigest()


def canonical_json(value: object) -> str:
    """One spelling per value: sorted keys, no spaces, ASCII, no NaN (raises ValueError)."""
    return _CANONICAL.encode(value)


def digest_of(*parts: object) -> str:
    """An id (32 hex digits) of JSON-able `parts`; their order and types count.

    The JSON of a list is self-delimiting, so ("ab", "c") and ("a", "bc") differ.
    """
    return bytes_digest(canonical_json(list(parts)).encode("ascii"))[:ID_DIGITS]


def set_digest(ids: Iterable[str]) -> str:
    """An id of a set of ids: independent of order and of repetition."""
    return digest_of(sorted(set(ids)))


def rng(seed: int, step: str, record_id: str) -> random.Random:
    """The one source of randomness: a generator that depends on its three arguments alone."""
    return random.Random(int(digest_of("rng", seed, step, record_id), 16))


def fraction(seed: int, step: str, record_id: str) -> float:
    """A uniform draw in [0, 1) that belongs to a record: for splits and samples by hash."""
    return int(digest_of("fraction", seed, step, record_id)[:13], 16) / 16**13
