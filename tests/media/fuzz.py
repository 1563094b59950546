"""Hostile media through the door: `python -m tests.media.fuzz --items 10000 --seed 1`.

Every item must be kept or refused with a declared code; a child that died must show in the count
of restarts; nothing may hang; what a playlist names must not come out. Exit status 1 otherwise.
"""

import argparse
import collections
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.media import made_media as media
from tests.media.hostile import Item, item
from transforms.door import CODES, Door, Limits, MediaError
from transforms.spool import FileSpool

LIMITS = Limits(timeout_seconds=10.0)
CANARY_HERTZ = 5000.0  # no other file of ours holds this tone
DEADLINE = 30.0  # seconds, for two attempts and a restart


@dataclasses.dataclass
class Tally:
    """What became of the items, and what was wrong with it."""

    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    faults: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    wrong: list[str] = dataclasses.field(default_factory=list)
    restarts: int = 0
    slowest: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


def run(seed: int, count: int, folder: Path) -> Tally:
    """Put `count` items of `seed` through one door."""
    (folder / "canary.wav").write_bytes(canary())
    tally = Tally()
    with Door(LIMITS) as door:
        for index in range(count):
            _one(item(seed, index), door, folder, tally)
        tally.restarts = door.restarts
    return tally


def canary() -> bytes:
    """A private file that lies beside the hostile ones; its tone must never come out."""
    return media.write("wav-s16", media.tone(3.0, 16000, CANARY_HERTZ)[None], 16000)


def _one(hostile: Item, door: Door, folder: Path, tally: Tally) -> None:
    path = folder / "hostile"
    path.write_bytes(hostile.data)
    begun, restarts = time.monotonic(), door.restarts
    with FileSpool(folder, 16000, 1 << 28) as spool:
        try:
            decoded = door.decode(path, 16000, "mix", spool)
            outcome = "kept"
            if spool.length(0) != decoded.length:
                tally.wrong.append(f"{_name(hostile)}: lengths differ")
        except MediaError as error:
            outcome = error.code
        leaked = _leaks(spool)
    took = time.monotonic() - begun
    lost = door.restarts - restarts
    tally.slowest = max(tally.slowest, took)
    tally.outcomes[outcome] += 1
    tally.faults[hostile.fault, outcome] += 1
    if outcome != "kept" and outcome not in CODES:
        tally.wrong.append(f"{_name(hostile)}: undeclared {outcome}")
    if hostile.right is not None and outcome not in hostile.right:
        tally.wrong.append(f"{_name(hostile)}: {outcome}, not {sorted(hostile.right)}")
    if (lost == 2) != (outcome in {"crash", "timeout", "memory"}):
        tally.wrong.append(f"{_name(hostile)}: {lost} children lost, yet {outcome}")
    if took > DEADLINE:
        tally.wrong.append(f"{_name(hostile)}: took {took:.1f} s")
    if leaked:
        tally.wrong.append(f"{_name(hostile)}: the canary came out")


def _name(hostile: Item) -> str:
    return f"item {hostile.index} ({hostile.fault})"


def _leaks(spool: FileSpool) -> bool:
    """Whether the canary's tone rules any second of what was decoded."""
    if not spool.channels():
        return False
    for start in range(0, min(spool.length(0), 160000) - 15999, 16000):
        spectrum = np.abs(np.fft.rfft(spool.read(0, start, start + 16000).astype(float)))
        if spectrum.sum() > 0 and spectrum[int(CANARY_HERTZ)] > 0.5 * spectrum.sum():
            return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = run(asked.seed, asked.items, Path(folder))
    for (fault, outcome), number in sorted(tally.faults.items()):
        print(f"{fault:22} {outcome:20} {number:6}")
    print(
        f"{tally.total} items of seed {asked.seed} in {time.monotonic() - begun:.0f} s: "
        f"{tally.outcomes['kept']} kept, {tally.total - tally.outcomes['kept']} refused, "
        f"{tally.restarts} children lost, slowest {tally.slowest:.2f} s, {len(tally.wrong)} wrong"
    )
    print("\n".join(tally.wrong), file=sys.stderr)
    return 1 if tally.wrong or tally.total != asked.items else 0


if __name__ == "__main__":
    sys.exit(main())
