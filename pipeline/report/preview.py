"""Choose the clips a report shows, and make their previews.

The choice is a draw by hash of the id, so it is the same for any order, worker count or part size,
and adding a clip changes at most one card.
"""

import heapq
import io
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from schemas.ids import fraction


def pick(seed: int, label: str, ids: Iterable[str], limit: int) -> list[str]:
    """The `limit` ids with the smallest draws for (seed, `label`), in the order of their draws.

    Takes a stream and holds `limit` ids. An id that comes twice is taken once.
    """
    kept: list[tuple[float, str]] = []
    held: set[str] = set()
    for item in ids:
        if item in held or limit <= 0:
            continue
        entry = (-fraction(seed, f"report:{label}", item), item)
        if len(kept) < limit:
            heapq.heappush(kept, entry)
            held.add(item)
        elif entry > kept[0]:
            held.discard(heapq.heapreplace(kept, entry)[1])
            held.add(item)
    return [item for _, item in sorted(kept, key=lambda entry: (-entry[0], entry[1]))]


def flac(pcm: npt.NDArray[np.int16], rate: int, seconds: float = 12.0) -> tuple[bytes, float]:
    """FLAC of the first `seconds` of mono `pcm`, shape [frames], and how many seconds it holds."""
    import soundfile

    head = pcm[: int(seconds * rate)]
    target = io.BytesIO()
    soundfile.write(target, head, rate, format="FLAC", subtype="PCM_16")
    return target.getvalue(), len(head) / rate
