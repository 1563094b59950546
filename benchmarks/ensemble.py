"""What several recognizers gain: error rates of each and of their vote, on the same files.

    python -m benchmarks.ensemble [--corpus ../shared/corpus] [--sentences 60] [--files 40]

Prints Markdown. Three sets, each with recognizers that can say something on it:

- sentences of the small Whisper's grammar that it was not trained on, spoken by espeak-ng in white
  noise, by that model with two searches and by pocketsphinx;
- the clips of `samples/`, none of them of that grammar: the model writes fluent sentences of its
  own, and with two searches of it beside one other engine they win every vote;
- read English of the corpus, by pocketsphinx with three settings.

Errors are counted over normalised words, all files of a set together. First: how long the chunks
are that `sentences` makes.
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: one thread is what a worker has

import csv
import dataclasses
import json
import pathlib
import random
import runpy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.circumstances import CORPUS, ROOT, circumstances, row
from benchmarks.spoken import RATE, Speaker, Spoken
from schemas.records import Clip, Task, Transcript, Word, clip_id, frames, task_id
from transforms.annotate import rover
from transforms.annotate.lattice import edits, network, tokens_of
from transforms.annotate.sentences import Sentences
from transforms.engines.normalizer import compared_words
from transforms.engines.recognizer import Given, PocketSphinx
from transforms.engines.whisper import FasterWhisper, WhisperSettings
from transforms.step import Pcm16, Scope

TOY = ROOT / "tests" / "assets" / "whisper-toy"
GIVEN = Given(language="en")
Item = tuple[Pcm16, str]  # sound at 16 kHz, and what was said


def sphinx(name: str, **settings: Any) -> PocketSphinx:
    """pocketsphinx with other settings of its search: an engine that errs a little differently."""
    import pocketsphinx

    engine = PocketSphinx()
    engine.name = name
    if settings:
        engine._decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", **settings)
    return engine


def toys() -> list[Any]:
    engines = [FasterWhisper(str(TOY), WhisperSettings(beam_size=beam)) for beam in (5, 1)]
    for engine, name in zip(
        engines, ("small Whisper, beam 5", "small Whisper, greedy"), strict=True
    ):
        engine.name = name
    return engines


def heard(path: pathlib.Path) -> Pcm16:
    """Samples of a file at 16 kHz, channels mixed."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mixed = soxr.resample(samples.mean(axis=1), rate, RATE)
    return np.clip(np.rint(mixed * 32767), -32768, 32767).astype(np.int16)


def noisy_sentences(count: int, noise: float) -> Iterator[Item]:
    """Held-out sentences of the grammar in white noise of a standard deviation (full scale: 1)."""
    sentence = runpy.run_path(str(TOY / "sentences.py"))["sentence"]
    chance, speaker = random.Random(5), Speaker()
    for place in range(count):
        text = sentence(chance, "en", held_out=True)
        pcm = speaker.say(text, "en-us").pcm
        hiss = np.random.default_rng(place).normal(0, noise * 32767, len(pcm))
        yield np.clip(np.rint(pcm + hiss), -32768, 32767).astype(np.int16), text


def sample_clips() -> Iterator[Item]:
    with open(ROOT / "samples" / "clips.csv", newline="") as table:
        for line in csv.DictReader(table):
            yield heard(ROOT / "samples" / line["audio"]), line["text"]


