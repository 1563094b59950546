"""Choose the limit on a recognizer's log probability that fits its model.

    python benchmarks/calibrate.py --engine faster-whisper/large-v3 --table clips.csv
    python benchmarks/calibrate.py

How sure a recognizer says it is differs by model, so `filter: {min_log_probability: ...}` has no
good default. The table names clips whose text is known, with the columns path (from the table's
folder), text and, where it is known, language; a clip in which nothing was said, or which is in a
language that the model does not have, has an empty text. A hundred clips or more of the kind that
is to be curated, with some that the model gets wrong, are wanted; each at most 30 s.

The engine hears every clip. Its text is right where at most a fifth of the words are wrong. On one
half of the clips the limit is the highest that loses at most `--max-lost` of the right texts; what
it does is measured on the other half. Without a table the subject is the small Whisper of the
tests, on sentences that it knows and others (a minute). Prints Markdown, and the line for the
recipe.
"""

import argparse
import csv
import dataclasses
import math
import pathlib
import sys
from collections.abc import Iterator, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # run as a file, too

from benchmarks.circumstances import ROOT, circumstances, head, row
from benchmarks.hearing_accuracy import RATE, read, word_errors, words
from schemas.ids import digest_of
from transforms.engines import recognizer

MOST_WRONG = 0.2  # share of a right text's words
TOY = ROOT / "tests" / "assets" / "whisper-toy"


@dataclasses.dataclass(frozen=True)
class Judged:
    """One answer: how sure the engine was, and whether its text is right."""

    name: str
    log_probability: float
    right: bool

    @property
    def held_out(self) -> bool:
        """Which half: by the name, so that more clips do not move the others."""
        return bool(int(digest_of("calibrate", self.name), 16) % 2)


def choose(judged: Sequence[Judged], max_lost: float) -> float | None:
    """The highest limit, in hundredths, below which at most a share of the right texts lie.

    None where no text is right: there is nothing to lose, and nothing to learn from.
    """
    right = sorted(one.log_probability for one in judged if one.right)
    if not right:
        return None
    return math.floor(100 * right[math.floor(max_lost * len(right))]) / 100


def shares(judged: Sequence[Judged], limit: float) -> tuple[float, float]:
    """How much of the right texts a limit loses, and how much of the wrong ones it refuses."""

    def below(right: bool) -> float:
        some = [one.log_probability < limit for one in judged if one.right == right]
        return sum(some) / len(some) if some else math.nan

    return below(True), below(False)


def is_right(heard: str, text: str) -> bool:
    wanted = words(text)
    return bool(wanted) and word_errors(wanted, words(heard)) <= MOST_WRONG * len(wanted)


def from_table(engine: str, table: pathlib.Path) -> Iterator[Judged]:
    """What the engine says of a table's clips. Clips of which it says nothing are left out."""
    asked = recognizer.load(engine)
    with table.open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            given = recognizer.Given(language=line.get("language") or None)
            answer = asked.transcribe(read(table.parent / line["path"]), RATE, given)
            if answer is None:
                continue
            if answer.mean_log_probability is None:
                raise SystemExit(f"{engine} gives no log probability: there is no limit to choose")
            right = is_right(answer.text, line["text"])
            yield Judged(line["path"], answer.mean_log_probability, right)


def from_toy(answers: int) -> Iterator[Judged]:
    """The small Whisper, as the benchmark of the guard asks it."""
    from benchmarks.guard import toy_subjects

    for number, one in enumerate(toy_subjects(TOY, answers)):
        (transcript,) = one.clip.transcripts
        assert transcript.mean_log_probability is not None
        yield Judged(f"{one.group} {number}", transcript.mean_log_probability, one.right)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", help="a recognizer, as in a recipe", default="faster-whisper")
    parser.add_argument("--table", type=pathlib.Path, help="CSV: path, text, language")
    parser.add_argument("--max-lost", type=float, default=0.01, help="share of right texts")
    parser.add_argument("--answers", type=int, default=80, help="of the small Whisper")
    chosen = parser.parse_args()
    if chosen.table is None:
        engine, judged = "the small Whisper of the tests", list(from_toy(chosen.answers))
    else:
        engine, judged = chosen.engine, list(from_table(chosen.engine, chosen.table))
    halves = {held: [one for one in judged if one.held_out == held] for held in (False, True)}
    limit = choose(halves[False], chosen.max_lost)
    if limit is None:
        parser.exit(1, f"{engine}: of {len(halves[False])} texts none is right; no limit chosen\n")
    print(f"### The limit for {engine}\n")
    print(circumstances())
    print(head("half", "right", "wrong", "right: lost", "wrong: refused"))
    for held, some in halves.items():
        lost, refused = shares(some, limit)
        right = sum(one.right for one in some)
        name = "held out" if held else "chosen on"
        print(row(name, right, len(some) - right, f"{lost:.1%}", f"{refused:.1%}"))
    right = sum(one.right for one in halves[False])
    print(f"\n    - filter: {{min_log_probability: {limit:.2f}}}\n")
    if chosen.max_lost * right < 1:
        print(f"It lies below all {right} right texts: with more, it might be higher or lower.")


if __name__ == "__main__":
    main()
