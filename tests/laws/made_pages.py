"""Pages of made sentences, and files that are no good; every word of them follows from a seed."""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

THINGS = ("river", "garden", "lantern", "harbour", "bridge", "orchard", "window", "kettle")
PLACES = ("town", "valley", "kitchen", "forest", "station", "mountain")
DEEDS = ("carries the water to", "stands beside", "was built for", "is older than", "looks over")


def sentence(chance: random.Random) -> str:
    first, second = chance.sample(THINGS, 2)
    return (
        f"The {first} of the {chance.choice(PLACES)} {chance.choice(DEEDS)} the {second} that "
        f"was there {chance.randint(3, 90)} years ago."
    )


def text(number: int) -> str:
    """Two paragraphs, the first of which defines something that can be asked for."""
    chance = random.Random(number)
    thing, place = chance.choice(THINGS), chance.choice(PLACES)
    first = f"A {thing} is a thing that everybody in the {place} knows. {sentence(chance)}"
    return f"{first}\n\n{sentence(chance)} {sentence(chance)}"


def write(folder: Path, numbers: Sequence[int] = range(12)) -> Path:
    """Files of text, a table, a copy, and three of which nothing can come."""
    folder.mkdir(parents=True)
    numbers = list(numbers)
    for number in numbers[2:]:
        (folder / f"page{number:03d}.txt").write_text(text(number), encoding="utf-8")
    rows = [json.dumps({"text": text(number), "licence": "CC0-1.0"}) for number in numbers[:2]]
    (folder / "table.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "copy.txt").write_text(text(numbers[2]) + "\n", encoding="utf-8")
    (folder / "empty.html").write_text("<html><body></body></html>", encoding="utf-8")
    (folder / "long.txt").write_text("a word " + "x" * 10_000, encoding="utf-8")
    (folder / "code.txt").write_text("x = {1: [2, 3]};\n" * 40, encoding="utf-8")
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder
