"""Recordings made for measuring: real speech, joined into clips, podcasts and long recordings.

The speech is LibriSpeech from a test corpus beside the repository, or this repository's own samples
where there is none. An utterance is used many times, each time cut elsewhere, at another level and
in other faint noise, so that few leave as duplicates. Every recording gets a text of words that are
made up, two and a half a second: what costs time is that there are words, not what they say. The
same arguments give the same samples.

Written below a folder of the caller's, never into the repository.
"""

import csv
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.circumstances import ROOT

Pcm16 = npt.NDArray[np.int16]
Voices = dict[str, list[Pcm16]]

RATE = 16_000
WORDS_PER_SECOND = 2.5
MOST_CHARACTERS = 95_000  # of a text; a table takes 100,000
PODCAST_SECONDS = 300.0
# When the files say they were written: a file that was written moments before it is digested is
# looked at again by the next run, and the caches would never be warm.
SETTLED = 1_700_000_000
_BLOCK = 60 * RATE  # frames that are written at once


@dataclasses.dataclass(frozen=True)
class Made:
    """A recording that was made."""

    path: pathlib.Path
    seconds: float
    text: str


def voices(corpus: pathlib.Path) -> Voices:
    """Utterances by speaker, 16 kHz mono PCM16."""
    found: Voices = {}
    for path in sorted(corpus.glob("audio/librispeech-test-other/*.flac")):
        found.setdefault(path.name.split("-")[0], []).append(_read(path))
    return found or _own_voices()


def _own_voices() -> Voices:
    found: Voices = {}
    with (ROOT / "samples" / "clips.csv").open(encoding="utf-8", newline="") as table:
        for line in csv.DictReader(table):
            path = ROOT / "samples" / line["audio"]
            found.setdefault(line["speaker"], []).append(_read(path))
    return found


def _read(path: pathlib.Path) -> Pcm16:
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE)
    return np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16)


def _said(source: Sequence[Pcm16], draw: np.random.Generator) -> Pcm16:
    """A stretch of an utterance at a level and in a noise of its own, with a pause after it.

    Stretches begin and end elsewhere each time, or a recognizer would say the same again and the
    clip would leave as a duplicate.
    """
    spoken = source[int(draw.integers(len(source)))]
    third = len(spoken) // 3
    spoken = spoken[int(draw.integers(third)) : len(spoken) - int(draw.integers(third))]
    pause = int(draw.integers(RATE // 4, RATE * 3 // 2))
    louder = np.concatenate([spoken * draw.uniform(0.4, 1.0), np.zeros(pause)])
    louder += draw.normal(0, draw.uniform(5, 30), len(louder))
    return np.clip(np.rint(louder), -32768, 32767).astype(np.int16)


def _talk(source: Voices, speakers: int, seconds: float, seed: int) -> Iterator[Pcm16]:
    """A conversation: at every turn somebody says one to four utterances."""
    draw = np.random.default_rng(seed)
    names = sorted(source)
    chosen = [names[i] for i in draw.permutation(len(names))[:speakers]]
    left = round(seconds * RATE)
    while left > 0:
        name = chosen[int(draw.integers(len(chosen)))]
        for _ in range(int(draw.integers(1, 5))):
            said = _said(source[name], draw)[:left]
            left -= len(said)
            if len(said):
                yield said


def words(seconds: float, seed: int) -> str:
    """A text for a recording: made-up words, fewer a second where it would grow too long."""
    draw = np.random.default_rng(seed)
    count = max(1, round(seconds * WORDS_PER_SECOND))
    syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u")]
    made = [
        "".join(syllables[i] for i in draw.integers(0, len(syllables), int(length)))
        for length in draw.integers(1, 4, min(count, MOST_CHARACTERS // 5))
    ]
    text = " ".join(made)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS].rsplit(" ", 1)[0]


def _written(path: pathlib.Path, blocks: Iterator[Pcm16], seed: int) -> Made:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    length = 0
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for block in blocks:
            for start in range(0, len(block), _BLOCK):
                file.write(block[start : start + _BLOCK])
            length += len(block)
    os.utime(path, (SETTLED, SETTLED))
    return Made(path, length / RATE, words(length / RATE, seed))


def clips(folder: pathlib.Path, source: Voices, seconds: float, seed: int = 1) -> list[Made]:
    """Files of one utterance each (1 to 17 s), FLAC."""
    draw = np.random.default_rng(seed)
    names = sorted(source)
    made: list[Made] = []
    while sum(one.seconds for one in made) < seconds:
        said = _said(source[names[int(draw.integers(len(names)))]], draw)
        number = len(made)
        path = folder / f"clip-{number:05d}.flac"
        made.append(_written(path, iter([said]), 1000 * seed + number))
    return made


def podcasts(folder: pathlib.Path, source: Voices, seconds: float, seed: int = 2) -> list[Made]:
    """Files of five minutes of two voices, MP3; the last one may be shorter."""
    made = []
    left = seconds
    while left > 1:
        length = min(PODCAST_SECONDS, left)
        number = len(made)
        blocks = _talk(source, 2, length, 1000 * seed + number)
        path = folder / f"podcast-{number:03d}.mp3"
        made.append(_written(path, blocks, 1000 * seed + number))
        left -= length
    return made


def long(
    folder: pathlib.Path, source: Voices, seconds: float, seed: int = 3, bits: int = 16
) -> Made:
    """One file of six voices, FLAC. Fewer `bits` a sample make hundreds of hours fit a disk."""
    path = folder / f"long-{round(seconds)}s.flac"
    low = 16 - bits
    blocks = ((block >> low) << low for block in _talk(source, 6, seconds, seed))
    return _written(path, blocks, seed)


def mixed(folder: pathlib.Path, source: Voices, minutes: float) -> list[Made]:
    """A third of the minutes each as clips, as podcasts and as one long file."""
    third = minutes * 60 / 3
    return [
        *clips(folder, source, third),
        *podcasts(folder, source, third),
        long(folder, source, third),
    ]


def table(path: pathlib.Path, made: Sequence[Made], text: bool = True) -> pathlib.Path:
    """A table of the recordings for `--data`, with the text of each unless told otherwise."""
    lines = [
        {"audio": str(one.path.relative_to(path.parent)), "licence": "test corpus"}
        | ({"text": one.text} if text else {})
        for one in made
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
