"""How well the offline engines hear: VAD frame error and word error rate on labelled recordings.

    python benchmarks/hearing_accuracy.py [--corpus ../shared/corpus] [--minutes 6]

The corpus folder holds `manifest.jsonl` with the fields audio, source, text, language, rttm. VAD:
every recording with an RTTM, 10 ms frames, all speakers joined, no collar; shares are of all
frames. WER: English recordings with words, at most `--minutes` in all and an equal share of them
per source, upper and lower case, punctuation and apostrophes ignored, texts with digits left out.
Prints two Markdown tables. One core, about 4 minutes.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import re
import time
import unicodedata

import numpy as np
import soundfile
import soxr

from transforms.engines import recognizer, vad
from transforms.hear.segment import SegmentStep, stretches

RATE = vad.RATE
FRAMES_PER_SECOND = 100


def read(path: pathlib.Path) -> np.ndarray:
    """A recording as 16 kHz mono PCM16."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, RATE) * 32768
    return np.clip(np.rint(mono), -32768, 32767).astype(np.int16)


# -- VAD ------------------------------------------------------------------------------------


@dataclasses.dataclass
class FrameErrors:
    """Counts of 10 ms frames."""

    frames: int = 0
    speech: int = 0
    missed: int = 0
    false_alarm: int = 0

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        self.frames += len(truth)
        self.speech += int(truth.sum())
        self.missed += int((truth & ~found).sum())
        self.false_alarm += int((found & ~truth).sum())

    def row(self) -> str:
        missed, alarm = self.missed / self.frames, self.false_alarm / self.frames
        return (
            f"{self.frames / FRAMES_PER_SECOND / 60:.1f} | {self.speech / self.frames:.1%} | "
            f"{missed:.1%} | {alarm:.1%} | {missed + alarm:.1%}"
        )


def mask(spans: list[tuple[float, float]], count: int) -> np.ndarray:
    flags = np.zeros(count, bool)
    for start, end in spans:
        flags[round(start * FRAMES_PER_SECOND) : round(end * FRAMES_PER_SECOND)] = True
    return flags


def labelled(path: pathlib.Path) -> list[tuple[float, float]]:
    rows = [line.split() for line in path.read_text("utf-8").splitlines()]
    return [(float(r[3]), float(r[3]) + float(r[4])) for r in rows if r[:1] == ["SPEAKER"]]


def vad_table(corpus: pathlib.Path, rows: list[dict]) -> None:
    steps = {
        "silero, no padding": SegmentStep(pad_seconds=0.0, min_silence_seconds=0.1),
        "silero, step defaults": SegmentStep(),
        "energy, no padding": SegmentStep(
            engine="energy", pad_seconds=0.0, min_silence_seconds=0.1
        ),
    }
    errors: dict[tuple[str, str], FrameErrors] = collections.defaultdict(FrameErrors)
    spent: dict[str, float] = collections.defaultdict(float)
    durations: list[float] = []
    for row in rows:
        if not row["rttm"]:
            continue
        pcm = read(corpus / row["audio"])
        spans = labelled(corpus / row["rttm"])
        seconds = len(pcm) / RATE
        if row["source"] == "speechbrain-vad":  # labelled as far as the last label only
            seconds = spans[-1][1]
            pcm = pcm[: round(seconds * RATE)]
        count = round(seconds * FRAMES_PER_SECOND)
        curves = {}
        for name, step in steps.items():
            if step.engine not in curves:
                began = time.perf_counter()
                curves[step.engine] = step.load().probabilities([pcm])
                spent[step.engine] += time.perf_counter() - began
            found = stretches(curves[step.engine], step, len(pcm), RATE)
            edges = [(s.start / RATE, s.end / RATE) for s in found]
            for group in (row["source"], "all"):
                errors[group, name].add(mask(spans, count), mask(edges, count))
            if row["source"] == "conversations" and step == SegmentStep():
                durations += [end - start for start, end in edges]
    print("| source | engine | minutes | speech | missed | false alarm | error |")
    print("|---|---|---|---|---|---|---|")
    for (source, name), counts in sorted(errors.items()):
        print(f"| {source} | {name} | {counts.row()} |")
    total = errors["all", "silero, no padding"].frames / FRAMES_PER_SECOND
    print(
        f"\nSegments of the conversations with the defaults: {len(durations)}, mean "
        f"{np.mean(durations):.2f} s, longest {max(durations):.1f} s. Seconds per second of audio: "
        + ", ".join(f"{name} {value / total:.4f}" for name, value in spent.items())
        + ".\n"
    )


# -- words ----------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"[^\w\s]", " ", re.sub(r"['\u2019]", "", plain)).split()


def word_errors(truth: list[str], heard: list[str]) -> int:
    """Insertions, deletions and substitutions of the cheapest alignment."""
    row = list(range(len(heard) + 1))
    for i, wanted in enumerate(truth, 1):
        before, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (wanted != word))
    return row[-1]


def sample(rows: list[dict], minutes: float) -> dict[str, list[dict]]:
    """By source, in the order of the manifest: files up to an equal share of the minutes."""
    usable: dict[str, list[dict]] = collections.defaultdict(list)
    for row in rows:
        if row["text"] and row["language"] == "en" and not re.search(r"\d", row["text"]):
            usable[row["source"]].append(row)
    share = minutes * 60 / max(1, len(usable))
    chosen: dict[str, list[dict]] = {}
    for source, candidates in sorted(usable.items()):
        step = max(1, round(sum(r["duration_s"] for r in candidates) / share))
        chosen[source] = candidates[::step]
    return chosen


def recognizer_table(corpus: pathlib.Path, rows: list[dict], name: str, minutes: float) -> None:
    engine = recognizer.load(name)
    print("| source | files | minutes | words | WER | empty | seconds per second |")
    print("|---|---|---|---|---|---|---|")
    totals = [0.0] * 6
    for source, chosen in sample(rows, minutes).items():
        counts = [0.0] * 6  # files, seconds, words, errors, empty, spent
        for row in chosen:
            pcm = read(corpus / row["audio"])
            began = time.perf_counter()
            answer = engine.transcribe(pcm, RATE, recognizer.Given(language="en"))
            spent = time.perf_counter() - began
            truth = words(row["text"])
            heard = words(answer.text) if answer else []
            for index, value in enumerate(
                (1, len(pcm) / RATE, len(truth), word_errors(truth, heard), not heard, spent)
            ):
                counts[index] += value
        print(_line(source, counts))
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
    print(_line("all", totals))


def _line(source: str, counts: list[float]) -> str:
    files, seconds, spoken, errors, empty, spent = counts
    return (
        f"| {source} | {files:.0f} | {seconds / 60:.1f} | {spoken:.0f} | "
        f"{errors / max(spoken, 1):.1%} | {empty:.0f} | {spent / max(seconds, 1e-9):.3f} |"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--corpus", type=pathlib.Path, default=pathlib.Path("../shared/corpus"))
    options.add_argument("--minutes", type=float, default=6.0, help="of audio for the WER")
    options.add_argument("--engine", default="pocketsphinx", help="recognizer")
    chosen = options.parse_args()
    manifest = chosen.corpus / "manifest.jsonl"
    if not manifest.is_file():
        options.error(f"{manifest} does not exist; name the corpus with --corpus")
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    print("### Voice activity, 10 ms frames\n")
    vad_table(chosen.corpus, rows)
    print(f"### Word error rate of {chosen.engine}\n")
    recognizer_table(chosen.corpus, rows, chosen.engine, chosen.minutes)


if __name__ == "__main__":
    main()
