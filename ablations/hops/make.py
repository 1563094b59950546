"""Make the hops world as DATA for curate: `python ablations/hops/make.py OUT [--documents 1600]`.

OUT gets `table.csv` with a row per recording, `audio/` (FLAC with several documents each, parted by
silence), `cues/` (who says which sentence when), `tokenizer.json` (a byte-level BPE of the texts)
and the evaluation sets `heard/` and `read/`: the same questions in audio and in text. The same
arguments give the same bytes. Everything else (decode, cut, tokenize, shards) is the product's.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from voices import RATE, Pcm16, bank, name  # noqa: E402
from world import (  # noqa: E402
    WORDS,
    Manner,
    Question,
    Story,
    questions,
    sentence,
    stories,
)

PAUSE = 0.08  # seconds after each word
BETWEEN = 2.0  # seconds of silence between documents of one recording
TOGETHER = 40  # documents of a recording
NOISE = 2.0  # root mean square of a document's noise, in steps of 16 bit


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--documents", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    said = bank(out / "bank.npz")
    told = stories(given.seed, given.documents)
    recordings(out, told, said, given.seed)
    tokenizer(out / "tokenizer.json", told)
    asked = questions(given.seed)
    heard(out / "heard", asked, said)
    read(out / "read", asked)
    return 0


def recordings(out: Path, told: list[Story], said: dict[str, Pcm16], seed: int) -> None:
    """`table.csv`, `audio/` and `cues/`."""
    for folder in ("audio", "cues"):
        (out / folder).mkdir(exist_ok=True)
    with open(out / "table.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["audio", "cues", "language", "licence"])
        for first in range(0, len(told), TOGETHER):
            stem = f"r{first // TOGETHER:04d}"
            pcm, cues = recording(told[first : first + TOGETHER], said, (seed, first))
            soundfile.write(out / "audio" / f"{stem}.flac", pcm, RATE, "PCM_16")
            (out / "cues" / f"{stem}.vtt").write_text(cues, "utf-8")
            table.writerow([f"audio/{stem}.flac", f"cues/{stem}.vtt", "en", "CC0-1.0"])


def recording(
    told: list[Story], said: dict[str, Pcm16], seed: tuple[int, int]
) -> tuple[Pcm16, str]:
    """Samples of some documents with silence between them, and their cues as WebVTT."""
    chance = np.random.default_rng(seed)
    pieces: list[Pcm16] = []
    lines = ["WEBVTT", ""]
    at = 0
    for story in told:
        for word in story.words:
            sound = np.concatenate([spoken(said, word, story.manner), silence(PAUSE)])
            sound = sound[: len(sound) - len(sound) % (RATE // 1000)]  # cues count milliseconds
            noise = np.rint(chance.normal(0, NOISE, len(sound)))
            pieces.append((sound + noise).astype(np.int16))
            end = at + len(sound)
            speaker = f"{story.manner.voice} {story.manner.speed}"
            lines += [f"{clock(at)} --> {clock(end)}", f"<v {speaker}>{sentence(word)}", ""]
            at = end
        pieces.append(silence(BETWEEN))
        at += len(pieces[-1])
    return np.concatenate(pieces), "\n".join(lines)


def spoken(said: dict[str, Pcm16], word: int, manner: Manner) -> Pcm16:
    return said[name(WORDS[word], manner.voice, manner.speed, manner.pitch)]


def silence(seconds: float) -> Pcm16:
    return np.zeros(round(seconds * RATE), np.int16)


def clock(frame: int) -> str:
    """A frame that lies on a millisecond, as WebVTT writes it."""
    milliseconds = frame * 1000 // RATE
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def tokenizer(path: Path, told: list[Story]) -> None:
    """A byte-level BPE in which every word of the world is one token."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1024, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    texts = [" " + " ".join(sentence(word) for word in story.words) for story in told]
    bpe.train_from_iterator(texts, trainer)
    long = [word for word in WORDS if len(bpe.encode(f" {word}").ids) != 1]
    if long:
        raise RuntimeError(f"not one token each: {long}; make more documents")
    path.write_text(bpe.to_str(), "utf-8")


def heard(out: Path, asked: list[Question], said: dict[str, Pcm16]) -> None:
    """The questions in audio, in voices and speeds that no document has."""
    (out / "audio").mkdir(parents=True, exist_ok=True)
    lines = []
    for question in asked:
        manner = question.manner
        sound = f"audio/{WORDS[question.word]}-{manner.voice}-{manner.speed}.flac"
        if not (out / sound).exists():
            pcm = np.concatenate([spoken(said, question.word, manner), silence(PAUSE)])
            soundfile.write(out / sound, pcm, RATE, "PCM_16")
        about = {"audio": sound}
        lines.append(line(question, about, question.id, "espeak-ng", manner.voice))
    (out / "items.jsonl").write_text("".join(lines), "utf-8")


def read(out: Path, asked: list[Question]) -> None:
    """The same questions in text: one for each word and draw of options."""
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    first = asked[0].manner
    for question in asked:
        if question.manner == first:
            about = {"text": sentence(question.word)}
            lines.append(line(question, about, question.id, None, None))
    (out / "items.jsonl").write_text("".join(lines), "utf-8")


def line(
    question: Question, about: dict[str, str], name: str, engine: str | None, voice: str | None
) -> str:
    """An item of an evaluation set. Items of one word are a group: they are not independent."""
    item = {
        "kind": "cloze",
        "id": name,
        "group": WORDS[question.word],
        "question": about,
        "options": [sentence(word) for word in question.options],
        "answer": question.answer,
    }
    item |= {} if engine is None else {"engine": engine, "voice": voice}
    return json.dumps(item) + "\n"


if __name__ == "__main__":
    sys.exit(main())