def read_english(corpus: pathlib.Path, count: int) -> Iterator[Item]:
    """Files of the corpus, evenly from those with a text and more than two seconds."""
    lines = [json.loads(line) for line in (corpus / "manifest.jsonl").open()]
    fit = [
        line
        for line in lines
        if line["text"] and line["language"] == "en" and 2 < line["duration_s"] < 10
    ]
    for line in fit[:: max(1, len(fit) // count)][:count]:
        yield heard(corpus / line["audio"]), line["text"]


@dataclasses.dataclass
class Count:
    """Errors of one answerer over a set."""

    wrong: int = 0
    words: int = 0

    def add(self, text: str, said: str) -> None:
        reference = compared_words(said, "en")
        self.wrong += edits(compared_words(text, "en"), reference)
        self.words += len(reference)

    def __str__(self) -> str:
        return f"{100 * self.wrong / max(self.words, 1):.1f} %"


def measured(title: str, engines: Sequence[Any], items: Sequence[Item]) -> None:
    """One table: each engine, their vote, the best engine per file, and words by agreement."""
    names = [engine.name for engine in engines]
    counts = {name: Count() for name in (*names, "vote of all", "best answer of each file")}
    right: dict[int, list[int]] = {votes: [0, 0] for votes in range(1, len(engines) + 1)}
    apart: list[tuple[float, float]] = []
    for pcm, said in items:
        answers = [
            engine.transcribe(pcm, RATE, GIVEN) or Transcript(engine=engine.name, text="")
            for engine in engines
        ]
        answers = [dataclasses.replace(answer, language="en") for answer in answers]
        voted = rover.combine(answers, len(pcm) / RATE)
        for name, answer in zip(names, answers, strict=True):
            counts[name].add(answer.text, said)
        counts["vote of all"].add(voted.text, said)
        best = min(
            answers, key=lambda a: edits(compared_words(a.text, "en"), compared_words(said, "en"))
        )
        counts["best answer of each file"].add(best.text, said)
        for word, correct in judged(voted, said):
            votes = round((word.agreement or 0) * len(engines))
            right[votes][0] += correct
            right[votes][1] += 1
        one = Count()
        one.add(voted.text, said)
        apart.append((voted.disagreement or 0.0, one.wrong / max(one.words, 1)))
    seconds = sum(len(pcm) for pcm, _ in items) / RATE
    print(f"### {title}: {len(items)} files, {seconds:.0f} s, {counts[names[0]].words} words\n")
    print(row("answer", "word error rate"))
    print(row("---", "---:"))
    for name, count in counts.items():
        print(row(name, count))
    print()
    for votes, (good, all_) in sorted(right.items(), reverse=True):
        if all_:
            share = 100 * good / all_
            print(f"- words heard by {votes} of {len(engines)}: {all_}, right {share:.0f} %")
    middle = sorted(apart)[len(apart) // 2][0]
    sides = ([e for d, e in apart if d <= middle], [e for d, e in apart if d > middle])
    rates = [f"{100 * sum(side) / len(side):.0f} %" if side else "none" for side in sides]
    print(f"- disagreement at most {middle:.2f}: mean error rate {rates[0]}; above: {rates[1]}\n")


def judged(voted: rover.Combined, said: str) -> Iterator[tuple[Word, bool]]:
    """Each word of a vote, and whether the reference has it at that place."""
    ours = tokens_of(Transcript(engine="vote", text=voted.text, words=voted.words), 0, "en")
    truth = tokens_of(Transcript(engine="truth", text=said), 1, "en")
    for slot in network([ours, truth]):
        if 0 in slot and slot[0].word is not None:
            yield slot[0].word, 1 in slot and slot[1].key == slot[0].key


class Silence:
    """Sound of any length without samples worth reading: `sentences` only digests them."""

    rate = RATE

    def channels(self) -> list[int]:
        return [0]

    def length(self, channel: int) -> int:
        return 1 << 30

    def read(self, channel: int, start: int, end: int) -> Pcm16:
        return np.zeros(end - start, np.int16)


def chunked(title: str, turns: Sequence[Spoken]) -> None:
    """One row: how long clips are before and after `sentences`."""
    task = Task(id=task_id("0" * 64, None, None, None, None), recording="0" * 64)
    clips, at = [], 0.0
    for index, turn in enumerate(turns):
        first, last = frames(at, RATE), frames(at + turn.seconds, RATE)
        words = tuple(Word(text=w, start=at + s, end=at + e) for w, s, e in turn.words)
        clips.append(
            Clip(
                id=clip_id(task.id, 0, first, last, RATE, "spk0"), task=task.id,
                recording="0" * 64, channel=0, index=index, start=first / RATE, end=last / RATE,
                rate=RATE, speaker="spk0", text=turn.text, times="measured", words=words,
                language="en",
            )
        )  # fmt: skip
        at += turn.seconds + 0.5
    step = Sentences()
    parts = list(step(clips, step.load(), Scope(root=task, seed=0, audio=Silence())))
    lengths = np.array([part.seconds for part in parts])
    print(
        row(
            title,
            len(clips),
            f"{sum(clip.seconds for clip in clips) / len(clips):.1f} s",
            len(parts),
            f"{lengths.mean():.1f} s",
            f"{np.quantile(lengths, 0.05):.1f} to {np.quantile(lengths, 0.95):.1f} s",
        )
    )


def chunk_lengths() -> None:
    print("### Chunks that `sentences` makes with its defaults\n")
    print(row("speech", "clips", "mean", "chunks", "mean", "90 % within"))
    print(row("---", "---:", "---:", "---:", "---:", "---:"))
    texts = json.loads((ROOT / "samples" / "texts.json").read_text())
    speaker = Speaker()
    turns = [speaker.say(text, "en-us", 150) for _, text in texts["podcast"]["turns"]]
    chunked("turns of the sample podcast, spoken by espeak-ng", turns)
    sentences = texts["monologue"]["sentences"]
    groups = [" ".join(sentences[i : i + 6]) for i in range(0, len(sentences), 6)]
    chunked(
        "the sample monologue, six sentences a clip", [speaker.say(g, "en-us", 150) for g in groups]
    )
    (toy, _) = toys()
    answers = []
    for name in ("several_slt", "several_rms", "conversation"):
        pcm = heard(TOY / "clips" / f"{name}.flac")
        answer = toy.transcribe(pcm, RATE, GIVEN)
        words = [(word.text.strip(), word.start, word.end) for word in answer.words]
        answers.append(Spoken(answer.text, pcm, words))
    chunked("clips of the small Whisper, as it hears them", answers)
    print("\nSpeLangy's fine chunks last 5.2 s on average, its coarse ones 19.2 s.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, default=CORPUS)
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--noise", type=float, default=0.05, help="standard deviation, of 1")
    parser.add_argument("--files", type=int, default=20, help="of the corpus; 0: none")
    asked = parser.parse_args()
    print("## Several recognizers\n")
    print(circumstances())
    chunk_lengths()
    plain = sphinx("pocketsphinx")
    items = list(noisy_sentences(asked.sentences, asked.noise))
    measured(f"Sentences of a small grammar in noise of {asked.noise}", [*toys(), plain], items)
    measured("Clips of `samples/`", [*toys(), plain], list(sample_clips()))
    if asked.files:
        three = [
            plain,
            sphinx("pocketsphinx, language weight 9", lw=9.0),
            sphinx("pocketsphinx, noise kept", remove_noise=False),
        ]
        measured("Read English of the corpus", three, list(read_english(asked.corpus, asked.files)))


if __name__ == "__main__":
    main()
