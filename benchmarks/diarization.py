"""Who speaks when, measured: error rates, monologues, and the cost of a long recording.

    python benchmarks/diarization.py [--corpus ../shared/corpus] [--hours 4]
    python benchmarks/diarization.py --agreement [--hours 4]
    python benchmarks/diarization.py --pyannote DIR [--hours 10]
    python benchmarks/diarization.py --pyannote tiny --hours 10

Prints Markdown. Error rates are pyannote.metrics' without collar, overlapped speech included; the
engine names one speaker at a time, so overlapped speech is missed by half. The threshold of the
clustering was chosen on voices of the same corpus: read the figures as a check that nothing
broke, not as accuracy on unseen speech. `--hours 0` leaves the long recording out.

`--agreement` asks what windows cost: how much of a 40-minute recording has the same speaker, under
the best one-to-one naming, whether it is clustered as a whole or in parts that are linked. First
for resemblyzer's blocks, then for the windows and the linking that pyannote uses, with
resemblyzer's voices in them. `--pyannote` runs a pipeline directory over long recordings, for its
memory and time; where its checkpoints name a module of their own, put that on PYTHONPATH. `tiny`
is the pipeline of the tests, whose models cost next to nothing, over three tones that take turns:
what is left is pyannote's own bookkeeping, our windows and the linking, and the answer is known.
10 hours of it take about 3 minutes.
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

from transforms.engines import diarizer, timeline, vad, voice
from transforms.engines.windowed import Heard, Windowed
from transforms.hear.segment import SegmentStep, stretches
from transforms.step import Pcm16

ROOT = pathlib.Path(__file__).resolve().parents[1]
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


def utterances(corpus: pathlib.Path, folders: str) -> dict[str, list[Pcm16]]:
    found: dict[str, list[Pcm16]] = {}
    for path in sorted(corpus.glob(f"audio/{folders}/*.flac")):
        found.setdefault(path.name.split("-")[0], []).append(heard(path))
    return found


def made_talk(
    corpus: pathlib.Path, seconds: float, hard: bool = False
) -> Iterator[tuple[str, Pcm16]]:
    """Utterances of six readers in random order, each repeat at another level in other noise.

    `hard`: of twelve readers, in turns of 1.5 to 5 s.
    """
    draw = np.random.default_rng(20)
    voices = utterances(corpus, "librispeech-*" if hard else "librispeech-test-other")
    voices = dict(sorted(voices.items())[:12])
    length = 0
    while length < seconds * RATE:
        name = sorted(voices)[int(draw.integers(len(voices)))]
        part = voices[name][int(draw.integers(len(voices[name])))]
        if hard:
            start = int(draw.integers(max(1, len(part) - 2 * RATE)))
            part = part[start : start + int(draw.integers(RATE * 3 // 2, RATE * 5))]
        pause = int(draw.integers(RATE // 4, RATE * 3 // 2))
        spoken = np.concatenate([part * draw.uniform(0.4, 1.0), np.zeros(pause)])
        spoken += draw.normal(0, draw.uniform(5, 60), len(spoken))
        length += len(spoken)
        yield name, np.clip(np.rint(spoken), -32768, 32767).astype(np.int16)


def peak() -> float:
    """Most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_talk(
    corpus: pathlib.Path, path: pathlib.Path, seconds: float, hard: bool = False
) -> tuple[Spool, list[tuple[float, float, str]]]:
    """The made talk as a file, and who speaks when in it."""
    truth: list[tuple[float, float, str]] = []
    place = 0
    with path.open("wb") as out:
        for name, samples in made_talk(corpus, seconds, hard):
            out.write(samples.astype("<i2").tobytes())
            truth.append((place / RATE, (place + len(samples)) / RATE, name))
            place += len(samples)
    return Spool(place, path=path), truth


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
            audio, truth = write_talk(corpus, path, length * 3600)
            place = audio.length_
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


