"""Sounds of evaluation items inside clips, by the fingerprints that the measure took.

An evaluation sound is decoded by the door, like every other, on one channel at 16 kHz, and printed
by the function that the measure `fingerprint` calls. Held are prints, never samples: 300 kB per
hour. Sounds below about 1.5 seconds have no print and are counted as such.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from transforms.door import Door
from transforms.door_words import MediaError
from transforms.engines.fingerprinter import fingerprint
from transforms.engines.print_code import Print, from_codes
from transforms.select.evaluation_sets import EvaluationSetError
from transforms.select.near_audio import copies
from transforms.select.shingles import I64
from transforms.spool import FileSpool

_RATE = 16_000
_CAP = 1 << 31  # bytes of one decoded sound: 18 hours
Floats = np.typing.NDArray[np.float64]


def prints_of(files: Sequence[Path]) -> list[Print | None]:
    """The print of each file; None where a sound is too short or silent.

    Raises `EvaluationSetError` for what does not decode.
    """
    found: list[Print | None] = []
    if not files:
        return found
    with Door() as door, tempfile.TemporaryDirectory() as folder:
        for file in files:
            with FileSpool(Path(folder), _RATE, _CAP) as spool:
                try:
                    door.decode(file, _RATE, "mix", spool)
                except MediaError as error:
                    raise EvaluationSetError(
                        f"{file}: the sound of an evaluation item does not decode "
                        f"({error.code}: {error.detail}); mend the file or take it out of the set"
                    ) from error
                found.append(fingerprint(spool.read(0, 0, spool.length(0)), _RATE))
    return found


def heard_in(
    prints: Sequence[Print], codes: pa.ChunkedArray, least: float
) -> list[tuple[int, int, float]]:
    """(number of print, row, share) where at least `least` of one is heard in the other."""
    rows: I64 = np.flatnonzero(codes.combine_chunks().is_valid().to_numpy(zero_copy_only=False))
    if not len(rows) or not prints:
        return []
    shared = copies(prints, from_codes(codes.drop_null().to_pylist()))
    share: Floats = np.maximum(shared.of_low, shared.of_high)
    good = np.flatnonzero(share >= least)
    return [
        (int(shared.low[place]), int(rows[shared.high[place]]), round(float(share[place]), 4))
        for place in good
    ]
