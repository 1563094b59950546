"""What an evaluation gives: estimates by set and mode, and every item that they were made of.

Items are kept because differences between arms are paired item by item, and over seeds: a study
needs the rows, not the means. Raw likelihoods of speech belong to one tokenizer.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.evaluation.contamination import Removal
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.items import Mode

FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ItemResult:
    """One item in one mode."""

    id: str
    cluster: str
    engine: str | None = None
    voice: str | None = None
    # items that choose: in the order in which options were asked, `order` gives their places
    answer: int | None = None
    order: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()  # scored positions of each option
    scores: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)  # nats
    correct: Mapping[str, float] = dataclasses.field(default_factory=dict)  # credit, 0 to 1
    # items that are measured: sums, to be divided over the set
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SetResult:
    """One set in one mode."""

    name: str
    kind: str
    mode: Mode
    digest: str
    estimates: Mapping[str, Estimate]
    items: tuple[ItemResult, ...]
    chance: float | None = None
    skipped: tuple[str, ...] = ()  # ids of items that do not fit into the context
    spoken: tuple[tuple[str | None, str | None, int], ...] = ()  # engine, voice, items
    contamination: Mapping[str, Removal] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """An evaluation: of which model, by which tokenizers and settings, and what it gave."""

    about: Mapping[str, Any]
    settings: Mapping[str, Any]
    text_tokenizer: str
    speech_tokenizer: str | None  # name and digest
    sets: tuple[SetResult, ...]
    across: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)  # over several sets
    not_run: Mapping[str, str] = dataclasses.field(default_factory=dict)  # set and mode: why

    def of(self, name: str, mode: Mode) -> SetResult:
        """One set's result. Raises `KeyError` where it was not asked in that mode."""
        for one in self.sets:
            if (one.name, one.mode) == (name, mode):
                return one
        raise KeyError(f"{name} in {mode}: asked were {[(s.name, s.mode) for s in self.sets]}")


def as_json(results: Results) -> dict[str, Any]:
    """All but the items, which `write` puts beside it."""
    found = dataclasses.asdict(
        dataclasses.replace(
            results, sets=tuple(dataclasses.replace(one, items=()) for one in results.sets)
        )
    )
    for one in found["sets"]:
        del one["items"]
    return {"format": FORMAT, **found}


def write(results: Results, out: Path) -> tuple[Path, Path, Path]:
    """`results.json`, `items.jsonl` (a line per set, mode and item) and `results.md`."""
    from trainer.evaluation.markdown import markdown

    out.mkdir(parents=True, exist_ok=True)
    summary, items, table = out / "results.json", out / "items.jsonl", out / "results.md"
    text = json.dumps(as_json(results), indent=2, sort_keys=True, allow_nan=False)
    summary.write_text(text + "\n", encoding="utf-8")
    with items.open("w", encoding="utf-8") as stream:
        for one in results.sets:
            for item in one.items:
                row = {"set": one.name, "mode": one.mode, **dataclasses.asdict(item)}
                stream.write(json.dumps(row, sort_keys=True, allow_nan=False) + "\n")
    table.write_text(markdown(results), encoding="utf-8")
    return summary, items, table
