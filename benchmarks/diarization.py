"""Who speaks when, measured: error rates, monologues, and the cost of a long recording.

    python benchmarks/diarization.py [--corpus ../shared/corpus] [--hours 4]

Prints Markdown. Error rates are pyannote.metrics' without collar, overlapped speech included; the
engine names one speaker at a time, so overlapped speech is missed by half. The threshold of the
clustering was chosen on voices of the same corpus: read the figures as a check that nothing
broke, not as accuracy on unseen speech. `--hours 0` leaves the long recording out.
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: one thread is what a worker has

import collections
import dataclasses
import json
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from transforms.engines import diarizer, vad
from transforms.hear.segment import SegmentStep, stretches
from transforms.step import Pcm16

RATE = 16_000
Stretches = list[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Spool:
    """One channel of PCM16 in a file or in memory; reads hold no more than they give."""

    length_: int
    path: pathlib.Path | None = None
    samples: Pcm16 | None = None
    rate: int = RATE

    def channels(self) -> list[int]:
        return [0]

    def length(self, channel: int) -> int:
        return self.length_

    def read(self, channel: int, start: int, end: int) -> Pcm16:
        if self.samples is not None:
            return self.samples[start:end]
        assert self.path is not None
        return np.fromfile(self.path, dtype="<i2", count=end - start, offset=2 * start)


def heard(path: pathlib.Path) -> Pcm16:
    """Samples of a file at 16 kHz, channels mixed."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mixed = samples.mean(axis=1)
    if rate != RATE:
        mixed = soxr.resample(mixed, rate, RATE)
    return np.clip(np.rint(mixed * 32768), -32768, 32767).astype(np.int16)


def found_by_vad(engine: vad.Vad, audio: Spool) -> Stretches:
    blocks = (audio.read(0, a, min(a + RATE, audio.length_)) for a in range(0, audio.length_, RATE))
    found = stretches(engine.probabilities(blocks), SegmentStep(), audio.length_, RATE)
    return [(one.start, one.end) for one in found]


def rttm(path: pathlib.Path) -> list[tuple[float, float, str]]:
    rows = (line.split() for line in path.read_text().splitlines())
    return [(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]


def union(turns: list[tuple[float, float, str]], length: int) -> Stretches:
    joined: Stretches = []
    for start, end in sorted((round(a * RATE), round(b * RATE)) for a, b, _ in turns):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return [(a, min(b, length)) for a, b in joined if a < length]


def annotation(turns: list[tuple[float, float, str]]):
    from pyannote.core import Annotation, Segment

    made = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), number] = speaker
    return made


def error_rates(model: diarizer.Diarizer, engine: vad.Vad, audio_root: pathlib.Path) -> None:
    from pyannote.metrics.diarization import DiarizationErrorRate

    print("### Error rates, no collar\n")
    print(
        "| recording | stretches from | speakers | found | DER | missed | false alarm | confusion |"
    )
    print("|---|---|---|---|---|---|---|---|")
    files = [
        *((path, "silero") for path in sorted(audio_root.glob("conversations/*.rttm"))),
        *((path, "reference") for path in sorted(audio_root.glob("conversations/*.rttm"))),
        *((path, "silero") for path in sorted(audio_root.glob("ami-pyannote/*.rttm"))),
        *((path, "reference") for path in sorted(audio_root.glob("ami-pyannote/*.rttm"))),
    ]
    sums: dict[tuple[str, str], collections.Counter[str]] = {}
    kinds = ("missed detection", "false alarm", "confusion")
    for path, origin in files:
        sound = next(path.parent.glob(f"{path.stem}.[fw][la][av]*"))
        samples = heard(sound)
        audio = Spool(len(samples), samples=samples)
        truth = rttm(path)
        places = found_by_vad(engine, audio) if origin == "silero" else union(truth, len(samples))
        turns = [(t.start, t.end, t.speaker) for t in model.turns(audio, 0, places, RATE)]
        rates = DiarizationErrorRate()(annotation(truth), annotation(turns), detailed=True)
        total = sums.setdefault((path.parent.name, origin), collections.Counter())
        total.update({kind: rates[kind] for kind in (*kinds, "total")})
        row = [sum(rates[kind] for kind in kinds), *(rates[kind] for kind in kinds)]
        names = [len({name for *_, name in rows}) for rows in (truth, turns)]
        cells = " | ".join(f"{value / rates['total']:.3f}" for value in row)
        print(f"| {path.stem} | {origin} | {names[0]} | {names[1]} | {cells} |")
    for (folder, origin), total in sums.items():
        row = [sum(total[kind] for kind in kinds), *(total[kind] for kind in kinds)]
        cells = " | ".join(f"**{value / total['total']:.3f}**" for value in row)
        print(f"| **{folder}, all** | {origin} | | | {cells} |")


