"""An IsoFLOP study as a file: budgets x sizes x unique data x seeds, every cell a run.

Cells are those of ablations: processes of their own, resumable, each with its config, its log and
its held-out losses. A file that changed since its OUT was begun is refused with the difference.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from schemas.problems import KeyPath
from schemas.settings import (
    Node,
    Place,
    Problem,
    SettingsError,
    check,
    parse_overrides,
    read,
    replace_at,
)
from trainer.ablation.held_out import HeldOut
from trainer.ablation.plan import base_tree, changed_tree, given_data, resolved
from trainer.ablation.running import Cell
from trainer.ablation.study import NAME, DataEntry
from trainer.config import Config

Name = Annotated[str, Field(pattern=NAME)]


class Grid(pydantic.BaseModel):
    """What is run."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    name: Name
    about: str = Field("", description="What it is for, and what it cannot say.")
    config: str = Field("smoke", description="The trainer's config: a shipped name, or a path.")
    settings: dict[str, Any] = Field({}, description="Changes to it, for every cell.")
    data: dict[Name, DataEntry] = Field({}, description="Sets of shards, named `data:NAME`.")
    budgets: tuple[float, ...] = Field(
        strict=False, min_length=1, description="FLOPs of a run, by the formula of docs/budget.md."
    )
    sizes: dict[Name, dict[str, Any]] = Field(
        min_length=1, description="Name -> settings: model.width, optimizer.lr, ..."
    )
    unique: dict[Name, dict[str, Any]] = Field(
        {"all": {}},
        min_length=1,
        description="Name -> settings that say how much of the data there is: "
        "data.sets.speech.max_seconds, data.sets.speech.subset.",
    )
    seeds: tuple[int, ...] = Field((1,), strict=False, min_length=1)
    held_out: HeldOut = HeldOut()
    loss: Literal["all", "text", "speech"] = Field(
        "all", description="Which held-out loss the fits are of."
    )
    parameters: Literal["all", "blocks"] = Field(
        "all", description="What counts as size: every weight, or those of the blocks alone."
    )

    @pydantic.model_validator(mode="after")
    def _different(self) -> Self:
        for name in ("budgets", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or min(values) < (1 if name == "budgets" else 0):
                raise ValueError(f"{name}: different numbers from {int(name == 'budgets')} on")
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """A place in the grid, seeds aside."""

    budget: float
    size: str
    unique: str

    @property
    def arm(self) -> str:
        """Its name among cells."""
        return f"{self.budget:.3g}-{self.size}-{self.unique}".replace("+", "")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PlannedGrid:
    """A grid with the config of each place; references to data are still names."""

    grid: Grid
    path: Path
    trees: Mapping[str, Node]  # by arm
    spots: Mapping[str, Spot]

    def cells(self) -> Iterator[Cell]:
        """Seed by seed, small budgets first: what is there early is whole curves."""
        for seed in self.grid.seeds:
            for arm in self.spots:
                yield arm, seed

    def config(self, cell: Cell, resolve: Callable[[str], str]) -> Config:
        """The config of a cell. `resolve` turns what follows `data:` into a place."""
        arm, seed = cell
        tree, place = resolved(self.trees[arm], resolve), Place(str(self.path))
        stop = {"flops": float(self.spots[arm].budget)}
        for address, value in (
            (("seed",), seed),
            (("data", "seed"), seed),
            (("name",), f"{self.grid.name}-{arm}-{seed}".replace("+", "")),
            (("stop",), stop),
        ):
            tree = replace_at(tree, address, Node.of(value, place))
        config, problems = check(tree, Config)
        if config is None:
            raise SettingsError(problems)
        return config

    def canonical(self) -> dict[str, Any]:
        """All that decides the results but for bytes of data."""
        first = self.grid.seeds[0]
        configs = {
            arm: self.config((arm, first), lambda name: f"data:{name}").canonical()
            for arm in self.spots
        }
        return {"grid": self.grid.model_dump(mode="json"), "configs": configs}


def plan_grid(
    path: Path, overrides: Sequence[str] = (), given: Mapping[str, str] | None = None
) -> PlannedGrid:
    """Read a grid. `given`: shards by name of a data entry that `needs` them.

    Raises `SettingsError` with every problem, of the file and of the configs it makes.
    """
    tree = read(path)
    for override in parse_overrides(overrides):
        tree = replace_at(tree, _own(override.address), override.node)
    grid, problems = check(tree, Grid)
    if grid is None:
        raise SettingsError(problems)
    grid = grid.model_copy(update={"data": given_data(grid.data, given or {}, path)})
    base, problems = changed_tree(base_tree(grid.config, path), grid.settings, path, "settings")
    trees, spots = {}, {}
    for budget in sorted(grid.budgets):
        for size, of_size in grid.sizes.items():
            for unique, of_unique in grid.unique.items():
                spot = Spot(budget=budget, size=size, unique=unique)
                if spot.arm in spots:
                    raise SettingsError([_alike(path, budget)])
                own, found = changed_tree(base, of_size, path, f"sizes.{size}")
                own, more = changed_tree(own, of_unique, path, f"unique.{unique}")
                problems += [*found, *more]
                trees[spot.arm], spots[spot.arm] = own, spot
    planned = PlannedGrid(grid=grid, path=path, trees=trees, spots=spots)
    for arm in spots:
        problems += _problems(planned, arm)
    if problems:
        raise SettingsError(list(dict.fromkeys(problems)))
    return planned


def _own(address: KeyPath) -> KeyPath:
    """An address of the grid, in which what changes a config is one dotted key."""
    at = {"settings": 1, "sizes": 2, "unique": 2}.get(str(address[0]), len(address))
    below = address[at:]
    return (*address[:at], ".".join(map(str, below))) if below else address


def _alike(path: Path, budget: float) -> Problem:
    message = f"{budget:g} and another budget are the same in three digits"
    return Problem(Place(str(path)), "budgets", message)


def _problems(planned: PlannedGrid, arm: str) -> list[Problem]:
    names: set[str] = set()

    def note(name: str) -> str:
        names.add(name.split("/")[0])
        return f"data:{name}"

    try:
        planned.config((arm, planned.grid.seeds[0]), note)
    except SettingsError as error:
        return [dataclasses.replace(p, path=f"{p.path} (cell {arm})") for p in error.problems]
    strange = sorted(names - set(planned.grid.data))
    there = sorted(planned.grid.data)
    place = Place(str(planned.path))
    return [
        Problem(place, "data", f"nothing here is called {n!r}; there are {there}") for n in strange
    ]
