"""A grid of encoders at equal operations: shape x size x unique hours, as arXiv 2409.16295 asks.

Shapes are compared at equal parameters of their blocks: of a depth, the width is worked out. Every
cell gets the same budget, so a larger model, or one whose front end costs more, takes fewer steps;
the report says how many, and how often each passed over its unique speech. One after the other, in
this process; cells that are done are not run again. `points.csv` is what fits of scaling take.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from schemas.settings import Node, SettingsError, check, parse_overrides, read, replace_at
from trainer.ablation.statistics import interval
from trainer.budget.points import Point, write_points
from trainer.encoders import flops
from trainer.encoders.pretraining import pretrain
from trainer.encoders.settings import EncoderConfig, EncoderSettings, load_encoder_config
from trainer.encoders.validating import held_out_loss
from trainer.failures import SetupError

STEP = 16  # widths are multiples of it


class Grid(pydantic.BaseModel):
    """What is trained."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    question: str
    limits: str = ""
    encoders: tuple[str, ...] = Field(
        strict=False, min_length=1, description="Configs: shipped names (hubert, wav2vec, tera)."
    )
    settings: dict[str, Any] = Field({}, description="Changes to them, by dotted address.")
    parameters: int = Field(gt=0, description="Of the blocks, at size 1.")
    shapes: dict[str, int] = Field(min_length=1, description="Name -> depth.")
    sizes: tuple[float, ...] = Field(
        (1.0,), strict=False, min_length=1, description="Multiples of parameters."
    )
    hours: tuple[float | None, ...] = Field(
        (None,), strict=False, min_length=1, description="Unique speech; null: all there is."
    )
    budgets: tuple[float, ...] = Field(strict=False, min_length=1, description="FLOPs of a cell.")
    seeds: tuple[int, ...] = Field(strict=False, min_length=1)
    held_out: str = Field("valid", description="The split that losses are measured on.")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One model of the grid."""

    objective: str
    shape: str
    size: float
    hours: float | None
    budget: float
    seed: int
    config: EncoderConfig

    @property
    def name(self) -> str:
        hours = "all" if self.hours is None else f"{self.hours:g}h"
        return f"{self.objective}-{self.shape}-{self.size:g}-{hours}-{self.budget:g}-{self.seed}"

    @property
    def group(self) -> tuple[str, float, float, float]:
        """What is compared between shapes."""
        return (self.objective, self.size, self.hours or 0.0, self.budget)


def shape_for(parameters: float, depth: int, base: EncoderSettings) -> EncoderSettings:
    """The encoder of a depth whose blocks have so many weights, to 1 in 100: the width, a multiple
    of 16, at which the feed-forward part is nearest to 8/3 of it, and that part made to fit.

    Raises `ValueError` where there are too few weights for so many blocks.
    """

    def hidden(width: int) -> int:
        return round((parameters / depth - 4 * width * width - 2 * width) / (3 * width))

    guess = max(int((parameters / (12 * depth)) ** 0.5) // STEP, 1)
    widths = [STEP * k for k in range(max(guess - 4, 1), guess + 6) if hidden(STEP * k) > 0]
    if not widths:
        raise ValueError(
            f"{parameters:g} weights are too few for {depth} blocks of width {STEP} or more"
        )
    width = min(widths, key=lambda one: abs(hidden(one) / one - 8 / 3))
    heads = max(width // 64, 1)
    while width % (2 * heads):
        heads -= 1
    kept = base.model_dump(exclude={"depth", "width", "heads", "hidden"})
    return EncoderSettings(depth=depth, width=width, heads=heads, hidden=hidden(width), **kept)


def load_grid(path: Path, overrides: Sequence[str] = ()) -> Grid:
    """Raises `SettingsError` with every problem."""
    tree: Node = read(path)
    for override in parse_overrides(overrides):
        tree = replace_at(tree, override.address, override.node)
    found, problems = check(tree, Grid)
    if found is None:
        raise SettingsError(problems)
    return found


def cells(grid: Grid, shards: str, given: Mapping[str, str] | None = None) -> Iterator[Cell]:
    """Every model of the grid. `given`: further settings, as objective.units of hubert."""
    for name in grid.encoders:
        changes = {**grid.settings, **(given or {})}
        base = load_encoder_config(name, _texts(changes, name), shards)
        for shape, depth in grid.shapes.items():
            for size in grid.sizes:
                try:
                    encoder = shape_for(size * grid.parameters, depth, base.encoder)
                except ValueError as error:
                    raise SetupError(f"{grid.name}, shape {shape}: {error}") from error
                for hours in grid.hours:
                    seconds = None if hours is None else hours * 3600
                    data = base.data.model_copy(update={"max_seconds": seconds})
                    for budget in grid.budgets:
                        for seed in grid.seeds:
                            stop = base.stop.model_copy(update={"flops": budget, "steps": None})
                            config = base.model_copy(
                                update={
                                    "encoder": encoder,
                                    "data": data,
                                    "stop": stop,
                                    "seed": seed,
                                    "data_seed": seed,
                                }
                            )
                            yield Cell(
                                objective=name,
                                shape=shape,
                                size=size,
                                hours=hours,
                                budget=budget,
                                seed=seed,
                                config=config,
                            )


def _texts(changes: Mapping[str, Any], name: str) -> list[str]:
    """Changes that a config takes: those of an objective's own fields, for that objective alone."""
    found = []
    for address, value in changes.items():
        kind, _, rest = address.partition(":")
        if rest and kind != name:
            continue
        found.append(f"{rest or address}={json.dumps(value)}")
    return found


