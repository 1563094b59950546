"""Decontamination: what of planted leaks is found, by kind; false hits; seconds per million rows.

    python benchmarks/decontamination.py [--rows 100000] [--items 1000]

Evaluation items are questions made of a Zipf vocabulary (words of common ranks are as common as in
speech), 14 to 30 words each. Training rows are made likewise, 20 to 100 words. Planted into some,
each row with one leak: runs of 5 (below the rule), 6, 8 and 13 words of an item; whole items; whole
items as a recognizer with a word error rate of 10 to 40 % might write them (of errors 60 % are
words with other letters, 20 % other words, 10 % left out, 10 % put in); and paraphrases (40 % of
the words replaced, the halves swapped). A leak counts as found where its row is told.

False hits: rows without a leak that a rule tells, and for those beyond the n-gram rule's own also
questions of the same templates with other fillings, which are the hard case: they share much and
are other questions. With few items every pair of words is looked up, with many the common are not.
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks.made_texts import vocabulary
from schemas.ids import digest_of
from transforms.engines.topic_training import TOPICS
from transforms.select.decontaminate import Decontaminate

PLANTED = 200  # of each kind
BLOCK = 4096
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class World:
    """Words by rank, and texts of them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.words = vocabulary(self.numbers).to_pylist()
        weight = np.cumsum(1 / np.arange(1, len(self.words) + 1))
        self.weight = weight / weight[-1]

    def text(self, least: int, most: int) -> list[str]:
        size = self.chance.randint(least, most)
        ranks = np.searchsorted(self.weight, self.numbers.random(size))
        return [self.words[rank] for rank in ranks]

    def misheard(self, words: list[str], rate: float) -> list[str]:
        found: list[str] = []
        for word in words:
            if self.chance.random() >= rate:
                found.append(word)
                continue
            kind = self.chance.random()
            if kind < 0.6:
                found.append(self._like(word))
            elif kind < 0.8:
                found.append(self.chance.choice(self.words))
            elif kind < 0.9:
                found += [word, *self.text(1, 1)]
        return found

    def _like(self, word: str) -> str:
        letters = list(word)
        for _ in range(max(1, len(letters) // 3)):
            letters[self.chance.randrange(len(letters))] = self.chance.choice(LETTERS)
        return "".join(letters)

    def paraphrased(self, words: list[str]) -> list[str]:
        half = len(words) // 2
        swapped = words[half:] + words[:half]
        return [
            w if self.chance.random() >= 0.4 else self.chance.choice(self.words) for w in swapped
        ]

    def run(self, words: list[str], size: int) -> list[str]:
        at = self.chance.randrange(len(words) - size + 1)
        return words[at : at + size]


def kinds(world: World) -> dict[str, Callable[[list[str]], list[str]]]:
    found: dict[str, Callable[[list[str]], list[str]]] = {
        f"{size} words": lambda words, size=size: world.run(words, size)  # type: ignore[misc]
        for size in (5, 6, 8, 13)
    }
    found["whole item"] = list
    for rate in (0.1, 0.2, 0.3, 0.4):
        found[f"misrecognised, {rate:.0%} of words"] = (
            lambda words, rate=rate: world.misheard(words, rate)  # type: ignore[misc]
        )
    found["paraphrased"] = world.paraphrased
    return found


def rows_of(texts: list[str]) -> pa.Table:
    count = len(texts)
    names = [digest_of("row", number) for number in range(count)]
    return pa.table(
        {
            "id": names,
            "task": names,
            "index": pa.array([0] * count, pa.int64()),
            "text": texts,
            "start": pa.array([0.0] * count),
            "end": pa.array([5.0] * count),
            "rate": pa.array([16000] * count, pa.int64()),
        }
    )


def hits(step: Decontaminate, rows: pa.Table) -> tuple[pa.Table, float]:
    step.sets()
    begun = time.perf_counter()
    blocks = [rows.slice(at, BLOCK) for at in range(0, rows.num_rows, BLOCK)]
    found = step.limits([step.survey(block) for block in blocks])
    for block in blocks:
        step.judge(block, found)
    return found, time.perf_counter() - begun


def told(found: pa.Table) -> dict[str, set[str]]:
    """Rows with a hit, by kind of the rule."""
    by: dict[str, set[str]] = {"ngram": set(), "fuzzy": set()}
    for row in found.to_pylist():
        if row["what"] == "clip":
            by[row["kind"]].add(row["clip"])
    return by


def planted(rows: int, items: int, folder: pathlib.Path) -> None:
    world = World(0)
    questions = [world.text(14, 30) for _ in range(items)]
    path = folder / "made.jsonl"
    lines = [json.dumps({"id": str(n), "question": " ".join(q)}) for n, q in enumerate(questions)]
    path.write_text("\n".join(lines))
    texts = [world.text(20, 100) for _ in range(rows)]
    made = kinds(world)
    places = world.chance.sample(range(rows), PLANTED * len(made))
    leaks = {place: list(made)[n % len(made)] for n, place in enumerate(places)}
    for place, kind in leaks.items():
        at = world.chance.randrange(len(texts[place]) + 1)
        item = world.chance.randrange(items)
        texts[place][at:at] = made[kind](questions[item])
    table = rows_of([" ".join(text) for text in texts])
    ids = table["id"].to_pylist()
    both = Decontaminate(against=str(path))
    _, plain_seconds = hits(both.model_copy(update={"fuzzy": None}), table)
    found, seconds = hits(both, table)
    by = told(found)
    print(f"{rows} rows, {items} items, {PLANTED} leaks of each kind\n")
    print("| leak | found by words | found with errors | found by either |")
    print("|---|---|---|---|")
    for kind in made:
        mine = {ids[place] for place, one in leaks.items() if one == kind}
        shares = [len(mine & one) / len(mine) for one in (by["ngram"], by["fuzzy"])]
        either = len(mine & (by["ngram"] | by["fuzzy"])) / len(mine)
        print(f"| {kind} | {shares[0]:.3f} | {shares[1]:.3f} | {either:.3f} |")
    clean = set(ids) - {ids[place] for place in leaks}
    false = {name: len(clean & one) for name, one in by.items()}
    beyond = len((clean & by["fuzzy"]) - by["ngram"])
    print(f"\nrows without a leak: {len(clean)}; told by words: {false['ngram']}; beyond: {beyond}")
    print(
        f"seconds per million rows: {plain_seconds / rows * 1e6:.1f} by words alone, "
        f"{seconds / rows * 1e6:.1f} with errors too\n"
    )


FRAMES = (
    "which {a} would you choose for a {b} if nobody had ever seen the {c} before",
    "what does the {a} have to do with the {b} that stands behind the {c}",
    "why did the {a} become more famous than the {b} after the {c} was found",
    "how long does it take until a {a} turns into a {b} without any {c}",
)


def templates(folder: pathlib.Path) -> None:
    """Rows of the same templates as the items, with other words in them."""
    chance = random.Random(1)
    words = [word for one in sorted(TOPICS) for word in TOPICS[one].split()]
    chance.shuffle(words)
    halves = words[: len(words) // 2], words[len(words) // 2 :]

    def made(some: list[str], count: int) -> list[str]:
        return [
            chance.choice(FRAMES).format(**dict(zip("abc", chance.sample(some, 3), strict=True)))
            for _ in range(count)
        ]

    table = rows_of(made(halves[1], 5000))
    print("| items | similarity asked for | told by words | told with errors beyond those |")
    print("|---|---|---|---|")
    for count in (20, 500):
        path = folder / f"frames{count}.jsonl"
        lines = [json.dumps({"question": text}) for text in made(halves[0], count)]
        path.write_text("\n".join(lines))
        for least in (0.7, 0.75, 0.8, 0.85, 0.9):
            by = told(hits(Decontaminate(against=str(path), fuzzy=least), table)[0])
            beyond = len(by["fuzzy"] - by["ngram"])
            print(f"| {count} | {least} | {len(by['ngram'])} | {beyond} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=1000)
    arguments = parser.parse_args()
    print(on.circumstances(), "\n")
    with tempfile.TemporaryDirectory() as name:
        planted(arguments.rows, arguments.items, pathlib.Path(name))
        templates(pathlib.Path(name))


if __name__ == "__main__":
    main()
