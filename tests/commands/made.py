"""Made recordings with a table, a fast recipe, and the command line called as a user does."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000

RECIPE = """\
name: fast
seed: 3
streams:
  web:
    - crawl
    - segment: {engine: energy}
    - gate: {min_segment_seconds: 0.3}
    - diarize: {engine: one}
    - transcribe: {engines: [given]}
    - snr
    - text_rate
    - filter: {min_words: 2}
    - dedup
    - split
    - interleave
"""

OVERRIDE = "\u202e"  # turns the direction of what follows on a terminal


def tone(seconds: float, hertz: float) -> npt.NDArray[np.float64]:
    """A buzz that swells as syllables do, which the energy detector takes for speech."""
    at = np.arange(round(seconds * RATE)) / RATE
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * at)
    return np.asarray(0.4 * np.sin(2 * np.pi * hertz * at) * swell)


def hush(seconds: float, seed: int) -> npt.NDArray[np.float64]:
    count = round(seconds * RATE)
    return np.random.default_rng(seed).standard_normal(count) * 1e-4


def write_data(folder: Path) -> Path:
    """Five recordings (one of a single word, one broken), a text file and a lost path; a table."""
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    rows = ["path,text,licence,speaker"]
    for number in range(3):
        pieces = [hush(1, number), tone(3, 200 + 50 * number), hush(1.5, number + 10)]
        pieces += [tone(2, 300 + 30 * number), hush(1, number + 20)]
        soundfile.write(folder / f"a/s{number}.wav", np.concatenate(pieces), RATE)
        text = f"recording {number} has {OVERRIDE}a text that goes on for a while"
        rows.append(f"a/s{number}.wav,{text},CC0-1.0,ann")
    one = np.concatenate([hush(0.5, 40), tone(0.9, 200), hush(0.5, 41)])
    soundfile.write(folder / "b/s0.wav", one, RATE)
    rows.append("b/s0.wav,one,CC-BY-4.0,")
    (folder / "a/broken.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt nothing that follows")
    (folder / "a/notes.txt").write_text("shopping list")
    rows += ["a/broken.wav,none,,", "a/notes.txt,none,,", "a/gone.wav,none,,"]
    table = folder / "table.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    for path in folder.rglob("*.wav"):
        os.utime(path, (1_700_000_000, 1_700_000_000))  # settled: a look at it is remembered
    return table


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


def speechloom(*arguments: str | Path) -> Said:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=100,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@dataclasses.dataclass(frozen=True)
class Made:
    """Data, recipe and an OUT."""

    table: Path
    recipe: Path
    out: Path

    def curate(self, *more: str) -> Said:
        said = speechloom(
            *("curate", "--data", self.table, "--recipe", self.recipe, "--out", self.out),
            *("--workers", "1", "--part", "10min", *more),
        )
        assert said.code == 0, said.err
        return said

    def plan(self, *more: str) -> Said:
        return speechloom(
            *("plan", "--data", self.table, "--recipe", self.recipe, "--out", self.out),
            *("--part", "10min", *more),
        )


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and modification time."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