class ByVoice:
    """Resemblyzer as a listener of windows: its turns, and the mean of each speaker's voice."""

    def __init__(self) -> None:
        self._encoder = voice.load_encoder()
        self._model = diarizer.Resemblyzer(diarizer.Options(block_windows=5000), self._encoder)

    def hear(self, samples: np.ndarray, most_speakers: int | None) -> Heard:
        audio = Spool(len(samples), samples=np.rint(samples * 32768).astype(np.int16))
        sounding = np.flatnonzero(samples)
        breaks = np.flatnonzero(np.diff(sounding) > RATE // 20)
        starts = sounding[np.r_[0, breaks + 1]] if len(sounding) else []
        ends = sounding[np.r_[breaks, len(sounding) - 1]] + 1 if len(sounding) else []
        places = [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
        turns = self._model.turns(audio, 0, places, RATE)
        voices = [(t.start, t.end, int(t.speaker.removeprefix("spk"))) for t in turns]
        means = []
        for speaker in range(1 + max((v[2] for v in voices), default=-1)):
            windows = []
            for start, end, _ in (v for v in voices if v[2] == speaker):
                part = samples[round(start * RATE) : round(end * RATE)]
                windows += voice.mel_windows(voice.mel_spectrogram(voice.raised(part)))
            means.append(self._encoder.embed(windows).mean(axis=0))
        return Heard(voices, voices, np.array(means, dtype=np.float32).reshape(-1, voice.SIZE))


def labels_of(turns: list[tuple[float, float, str]], length: int) -> np.ndarray:
    """The number of the speaker in each 10 ms, -1 for none."""
    found = np.full(length // (RATE // 100) + 1, -1)
    names = {name: number for number, name in enumerate(dict.fromkeys(t[2] for t in turns))}
    for start, end, name in turns:
        found[round(start * 100) : round(end * 100)] = names[name]
    return found


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """The share of what both label that has the same speaker under the best naming."""
    from scipy.optimize import linear_sum_assignment

    both = (one >= 0) & (other >= 0)
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one[both], other[both]), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / both.sum())


def windows_agree(engine: vad.Vad, corpus: pathlib.Path, hard: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        audio, spoken = write_talk(corpus, pathlib.Path(folder) / "talk.pcm", 2400, hard)
        places = found_by_vad(engine, audio)
        truth = labels_of(spoken, audio.length_)

        def labels(model: diarizer.Diarizer) -> tuple[np.ndarray, int]:
            turns = [(t.start, t.end, t.speaker) for t in model.turns(audio, 0, places, RATE)]
            named = [turn for turn in turns if turn[2]]
            return labels_of(named, audio.length_), len({turn[2] for turn in named})

        people = len({turn[2] for turn in spoken})
        turns = "turns of 1.5 to 5 s" if hard else "whole utterances"
        print(f"\n### 40 minutes of {people} readers, {turns}, as a whole and in parts\n")
        print("| engine | part | speakers | agrees with the whole | agrees with the truth |")
        print("|---|---|---|---|---|")
        resemblyzer = diarizer.engine("resemblyzer")
        whole, found = labels(resemblyzer(diarizer.Options(block_windows=5000)))
        print(f"| resemblyzer | whole | {found} | 1 | {agreement(whole, truth):.4f} |")
        for block in (2000, 1000, 500):
            part, found = labels(resemblyzer(diarizer.Options(block_windows=block)))
            print(
                f"| resemblyzer | {block} windows ({block * 0.8 / 60:.0f} min) | {found} "
                f"| {agreement(part, whole):.4f} | {agreement(part, truth):.4f} |",
                flush=True,
            )
        listener = ByVoice()
        options = diarizer.Options(window_seconds=7200.0)
        whole, found = labels(Windowed(options, listener))
        print(f"| windows of voices | whole | {found} | 1 | {agreement(whole, truth):.4f} |")
        for seconds, similarity in ((1200, 0.7), (1200, 0.8), (1200, 0.9), (300, 0.7), (300, 0.9)):
            options = diarizer.Options(window_seconds=seconds, link_similarity=similarity)
            part, found = labels(Windowed(options, listener))
            print(
                f"| windows of voices | {seconds // 60} min, 1 shared, linked from {similarity} "
                f"| {found} | {agreement(part, whole):.4f} | {agreement(part, truth):.4f} |",
                flush=True,
            )


def tone_talk(seconds: float, path: pathlib.Path) -> tuple[Spool, list[tuple[float, float, str]]]:
    """Three tones that take turns of 2 to 8 s, as a file, and who sounds when."""
    from tiny_pyannote import VOICES

    hertz = VOICES[::2]  # of those that one window tells apart
    draw = np.random.default_rng(21)
    truth: list[tuple[float, float, str]] = []
    place, last = 0, -1
    with path.open("wb") as out:
        while place < seconds * RATE:
            voice_ = int(draw.choice([v for v in range(len(hertz)) if v != last]))
            length, pause = int(draw.integers(2 * RATE, 8 * RATE)), int(draw.integers(1, RATE))
            tone = 8000 * np.sin(2 * np.pi * hertz[voice_] * np.arange(length) / RATE)
            out.write(np.rint(np.concatenate([tone, np.zeros(pause)])).astype("<i2").tobytes())
            truth.append((place / RATE, (place + length) / RATE, str(voice_)))
            place, last = place + length + pause, voice_
    return Spool(place, path=path), truth


def tiny_pipeline(folder: pathlib.Path) -> pathlib.Path:
    """The pipeline of the tests; its module becomes importable, as its checkpoints need."""
    sys.path.insert(0, str(ROOT / "tests" / "engines"))
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # its module imports pyannote.audio
    import tiny_pyannote

    folder.mkdir()
    return tiny_pyannote.save_pipeline(folder)


def pyannote_cost(place: str, engine: vad.Vad, corpus: pathlib.Path, hours: float) -> None:
    """Memory and time of a pipeline; with `tiny`, whether it finds who is there, too."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = place == "tiny"
        if tiny:
            place = str(tiny_pipeline(pathlib.Path(folder) / "tiny"))
        made = diarizer.engine(f"pyannote/{place}")
        before = peak()
        model = made(diarizer.Options())
        print("\n### pyannote.audio, windows of 20 minutes, one thread\n")
        print(f"Peak before the model {before:.0f} MB, with it {peak():.0f} MB.\n")
        print("| hours | on the line | s | RTF | speakers | same speaker | peak MB |")
        print("|---|---|---|---|---|---|---|")
        for length in (hours / 30, hours / 10, hours):
            talk = pathlib.Path(folder) / "talk.pcm"
            if tiny:
                audio, truth = tone_talk(length * 3600, talk)
                places = union(truth, audio.length_)
            else:
                audio, truth = write_talk(corpus, talk, length * 3600)
                places = found_by_vad(engine, audio)
            begun = time.perf_counter()
            turns = model.turns(audio, 0, places, RATE)
            took = time.perf_counter() - begun
            line = timeline.laid_out(places, RATE)[-1].until
            named = [(t.start, t.end, t.speaker) for t in turns if t.speaker]
            same = "-"
            if named:
                labels = [labels_of(one, audio.length_) for one in (named, truth)]
                same = f"{agreement(*labels):.4f}"
            print(
                f"| {length:.2f} | {line / RATE / 3600:.2f} | {took:.1f} "
                f"| {took * RATE / audio.length_:.4f} | {len({name for *_, name in named})} "
                f"| {same} | {peak():.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = pathlib.Path(__file__).resolve().parents[2] / "shared" / "corpus"
    parser.add_argument("--corpus", type=pathlib.Path, default=default)
    parser.add_argument("--hours", type=float, default=4.0, help="of the long recording; 0: none")
    parser.add_argument("--agreement", action="store_true", help="only: what windows change")
    parser.add_argument(
        "--pyannote", metavar="DIR", help="only: a pipeline's memory and time; tiny: the tests'"
    )
    chosen = parser.parse_args()
    model = diarizer.engine("resemblyzer")(diarizer.Options())
    engine = vad.engine("silero")()
    if chosen.pyannote:
        pyannote_cost(chosen.pyannote, engine, chosen.corpus, chosen.hours)
        return
    if chosen.agreement:
        if chosen.hours:  # first: the peak is of the whole process
            long_recording(model, engine, chosen.corpus, chosen.hours)
        windows_agree(engine, chosen.corpus, hard=False)
        windows_agree(engine, chosen.corpus, hard=True)
        return
    error_rates(model, engine, chosen.corpus / "audio")
    monologues(model, chosen.corpus)
    if chosen.hours:
        long_recording(model, engine, chosen.corpus, chosen.hours)


if __name__ == "__main__":
    main()
