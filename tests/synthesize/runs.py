"""Recipes of pages with made steps, run in this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.recipe import Recipe, resolve
from schemas.settings import parse
from tests.laws import runs
from tests.synthesize.made.chunk import Chunk
from tests.synthesize.made.extract import Extract
from tests.synthesize.made.question import Question
from tests.synthesize.made.speak import Speak
from transforms.step import registry

MADE = {"extract": Extract, "chunk": Chunk, "question": Question, "speak": Speak}

TEXT = "[crawl, extract, text_rate, dedup, interleave]"
QUEST = (
    "[crawl, extract, question, chunk, speak, text_rate, loudness, "
    "{filter: {min_seconds: 0.3}}, interleave]"
)
KRIST = (
    "[crawl, extract, text_rate, {filter: {where: {text_rate.words: {min: 4}}}}, chunk, speak, "
    "loudness, text_rate, interleave]"
)


def recipe(overrides: Sequence[str] = (), **streams: str) -> Recipe:
    """A recipe of the given streams, with the steps of this folder among the others."""
    text = "name: made\nseed: 5\nshards: {hours: 0.01}\nstreams:\n"
    text += "".join(f"  {name}: {steps}\n" for name, steps in streams.items())
    return resolve(parse(text, "made.yaml"), overrides, {**registry(), **MADE})


def curate(data: Path, out: Path, made: Recipe, **options: Any) -> runs.Ran:
    return runs.curate(data, out, recipe=made, **options)


PAGES = {
    "one.txt": "The river is long. It ends in the sea.\n\nBoats go there every day.",
    "two.txt": "A loaf needs flour. ~And this stays written. It needs salt and time.",
    "three.txt": "Too short.\n===\nThe page is silent about it. It keeps to itself all day long.\n"
    "===\n   ",
    "copy.txt": "The river is long. It ends in the sea.\n\nBoats go there every day.\n",
    "odd.txt": "The word unspeakable cannot be said here. But this can be said well.",
}


def write(folder: Path) -> Path:
    """Pages of our own words, with a copy, an empty one and one that is short."""
    import os

    folder.mkdir(parents=True)
    for name, text in PAGES.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder
