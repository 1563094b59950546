"""A corpus made by arithmetic: bursts of voiced sound with pauses, and files that are no good.

Nothing here is speech, but the weightless detector finds its bursts, so every law about bytes,
counts and order can be tested in seconds. All of it follows from names and fixed seeds. Times of
modification lie an hour back, as they do for files that somebody copied before lunch: a file that
is younger than two seconds is never remembered by its time alone.
"""

import csv
import dataclasses
import io
import os
import time
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from transforms import flac

RATE = 16000
WORDS = tuple(
    f"{first}{last}"
    for first in ("river", "garden", "candle", "winter", "copper", "harbour")
    for last in ("stone", "light", "road", "house")
)

Pcm = npt.NDArray[np.int16]


def voice(seed: int, seconds: float, rate: int = RATE) -> Pcm:
    """Bursts of a hummed tone with harmonics, 0.6 to 2 s each, and pauses of 0.7 to 1.2 s."""
    chance = np.random.default_rng(seed)
    total = round(seconds * rate)
    sound = chance.normal(0, 12, total)
    at = round(0.4 * rate)
    while at < total - rate // 2:
        length = min(round(chance.uniform(0.6, 2.0) * rate), total - at - rate // 4)
        time_line = np.arange(length) / rate
        pitch = chance.uniform(90, 220)
        tone = sum(
            np.sin(2 * np.pi * pitch * k * time_line + chance.uniform(0, 6)) / k
            for k in range(1, 9)
        )
        envelope = np.minimum(1, np.minimum(time_line, time_line[::-1]) / 0.03)
        sound[at : at + length] += 5000 * envelope * tone * (1 + 0.3 * np.sin(9 * time_line))
        at += length + round(chance.uniform(0.7, 1.2) * rate)
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)


def wav(pcm: Pcm, rate: int = RATE) -> bytes:
    """A WAV of samples [frames] or [frames, channels]."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1 if pcm.ndim == 1 else pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
    return target.getvalue()


def words(seed: int, count: int) -> str:
    chance = np.random.default_rng(1000 + seed)
    return " ".join(WORDS[i] for i in chance.integers(0, len(WORDS), count))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table."""

    audio: str
    text: str = ""
    speaker: str = ""
    licence: str = ""
    channel: str = ""


def stereo(seed: int, seconds: float, rate: int) -> Pcm:
    return np.stack([voice(seed, seconds, rate), voice(seed + 1, seconds, rate)], axis=1)


def files() -> dict[str, bytes]:
    """Every file of the corpus by name: good ones, a copy, and three that hold nothing."""
    plain = {f"talk{n}.wav": wav(voice(n, seconds)) for n, seconds in enumerate(LENGTHS)}
    return {
        **plain,
        "call.wav": wav(stereo(50, 9.0, 44100), 44100),
        "tape.flac": flac.encode(voice(60, 8.0), RATE),
        "again.flac": flac.encode(voice(1, LENGTHS[1]), RATE),  # the samples of talk1.wav
        "copy/talk2.wav": plain["talk2.wav"],  # the bytes of talk2.wav
        "silent.wav": wav(np.zeros(3 * RATE, np.int16)),
        "broken.wav": b"RIFF\x10\x00\x00\x00WAVEfmt " + bytes(range(200)),
        "empty.wav": b"",
    }


LENGTHS = (6.0, 9.0, 7.0, 12.0, 5.0, 10.0, 8.0, 6.5, 11.0, 7.5)


def rows() -> list[Row]:
    """The table: texts, speakers and licences; the call is two rows, one per channel."""
    made = [
        Row(
            audio=name,
            text=words(place, 12 + place),
            speaker=f"voice {place % 3}",
            licence=("CC-BY-4.0", "CC0-1.0")[place % 2],
        )
        for place, name in enumerate(name for name in files() if name != "call.wav")
    ]
    call = [
        Row(
            audio="call.wav",
            channel=str(c),
            text=words(70 + c, 9),
            speaker=f"party {c}",
            licence="CC0-1.0",
        )
        for c in (0, 1)
    ]
    return [*made, *call]


def write_file(path: Path, data: bytes, age: float = 3600.0) -> None:
    """Write a file and make it look `age` seconds old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    then = time.time() - age
    os.utime(path, (then, then))


def write_table(path: Path, table: Iterable[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([field.name for field in dataclasses.fields(Row)])
        writer.writerows(dataclasses.astuple(row) for row in table)
    return path


def write_corpus(
    folder: Path, names: Sequence[str] | None = None, table: Sequence[Row] | None = None
) -> Path:
    """Write the corpus, or some of its files in that order, and its table. Returns the table."""
    made = files()
    wanted = list(made) if names is None else list(names)
    for name in wanted:
        write_file(folder / name, made[name])
    if table is None:
        table = [row for row in rows() if row.audio in wanted]
    return write_table(folder / "table.csv", table)