def run(grid: Grid, all_cells: Sequence[Cell], out: Path) -> list[dict[str, Any]]:
    """Train and measure what is not done. Returns a row a cell, in their order."""
    rows = []
    for cell in all_cells:
        folder = out / "cells" / cell.name
        done = folder / "done.json"
        if not done.exists():
            found = pretrain(cell.config, folder)
            if found.stopped == "signal":
                raise KeyboardInterrupt
            parts = flops.parameters(cell.config.encoder)
            row = {
                "objective": cell.objective,
                "shape": cell.shape,
                "depth": cell.config.encoder.depth,
                "width": cell.config.encoder.width,
                "parameters": parts["blocks"],
                "all_parameters": sum(parts.values()),
                "size": cell.size,
                "hours": cell.hours,
                "budget": cell.budget,
                "flops": found.flops,
                "steps": found.step,
                "positions": found.step * flops.positions_per_clip(cell.config) * cell.config.clips,
                "seconds": found.seconds,
                "passes": found.passes,
                "train_loss": found.loss,
                "loss": held_out_loss(folder, grid.held_out),
                "seed": cell.seed,
            }
            done.write_text(json.dumps(row), "utf-8")
        rows.append(json.loads(done.read_text("utf-8")))
    (out / "results.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    (out / "results.md").write_text(markdown(grid, rows), "utf-8")
    for objective in grid.encoders:
        for shape in grid.shapes:
            own = [one for one in rows if (one["objective"], one["shape"]) == (objective, shape)]
            write_points([_point(one) for one in own], out / f"points-{objective}-{shape}.csv")
    return rows


def _point(row: Mapping[str, Any]) -> Point:
    return Point(
        budget=row["budget"],
        flops=row["flops"],
        parameters=row["all_parameters"],
        positions=row["positions"],
        loss=row["loss"],
        passes=row["passes"],
        size=f"{row['size']:g}",
        seed=row["seed"],
    )


def markdown(grid: Grid, rows: Sequence[Mapping[str, Any]]) -> str:
    """Means over seeds, and the first shape against each other one, paired by seed."""
    lines = [f"# {grid.name}", "", grid.question.strip(), "", grid.limits.strip(), ""]
    head = ("objective", "shape", "depth x width", "parameters", "hours", "budget", "steps",
            "passes", "training loss", "held-out loss", "seeds")  # fmt: skip
    lines += [_row(*head), _row(*["---"] * len(head))]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for one in rows:
        key = (one["objective"], one["shape"], one["size"], one["hours"], one["budget"])
        groups.setdefault(key, []).append(one)
    for (objective, shape, _, hours, budget), own in groups.items():
        first = own[0]
        lines.append(
            _row(
                objective, shape, f"{first['depth']} x {first['width']}", first["parameters"],
                "all" if hours is None else f"{hours:g}", f"{budget:g}", first["steps"],
                f"{_mean(own, 'passes'):.2f}", f"{_mean(own, 'train_loss'):.4f}",
                f"{_mean(own, 'loss'):.4f}", len(own),
            )
        )  # fmt: skip
    lines += ["", "Paired by seed, held-out loss (below 0: the first is better):", ""]
    names = list(grid.shapes)
    for (objective, shape, size, hours, budget), own in groups.items():
        if shape != names[0]:
            continue
        for other in names[1:]:
            against = groups.get((objective, other, size, hours, budget), [])
            both = {one["seed"]: one["loss"] for one in against}
            pairs = [one["loss"] - both[one["seed"]] for one in own if one["seed"] in both]
            if pairs:
                found = interval(pairs)
                span = (
                    "one seed: no interval"
                    if found.low is None
                    else f"[{found.low:+.4f}, {found.high:+.4f}], {found.seeds} seeds"
                )
                where = f"{objective}, size {size:g}, {budget:g} FLOPs"
                lines.append(f"- {where}: {shape} - {other} {found.mean:+.4f} {span}")
    return "\n".join(lines) + "\n"


def _row(*values: object) -> str:
    return "| " + " | ".join(str(one) for one in values) + " |"


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(sum(one[name] for one in rows) / len(rows))
