"""Is the path through the pipeline any worse than calling the engines by hand?

    python benchmarks/through_pipeline.py [--corpus ../shared/corpus] [--minutes 4]

The same files twice: each decoded whole and given to the engine directly, and curated by the
command line. Compared are voice activity (frame error over every labelled recording), speakers (DER
over the conversations and meetings), and words: each recognizer's and their vote's (ROVER). The
recognizers are pocketsphinx and the small Whisper of the tests, under two names so that a vote has
three voices. `whole`: one clip of at most 30 s per file; `segments`: silero cuts the speech first,
so that what is compared is the pipeline's way of hearing a file with the engine's own.

The last table pads Whisper's windows in every way a recipe can. Without a corpus, only the clips of
the small Whisper. About 4 minutes on one core.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: one thread is what a worker has

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # run as a file, too

import soundfile

from benchmarks.circumstances import CORPUS, ROOT, circumstances, head, row
from benchmarks.diarization import Spool, annotation, found_by_vad, rttm
from benchmarks.hearing_accuracy import (
    FRAMES_PER_SECOND,
    RATE,
    FrameErrors,
    labelled,
    mask,
    read,
    sample,
    word_errors,
    words,
)
from pipeline import commits, layout
from pipeline.pointers import read_pointers
from schemas.ids import bytes_digest
from schemas.records import Clip, Segment, Transcript
from schemas.store import Store
from transforms.annotate import rover
from transforms.engines import diarizer, recognizer, vad
from transforms.engines.whisper import WhisperSettings
from transforms.hear.segment import SegmentStep, stretches

TOY = "faster-whisper/tests/assets/whisper-toy"
AGAIN = "faster-whisper/./tests/assets/whisper-toy"  # the same model under another name
VOTE = "vote"
ENGINES = ("pocketsphinx", TOY, AGAIN)

Spans = list[tuple[float, float]]  # seconds
Turns = list[tuple[float, float, str]]  # seconds, speaker
Truth = dict[pathlib.Path, str]


def corpus_files(minutes: float, corpus: pathlib.Path = CORPUS) -> Truth:
    """Files of the corpus with English words and no digits, some of every source."""
    lines = (corpus / "manifest.jsonl").read_text("utf-8").splitlines()
    chosen = sample([json.loads(line) for line in lines], minutes)
    return {corpus / r["audio"]: r["text"] for rows in chosen.values() for r in rows}


def toy_files() -> Truth:
    """The English clips that the small Whisper was made for."""
    folder = ROOT / "tests/assets/whisper-toy/clips"
    return {
        folder / one["file"]: " ".join(sentence["text"] for sentence in one["sentences"])
        for one in json.loads((folder / "clips.json").read_text("utf-8"))
        if one["language"] == "en" and one["sentences"]
    }


# -- the pipeline ---------------------------------------------------------------------------


@dataclasses.dataclass
class Curated:
    """What a run stored of one file."""

    segments: list[Segment] = dataclasses.field(default_factory=list)
    clips: list[Clip] = dataclasses.field(default_factory=list)


def curated(
    paths: Iterable[pathlib.Path], *settings: str, given: bool = False
) -> dict[Any, Curated]:
    """What stands in hear and annotate of each file after a run of the command line.

    `given`: with a text of so many words for each that no clip leaves for want of one.
    """
    paths = list(paths)
    with tempfile.TemporaryDirectory() as folder:
        data, out = pathlib.Path(folder) / "data", pathlib.Path(folder) / "out"
        data.mkdir()
        table = ["path,text"]
        for place, path in enumerate(paths):
            (data / f"{place:05d}{path.suffix}").symlink_to(path.resolve())
            text = "word " * (10 * (1 + round(soundfile.info(path).duration)) if given else 0)
            table.append(f"{place:05d}{path.suffix},{text.strip()}")
        (data / "table.csv").write_text("\n".join(table) + "\n")
        command = [
            *(sys.executable, "-m", "pipeline", "curate", "--follow-links"),
            *("--data", str(data / "table.csv"), "--out", str(out)),
            *(part for setting in settings for part in ("--set", setting)),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        store = Store(out)
        keys = read_pointers(store)[0].streams["web"]
        found = {bytes_digest(path.read_bytes()): Curated() for path in paths}
        for entry in store.list(layout.commits_folder("hear", keys.hear)):
            for segment in commits.records(store, entry.name, "row", Segment):
                found[segment.recording].segments.append(segment)
        for entry in store.list(layout.commits_folder("annotate", keys.annotate)):
            for clip in commits.records(store, entry.name, "row", Clip):
                found[clip.recording].clips.append(clip)
    for one in found.values():
        one.segments.sort(key=lambda s: (s.channel, s.start))
        one.clips.sort(key=lambda c: (c.channel, c.start))
    return {path: found[bytes_digest(path.read_bytes())] for path in paths}


# -- who speaks, and when -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Heard:
    """Speech and speakers of one file, by hand or from a run."""

    spans: Spans
    turns: Turns


def heard_directly(paths: Iterable[pathlib.Path]) -> dict[pathlib.Path, Heard]:
    """silero with the step's defaults, and resemblyzer on what it found."""
    engine, step = vad.engine("silero")(), SegmentStep()
    model = diarizer.engine("resemblyzer")(diarizer.Options())
    found = {}
    for path in paths:
        samples = read(path)
        curve = engine.probabilities([samples])
        spans = [(s.start, s.end) for s in stretches(curve, step, len(samples), RATE)]
        audio = Spool(len(samples), samples=samples)
        turns = model.turns(audio, 0, found_by_vad(engine, audio), RATE)
        found[path] = Heard(
            spans=[(start / RATE, end / RATE) for start, end in spans],
            turns=[(turn.start, turn.end, turn.speaker) for turn in turns],
        )
    return found


