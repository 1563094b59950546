"""Run an IsoFLOP study, or go on with it: cells, then the points that they gave."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.ablate import STUDY, held_out_of, keep_study, refuse_changed, shared_tokenizer
from trainer.ablation.cell import DONE
from trainer.ablation.making import Sources, told
from trainer.ablation.plan import REFERENCE
from trainer.ablation.running import Cell, done, locked, run_cells
from trainer.budget.grid import PlannedGrid, plan_grid
from trainer.budget.points import Point, checked, read_points, write_points
from trainer.config import Config
from trainer.failures import SetupError

POINTS = "points.csv"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What is done of a grid."""

    points: tuple[Point, ...]
    done: int
    cells: int
    hours_per_position: float | None  # of speech; None where none was heard


def run_grid(
    path: Path,
    out: Path,
    *,
    overrides: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
    budgets: Sequence[float] | None = None,
    jobs: int = 1,
    say: Callable[[str], None] | None = None,
) -> Ran:
    """Run the cells that are not done, and write OUT/points.csv. `budgets`: only these for now.

    Raises `SettingsError` for a wrong file, `ChangedError` where OUT holds another grid,
    `BusyError`, and `TrainingError` for data that cannot be made or a cell that fails.
    """
    tell = say or told
    planned = plan_grid(path, overrides, given or {})
    strange = sorted(set(budgets or ()) - set(planned.grid.budgets))
    if strange:
        raise SetupError(f"budget {strange[0]:g} is none of {list(planned.grid.budgets)}")
    sources = Sources(planned.grid.data, path, out, tell)
    with locked(out):
        refuse_changed(out, {"study": planned.canonical()}, only=("study",))
        keep_study(out, {"study": planned.canonical()})
        sources.make()
        everything = {
            "study": planned.canonical(),
            "facts": dict(sources.facts(_shards(planned))),
        }
        refuse_changed(out, everything, only=("study", "facts"))
        keep_study(out, everything)
        chosen = [
            cell
            for cell in planned.cells()
            if budgets is None or planned.spots[cell[0]].budget in budgets
        ]
        tokenizer = shared_tokenizer(_uncapped(planned, sources), out)
        run_cells(out, chosen, _Task(planned, sources, tokenizer), jobs, tell)
        return collect(planned, out)


def collect(planned: PlannedGrid, out: Path) -> Ran:
    """The points of the cells that are done, written to OUT/points.csv."""
    cells = list(planned.cells())
    ended = {cell: value for cell in cells if (value := done(out, cell)) is not None}
    points = checked([_point(planned, cell, one) for cell, one in ended.items()])
    write_points(points, out / POINTS)
    return Ran(points=points, done=len(ended), cells=len(cells), hours_per_position=hours_of(out))


def kept_grid(out: Path) -> tuple[Point, ...]:
    """The points of an OUT. Raises `SetupError` where there are none."""
    if not (out / STUDY).is_file():
        raise SetupError(f"{out}: no grid was run here; see `budget run`")
    return read_points(out / POINTS)


def hours_of(out: Path) -> float | None:
    """Hours of speech in a position, as the cells of an OUT read them."""
    ended = [
        json.loads(path.read_text("utf-8")) for path in sorted((out / "cells").glob(f"*/{DONE}"))
    ]
    hours = sum(one["read"]["hours_heard"] for one in ended)
    return hours / sum(_positions(one) for one in ended) if hours else None


class _Task:
    """What a cell's process is told."""

    def __init__(self, planned: PlannedGrid, sources: Sources, tokenizer: Path | None) -> None:
        self._planned, self._sources, self._tokenizer = planned, sources, tokenizer

    def __call__(self, cell: Cell) -> dict[str, Any]:
        config = self._planned.config(cell, self._sources.place)
        if self._tokenizer is not None:
            text = config.text.model_copy(update={"tokenizer": str(self._tokenizer)})
            config = config.model_copy(update={"text": text})
        return {
            "config": config.canonical(),
            "equal": "flops",
            "sets": {},
            "evaluation": {},
            "held_out": held_out_of(self._planned.grid.held_out, self._sources.place),
            "at": ["end"],
            "endpoint": "end",
            "threads": config.compute.threads or os.cpu_count() or 1,
        }


def _uncapped(planned: PlannedGrid, sources: Sources) -> list[Config]:
    """Every place's config with whole sets: one text tokenizer serves all amounts of data."""
    found = []
    caps = {"subset": None, "max_documents": None, "max_seconds": None}
    for arm in planned.spots:
        config = planned.config((arm, planned.grid.seeds[0]), sources.place)
        sets = {name: one.model_copy(update=caps) for name, one in config.data.sets.items()}
        data = config.data.model_copy(update={"sets": sets})
        found.append(config.model_copy(update={"data": data}))
    return found


def _shards(planned: PlannedGrid) -> list[str]:
    found: set[str] = set()
    for arm in planned.spots:
        config = planned.config((arm, planned.grid.seeds[0]), lambda name: f"{REFERENCE}{name}")
        found |= {one.shards for one in config.data.sets.values()}
    found |= {one.shards for one in (planned.grid.held_out.sets or {}).values()}
    return sorted(found)


def _point(planned: PlannedGrid, cell: Cell, one: Mapping[str, Any]) -> Point:
    """A cell as a point. The FLOPs are those of the budget's own formula, which counts every head
    at every position, so that a point's price does not depend on what it happened to read."""
    grid, spot = planned.grid, planned.spots[cell[0]]
    end = str(one["steps"])
    loss = one["held_out"][end].get(grid.loss)
    if loss is None:
        raise SetupError(f"cell {cell[0]}: no held-out {grid.loss} loss; its sets have no such")
    parts = one["parameters"]
    blocks = sum(n for name, n in parts.items() if name in ("blocks", "norm"))
    return Point(
        budget=spot.budget,
        flops=one["flops_at_every_head"],
        parameters=float(blocks if grid.parameters == "blocks" else sum(parts.values())),
        positions=float(_positions(one)),
        loss=loss,
        passes=max(one["read"]["passes"].values()),
        size=f"{spot.size}-{spot.unique}" if len(grid.unique) > 1 else spot.size,
        seed=cell[1],
    )


def _positions(one: Mapping[str, Any]) -> int:
    """Read by a cell, padding among them: what the model was paid for."""
    names = ("text_positions", "speech_positions", "markers", "padding")
    return int(sum(one["read"][name] for name in names))