def monologues(model: diarizer.Diarizer, corpus: pathlib.Path) -> None:
    """Files of one named speaker, and all files of one speaker joined."""
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text().splitlines()]
    voices: dict[str, list[Pcm16]] = {}
    wrong: list[str] = []
    files = 0
    for row in rows:
        if row["kind"] != "speech" or row["rttm"] or row["speaker"] in (None, "many"):
            continue
        samples = heard(corpus / row["audio"])
        voices.setdefault(row["speaker"], []).append(samples)
        files += 1
        speakers = count(model, [samples])
        if speakers != 1:
            wrong.append(f"{row['audio']}: {speakers}")
    joins = {name: count(model, parts) for name, parts in voices.items() if len(parts) > 1}
    split = [f"{name}: {number}" for name, number in joins.items() if number != 1]
    print("\n### One speaker must stay one\n")
    print("| what | recordings | came out as one | the others |")
    print("|---|---|---|---|")
    print(f"| files of one speaker | {files} | {files - len(wrong)} | {', '.join(wrong) or '-'} |")
    print(
        f"| all files of a speaker joined | {len(joins)} | {len(joins) - len(split)} "
        f"| {', '.join(split) or '-'} |"
    )


def count(model: diarizer.Diarizer, parts: list[Pcm16]) -> int:
    """Speakers found where each part is one stretch of a recording."""
    ends = np.cumsum([len(part) for part in parts]).tolist()
    joined = np.concatenate(parts)
    places = [(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
    turns = model.turns(Spool(len(joined), samples=joined), 0, places, RATE)
    return len({turn.speaker for turn in turns})


def utterances(corpus: pathlib.Path) -> dict[str, list[Pcm16]]:
    found: dict[str, list[Pcm16]] = {}
    for path in sorted(corpus.glob("audio/librispeech-test-other/*.flac")):
        found.setdefault(path.name.split("-")[0], []).append(heard(path))
    return found


def made_talk(corpus: pathlib.Path, seconds: float) -> Iterator[tuple[str, Pcm16]]:
    """Utterances of six readers in random order, each repeat at another level in other noise."""
    draw = np.random.default_rng(20)
    voices = utterances(corpus)
    length = 0
    while length < seconds * RATE:
        name = sorted(voices)[int(draw.integers(len(voices)))]
        part = voices[name][int(draw.integers(len(voices[name])))]
        pause = int(draw.integers(RATE // 4, RATE * 3 // 2))
        spoken = np.concatenate([part * draw.uniform(0.4, 1.0), np.zeros(pause)])
        spoken += draw.normal(0, draw.uniform(5, 60), len(spoken))
        length += len(spoken)
        yield name, np.clip(np.rint(spoken), -32768, 32767).astype(np.int16)


def peak() -> float:
    """Most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def long_recording(
    model: diarizer.Diarizer, engine: vad.Vad, corpus: pathlib.Path, hours: float
) -> None:
    from pyannote.metrics.diarization import DiarizationErrorRate

    print("\n### A long recording of six readers, one thread\n")
    print(
        "| hours | stretches | VAD s | diarizer s | RTF of the diarizer | speakers | confusion "
        "| peak MB | of it before |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for length in (hours / 48, hours):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "talk.pcm"
            truth: list[tuple[float, float, str]] = []
            place = 0
            with path.open("wb") as out:
                for name, samples in made_talk(corpus, length * 3600):
                    out.write(samples.astype("<i2").tobytes())
                    truth.append((place / RATE, (place + len(samples)) / RATE, name))
                    place += len(samples)
            audio = Spool(place, path=path)
            begun = time.perf_counter()
            places = found_by_vad(engine, audio)
            cut = time.perf_counter()
            before = peak()
            turns = model.turns(audio, 0, places, RATE)
            done = time.perf_counter()
            most = peak()
            spoken = [(t.start, t.end, t.speaker) for t in turns]
            # pyannote.metrics takes minutes for thousands of turns: ten minutes in the middle do
            middle = (length * 1800 - 300, length * 1800 + 300)
            window = [
                [
                    (max(a, middle[0]), min(b, middle[1]), name)
                    for a, b, name in rows
                    if a < middle[1] and b > middle[0]
                ]
                for rows in (truth, spoken)
            ]
            rates = DiarizationErrorRate()(*map(annotation, window), detailed=True)
            print(
                f"| {length:.2f} | {len(places)} | {cut - begun:.1f} | {done - cut:.1f} "
                f"| {(done - cut) / place * RATE:.4f} | {len({name for *_, name in spoken})} of 6 "
                f"| {rates['confusion'] / rates['total']:.3f} | {most:.0f} | {before:.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = pathlib.Path(__file__).resolve().parents[2] / "shared" / "corpus"
    parser.add_argument("--corpus", type=pathlib.Path, default=default)
    parser.add_argument("--hours", type=float, default=4.0, help="of the long recording; 0: none")
    chosen = parser.parse_args()
    model = diarizer.engine("resemblyzer")(diarizer.Options())
    engine = vad.engine("silero")()
    error_rates(model, engine, chosen.corpus / "audio")
    monologues(model, chosen.corpus)
    if chosen.hours:
        long_recording(model, engine, chosen.corpus, chosen.hours)


if __name__ == "__main__":
    main()