def heard_curated(paths: Iterable[pathlib.Path]) -> dict[pathlib.Path, Heard]:
    """The same engines with the same settings, by the command line."""
    runs = curated(paths, "transcribe.engines=[given]", given=True)
    return {
        path: Heard(
            spans=[(s.start, s.end) for s in one.segments],
            turns=[(c.start, c.end, c.speaker) for c in one.clips],
        )
        for path, one in runs.items()
    }


def frame_errors(found: dict[pathlib.Path, Heard]) -> FrameErrors:
    """10 ms frames of all files, against the labels beside them."""
    errors = FrameErrors()
    for path, heard in found.items():
        spans = labelled(path.with_suffix(".rttm"))
        seconds = len(read(path)) / RATE
        if path.parent.name == "speechbrain-vad":  # labelled as far as the last label only
            seconds = spans[-1][1]
        count = round(seconds * FRAMES_PER_SECOND)
        errors.add(mask(spans, count), mask(heard.spans, count))
    return errors


def diarization_error(found: dict[pathlib.Path, Heard]) -> float:
    """DER over all files, no collar, overlapped speech counted."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    wrong = total = 0.0
    for path, heard in found.items():
        truth = annotation(rttm(path.with_suffix(".rttm")))
        rates = DiarizationErrorRate()(truth, annotation(heard.turns), detailed=True)
        wrong += sum(rates[kind] for kind in ("missed detection", "false alarm", "confusion"))
        total += rates["total"]
    return wrong / total


@dataclasses.dataclass(frozen=True)
class Pair:
    """A figure by hand and through the pipeline."""

    name: str
    files: int
    by_hand: float
    through: float

    def __str__(self) -> str:
        return row(
            self.name,
            self.files,
            f"{self.by_hand:.2%}",
            f"{self.through:.2%}",
            f"{100 * (self.through - self.by_hand):+.2f}",
        )


def who_and_when(labelled_files: Sequence[pathlib.Path]) -> list[Pair]:
    """Frame error over all files; DER over those whose labels name speakers."""
    by_hand, through = heard_directly(labelled_files), heard_curated(labelled_files)
    pairs = []
    shares = [
        (errors.missed + errors.false_alarm) / errors.frames
        for errors in (frame_errors(by_hand), frame_errors(through))
    ]
    pairs.append(Pair("voice activity: frame error, silero", len(labelled_files), *shares))
    for folder in ("conversations", "ami-pyannote"):
        some = [path for path in labelled_files if path.parent.name == folder]
        if some:
            rates = [diarization_error({p: run[p] for p in some}) for run in (by_hand, through)]
            pairs.append(Pair(f"DER, resemblyzer, {folder}", len(some), *rates))
    return pairs


# -- words ----------------------------------------------------------------------------------

Texts = dict[str, dict[pathlib.Path, str]]  # engine or VOTE -> file -> text


def said_directly(truth: Truth, engines: Sequence[str] = ENGINES) -> Texts:
    """What each engine says of each whole file, and their vote."""
    asked = [recognizer.load(engine) for engine in engines]
    found: Texts = {name: {} for name in (*engines, VOTE)}
    for path in truth:
        pcm = read(path)
        answers = [
            engine.transcribe(pcm, RATE, recognizer.Given(language="en"))
            or Transcript(engine=engine.name, text="")
            for engine in asked
        ]
        for answer in answers:
            found[answer.engine][path] = answer.text
        found[VOTE][path] = rover.combine(answers, len(pcm) / RATE).text
    return found


def said_curated(truth: Truth, whole: bool, engines: Sequence[str] = ENGINES) -> Texts:
    """The same out of the clips of a run: every engine's answer stands in the row."""
    runs = curated(
        truth,
        f"transcribe.engines=[{', '.join(engines)}]",
        "transcribe.combine=rover",
        "transcribe.language=en",
        *(["segment.engine=whole", "diarize.engine=one"] if whole else []),
    )
    found: Texts = {}
    for path, one in runs.items():
        rows = [{t.engine: t.text for t in clip.transcripts} for clip in one.clips]
        for engine in engines:
            text = " ".join(said.get(engine, "") for said in rows)
            found.setdefault(engine, {})[path] = " ".join(text.split())
        found.setdefault(VOTE, {})[path] = " ".join(clip.text for clip in one.clips)
    return found


