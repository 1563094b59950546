"""How fast speech becomes tokens: from FLAC in memory, as a share of decoding the FLAC alone.

    python benchmarks/tokens.py [--clips 300] [--repeats 9] [--artefact units.safetensors]

Decoding with soundfile, and nothing else, is what no tokenizer of stored audio can beat. Both are
timed in this process on one thread in CPU seconds, in turns, and the medians of their shares are
printed with the lowest and highest. Clips are 5 s at 16 kHz, of the corpus or made. Goal for dMel:
at least 0.45.
"""

import argparse
import io
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import soundfile
import threadpoolctl

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from transforms import flac
from transforms.engines.tokenizer import load

RATE = 16_000
SECONDS = 5
GOAL = 0.45
SPECS = ("dmel", "dmel/20x4", "dmel/25x3")


def clips(count: int) -> tuple[list[bytes], str]:
    """FLACs of 5 s, and where they are from."""
    found: list[bytes] = []
    for path in sorted(on.CORPUS.rglob("*.flac")) if on.CORPUS.is_dir() else []:
        info = soundfile.info(path)
        if info.samplerate == RATE and info.channels == 1:
            found += cut(soundfile.read(path, dtype="int16")[0])
        if len(found) >= count:
            break
    return (found[:count], "speech of the corpus") if found else (cut(noise(count)), "made sound")


def noise(count: int) -> npt.NDArray[np.int16]:
    """Coloured noise that comes and goes: FLAC takes about as long for it as for speech."""
    rng = np.random.default_rng(0)
    walk = np.convolve(rng.normal(0, 1, count * SECONDS * RATE), np.ones(8) / 8, "same")
    swell = np.sin(np.arange(len(walk)) * 2 * np.pi * 3 / RATE) ** 2
    return (walk * swell * 3000).astype(np.int16)


def cut(sound: npt.NDArray[np.int16]) -> list[bytes]:
    size = SECONDS * RATE
    starts = range(0, len(sound) - size + 1, size)
    return [flac.encode(sound[start : start + size], RATE) for start in starts]


def seconds(work: Callable[[bytes], object], data: list[bytes]) -> float:
    """CPU seconds for all clips, one after the other."""
    begun = time.process_time()
    for one in data:
        work(one)
    return time.process_time() - begun


def decode(data: bytes) -> npt.NDArray[np.int16]:
    found: npt.NDArray[np.int16] = soundfile.read(io.BytesIO(data), dtype="int16")[0]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300, help="of 5 s (300)")
    parser.add_argument("--repeats", type=int, default=9, help="pairs of timings (9)")
    parser.add_argument("--artefact", action="append", default=[], help="k-means units to time too")
    options = parser.parse_args()
    threadpoolctl.threadpool_limits(1)
    data, source = clips(options.clips)
    heard = len(data) * SECONDS
    print(on.circumstances())
    print(f"{len(data)} clips of {SECONDS} s ({source}), {options.repeats} pairs, CPU time.\n")
    print(on.row("work", "audio s per CPU s", "share of decoding", "lowest", "highest", "goal"))
    print(on.row("---", "--:", "--:", "--:", "--:", "--:"))
    slow = False
    for spec in (*SPECS, *(f"kmeans/{path}" for path in options.artefact)):
        tokenizer = load(spec)
        tokenizer.encode(decode(data[0]), RATE)  # filters and libraries are loaded by the first

        def both(one: bytes, encode: Callable[..., object] = tokenizer.encode) -> object:
            return encode(flac.decode(one), RATE)

        alone, whole = [], []
        for _ in range(options.repeats):
            alone.append(seconds(decode, data))
            whole.append(seconds(both, data))
        shares = [a / w for a, w in zip(alone, whole, strict=True)]
        share = statistics.median(shares)
        if spec == SPECS[0]:
            speed = heard / statistics.median(alone)
            print(on.row("decoding alone (soundfile)", f"{speed:,.0f}", "1.00", "", "", ""))
            slow = share < GOAL
        print(
            on.row(
                f"FLAC to {spec}",
                f"{heard / statistics.median(whole):,.0f}",
                f"{share:.2f}",
                f"{min(shares):.2f}",
                f"{max(shares):.2f}",
                GOAL if spec == SPECS[0] else "",
            )
        )
    if slow:
        print(f"\ndmel is below {GOAL} of decoding", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
