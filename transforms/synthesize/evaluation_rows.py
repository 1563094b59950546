"""Questions about held-out pages as rows of an evaluation set.

A page is dealt to a split by its id alone (`transforms.select.split.split_of`), in every stream of
pages alike; so the questions of the pages of one split are about pages that no other split holds.
The rows have the columns that `speechloom-train questions` reads.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from schemas.ids import rng
from schemas.pages import Script
from transforms.select.split import Split, split_of


def held_out(page: str, seed: int, split: Split, wanted: str = "test") -> bool:
    """Whether a page belongs to the wanted split of a run with that seed."""
    return split_of(seed, page, train=split.train, test=split.test) == wanted


def rows(
    scripts: Iterable[Script], seed: int, split: Split, wanted: str = "test"
) -> Iterator[dict[str, Any]]:
    """One row for each question about a page of the wanted split. Raises `ValueError` where that
    is the split which is trained on."""
    if wanted == "train":
        raise ValueError(
            "the split train is trained on: an evaluation set is made of valid or test"
        )
    for script in scripts:
        if script.kind == "question" and held_out(script.page, seed, split, wanted):
            yield row(script, seed)


def row(script: Script, seed: int) -> dict[str, Any]:
    """A question with its answer; with its options in an order drawn by its id, where it has any.
    Without, `speechloom-train questions --distractors` draws answers of other pages."""
    answer = script.lines[-1].text.rstrip(".\u3002")
    found: dict[str, Any] = {
        "id": script.id,
        "page": script.page,
        "question": script.lines[0].text,
        "answer": answer,
    }
    if script.options:
        options = [answer, *script.options]
        rng(seed, "options", script.id).shuffle(options)
        found["options"] = options
    return found