def rate(truth: Truth, heard: dict[pathlib.Path, str]) -> float:
    """Word error rate over all files."""
    pairs = [(words(text), words(heard[path])) for path, text in truth.items()]
    return sum(word_errors(t, h) for t, h in pairs) / sum(len(t) for t, _ in pairs)


def same(one: dict[pathlib.Path, str], other: dict[pathlib.Path, str]) -> int:
    """Files of which both say the same words."""
    return sum(words(text) == words(other[path]) for path, text in one.items())


def word_rows(name: str, truth: Truth, engines: Sequence[str] = ENGINES) -> list[str]:
    by_hand = said_directly(truth, engines)
    whole, segments = (said_curated(truth, cut, engines) for cut in (True, False))
    rows = []
    for engine in (*engines, VOTE):
        rates = [rate(truth, said[engine]) for said in (by_hand, whole, segments)]
        rows.append(
            row(
                f"{name}, {len(truth)}",
                {TOY: "small Whisper", AGAIN: "the same again"}.get(engine, engine),
                *(f"{one:.1%}" for one in rates),
                f"{100 * (rates[1] - rates[0]):+.1f}, {100 * (rates[2] - rates[0]):+.1f}",
                f"{same(by_hand[engine], whole[engine])} of {len(truth)}",
            )
        )
    return rows


# -- padding --------------------------------------------------------------------------------


def padding_rows() -> list[str]:
    """The small Whisper on its own clips with every padding; times against padding to 30 s."""
    truth = toy_files()
    given = [recognizer.Given(language="en")] * len(truth)
    samples = [read(path) for path in truth]
    rows, first = [], None
    for padding, size in (("full", 1), ("full", 8), ("longest", 1), ("longest", 8)):
        settings = WhisperSettings(padding=padding, batch_size=size)
        engine: Any = recognizer.load(TOY, settings)
        began = time.process_time()
        answers = engine.transcribe_all(samples, RATE, given)
        spent = time.process_time() - began
        first = first or answers
        right = sum(words(a.text) == words(t) for a, t in zip(answers, truth.values(), strict=True))
        moved = max(
            max(abs(x.start - y.start), abs(x.end - y.end))
            for a, b in zip(answers, first, strict=True)
            for x, y in zip(a.words, b.words, strict=True)
        )
        rows.append(row(padding, size, f"{right} of {len(truth)}", f"{moved:.2f}", f"{spent:.2f}"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=pathlib.Path, default=CORPUS)
    parser.add_argument("--minutes", type=float, default=4.0, help="of corpus audio for words")
    chosen = parser.parse_args()
    there = (chosen.corpus / "manifest.jsonl").is_file()
    print(circumstances())
    if there:
        print("#### Speech and speakers\n")
        print(head("what", "files", "by hand", "through the pipeline", "difference, points"))
        lines = (chosen.corpus / "manifest.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        for pair in who_and_when([chosen.corpus / r["audio"] for r in rows if r["rttm"]]):
            print(pair)
    print("\n#### Words\n")
    print(
        head("files", "engine", "by hand", "whole", "segments", "differences", "same words, whole")
    )
    sets = {"clips of the small Whisper": toy_files()}
    if there:
        sets["corpus"] = corpus_files(chosen.minutes, chosen.corpus)
    for name, truth in sets.items():
        print("\n".join(word_rows(name, truth)), flush=True)
    print("\n#### Padding of Whisper's windows\n")
    print(head("padding", "batch", "right words", "times differ by at most, s", "CPU s"))
    print("\n".join(padding_rows()))


if __name__ == "__main__":
    main()
