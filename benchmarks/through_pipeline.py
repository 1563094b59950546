"""Is the path through the pipeline any worse than calling the recognizer by hand?

The same files with known text twice: each decoded whole and given to the engine directly, and
curated by the command line (`--as segments`: silero cuts the speech; `--as whole`: one clip of at
most 30 s). Files are a sample of the corpus, and the clips of the small Whisper of the tests.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from benchmarks.circumstances import CORPUS, ROOT, circumstances, row
from benchmarks.hearing_accuracy import RATE, read, sample, word_errors, words
from pipeline import commits, layout
from pipeline.pointers import read_pointers
from schemas.records import Clip
from schemas.store import Store
from transforms.engines import recognizer

TOY = "faster-whisper/tests/assets/whisper-toy"
Truth = dict[pathlib.Path, str]


def corpus_files(minutes: float) -> Truth:
    """Files of the corpus with English words and no digits, some of every source."""
    lines = (CORPUS / "manifest.jsonl").read_text("utf-8").splitlines()
    chosen = sample([json.loads(line) for line in lines], minutes)
    return {CORPUS / r["audio"]: r["text"] for rows in chosen.values() for r in rows}


def toy_files() -> Truth:
    """The English clips that the small Whisper was made for."""
    folder = ROOT / "tests/assets/whisper-toy/clips"
    return {
        folder / one["file"]: " ".join(sentence["text"] for sentence in one["sentences"])
        for one in json.loads((folder / "clips.json").read_text("utf-8"))
        if one["language"] == "en" and one["sentences"]
    }


def direct(engine: str, truth: Truth) -> dict[pathlib.Path, str]:
    """What the engine says of each whole file."""
    asked = recognizer.load(engine)
    answers = {
        path: asked.transcribe(read(path), RATE, recognizer.Given(language="en")) for path in truth
    }
    return {path: getattr(answer, "text", "") for path, answer in answers.items()}


def curated(
    engine: str, truth: Truth, whole: bool, folder: pathlib.Path
) -> dict[pathlib.Path, str]:
    """What stands in the clips of each file after a run of the command line, in their order."""
    data = folder / "data"
    data.mkdir()
    for place, path in enumerate(truth):
        (data / f"{place:05d}{path.suffix}").symlink_to(path.resolve())
    command = [
        *(sys.executable, "-m", "pipeline", "curate", "--follow-links"),
        *("--data", str(data), "--out", str(folder / "out")),
        *("--set", f"transcribe.engines=[{engine}]", "--set", "transcribe.language=en"),
        *("--set", f"segment.engine={'whole' if whole else 'silero'}"),
    ]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    store = Store(folder / "out")
    keys = read_pointers(store)[0].streams["web"]
    clips: dict[str, list[Clip]] = {}
    for entry in store.list(layout.commits_folder("annotate", keys.annotate)):
        for clip in commits.records(store, entry.name, "row", Clip):
            clips.setdefault(clip.recording, []).append(clip)
    from schemas.ids import bytes_digest

    texts = {}
    for path in truth:
        mine = clips.get(bytes_digest(path.read_bytes()), [])
        texts[path] = " ".join(c.text for c in sorted(mine, key=lambda c: (c.channel, c.start)))
    return texts


def rate(truth: Truth, heard: dict[pathlib.Path, str]) -> float:
    """Word error rate over all files."""
    pairs = [(words(text), words(heard[path])) for path, text in truth.items()]
    return sum(word_errors(t, h) for t, h in pairs) / sum(len(t) for t, _ in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="of corpus audio")
    chosen = parser.parse_args()
    print(circumstances())
    print(row("files", "engine", "words", "direct", "whole", "segments", "same text, whole"))
    print(row(*["---"] * 7))
    sets = {"whisper-toy clips": (TOY, toy_files())}
    if (CORPUS / "manifest.jsonl").is_file():
        sets["corpus"] = ("pocketsphinx", corpus_files(chosen.minutes))
    for name, (engine, truth) in sets.items():
        by_hand = direct(engine, truth)
        found = {}
        for whole in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                found[whole] = curated(engine, truth, whole, pathlib.Path(folder))
        same = sum(found[True][path] == by_hand[path] for path in truth)
        count = sum(len(words(text)) for text in truth.values())
        rates = [f"{rate(truth, heard):.1%}" for heard in (by_hand, found[True], found[False])]
        print(row(f"{name}, {len(truth)}", engine, count, *rates, f"{same} of {len(truth)}"))


if __name__ == "__main__":
    main()
