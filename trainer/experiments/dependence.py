"""Do the questions of one run depend on each other? Short runs from a checkpoint say.

"Train once, answer all" (arXiv 2509.23383) holds where the effect of an intervention is the same
with and without the others. From one checkpoint short runs go on without any intervention, with
each alone, and with all; entry (i, j) is what inserting i does to the measure of j, paired by seed.
Off the diagonal it should include 0, and so should what all of them do beyond i alone.

Each run takes over weights and the optimizer's moments, reads data in an order of its own seed at
the rate that the checkpoint had reached, and differs from its like in what is inserted alone.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from schemas.settings import SettingsError, check, read
from trainer import checkpoint
from trainer.ablation.held_out import HeldOut, HeldOutData
from trainer.ablation.making import told
from trainer.ablation.running import locked
from trainer.ablation.statistics import Interval, interval
from trainer.ablation.study import NAME
from trainer.config import Config, Stop, of_json
from trainer.data_settings import ExperimentSettings, SetSettings
from trainer.distributed import ranks
from trainer.failures import ChangedError, CheckpointError, SetupError, TrainingError
from trainer.loop import State, train
from trainer.model import Decoder
from trainer.opening import opened
from trainer.planning import DataState
from trainer.schedule import Schedule, factor
from trainer.text import FILES
from trainer.trained import CHECKPOINTS

NONE, ALL = "none", "all"
PLAN, DONE = "dependence.json", "done.json"


class Intervention(pydantic.BaseModel):
    """What is inserted, and on what its effect is looked for."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    insert: ExperimentSettings
    measure: SetSettings | None = Field(
        None, description="The set whose loss is its effect; null: the documents inserted."
    )
    loss: str = Field("all", pattern="^(all|text|speech|marker)$", description="Which targets.")


class DependencePlan(pydantic.BaseModel):
    """The questions, and how long the short runs are."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    interventions: dict[Annotated[str, Field(pattern=NAME)], Intervention] = Field(min_length=2)
    steps: int = Field(50, ge=1, description="Updates of each short run.")
    seeds: tuple[int, ...] = Field((1, 2, 3, 4, 5), strict=False, min_length=2)
    packs: int = Field(16, ge=1, description="Of each measure, at most.")
    level: float = Field(0.95, gt=0.5, lt=1, description="Of all intervals of the matrix together.")

    @pydantic.model_validator(mode="after")
    def _names(self) -> "DependencePlan":
        if taken := {NONE, ALL} & set(self.interventions):
            raise ValueError(f"no intervention may be called {sorted(taken)[0]!r}")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds are different whole numbers from 0")
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One effect. `clear`: its interval, corrected for how many there are, excludes 0."""

    of: str
    on: str
    effect: Interval
    clear: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Dependence:
    """The matrix, row by row, and what all interventions together do beyond each alone."""

    names: tuple[str, ...]
    matrix: tuple[Entry, ...]
    beyond: tuple[Entry, ...]

    @property
    def independent(self) -> bool:
        """Whether nothing off the diagonal, and nothing beyond it, is clear of 0."""
        return not any(one.clear for one in self.crossed())

    def crossed(self) -> Iterator[Entry]:
        yield from (one for one in self.matrix if one.of != one.on)
        yield from self.beyond


def read_plan(path: Path) -> DependencePlan:
    """The plan of a file. Raises `SettingsError`."""
    plan, problems = check(read(path), DependencePlan)
    if plan is None:
        raise SettingsError(problems)
    return plan


def dependence(
    run: Path, plan: DependencePlan, out: Path, *, say: Callable[[str], None] | None = None
) -> Dependence:
    """Make the short runs that are not made, from the newest checkpoint of a run's OUT.

    Raises `SetupError` for a run without a checkpoint, `ChangedError` where OUT holds others,
    `BusyError`, `TrainingError`.
    """
    tell = say or told
    source = checkpoint.newest(run / CHECKPOINTS)
    if source is None:
        raise SetupError(f"{run}: holds no checkpoint to go on from")
    begun = {"plan": plan.model_dump(mode="json"), "from": _digest(source.path)}
    with locked(out):
        kept = out / PLAN
        if kept.is_file() and json.loads(kept.read_text("utf-8")) != begun:
            raise ChangedError(
                f"{out} holds short runs of another plan or checkpoint: take another"
            )
        kept.write_text(json.dumps(begun, indent=1, sort_keys=True) + "\n", "utf-8")
        arms = [NONE, *plan.interventions, ALL]
        losses: dict[tuple[str, int], Mapping[str, float]] = {}
        for seed in plan.seeds:
            for arm in arms:
                losses[arm, seed] = _short(run, source.path, plan, out, arm, seed, tell)
    return effects(plan, losses)


def effects(
    plan: DependencePlan, losses: Mapping[tuple[str, int], Mapping[str, float]]
) -> Dependence:
    """The matrix of measures by (arm, seed): `none`, each intervention, `all`."""
    names = tuple(plan.interventions)
    count = len(names) * len(names)
    level = 1 - (1 - plan.level) / count  # Bonferroni: one chance for the matrix, one for `beyond`

    def entry(of: str, on: str, one: str, other: str, own: float) -> Entry:
        values = [losses[one, seed][on] - losses[other, seed][on] for seed in plan.seeds]
        found = interval(values, own)
        return Entry(of=of, on=on, effect=found, clear=found.holds(0.0) is False)

    matrix = [entry(i, j, i, NONE, level) for i in names for j in names]
    of_all = 1 - (1 - plan.level) / len(names)
    beyond = [entry(ALL, j, ALL, j, of_all) for j in names]
    return Dependence(names=names, matrix=tuple(matrix), beyond=tuple(beyond))


def _short(
    run: Path,
    source: Path,
    plan: DependencePlan,
    out: Path,
    arm: str,
    seed: int,
    say: Callable[[str], None],
) -> Mapping[str, float]:
    """The measures after one short run; read again where it is done."""
    folder = out / "cells" / f"{arm}-{seed}"
    if (folder / DONE).is_file():
        found: dict[str, float] = json.loads((folder / DONE).read_text("utf-8"))
        return found
    config = forked(run, source, folder / "run", plan, arm, seed)
    result = train(config, folder / "run", at={plan.steps: _measure(plan, config)})
    if result.stopped != "done":
        raise TrainingError(
            f"{folder}: stopped at step {result.step} of {plan.steps} ({result.stopped}); "
            "the same command goes on"
        )
    measured: dict[str, float] = result.evaluations[plan.steps]
    (folder / DONE).write_text(json.dumps(measured, sort_keys=True) + "\n", "utf-8")
    shutil.rmtree(folder / "run" / CHECKPOINTS)
    say(f"{arm}, seed {seed}: {', '.join(f'{k} {v:.4f}' for k, v in measured.items())}")
    return measured


def _measure(plan: DependencePlan, config: Config) -> Callable[[Decoder, State], dict[str, float]]:
    sets = {}
    for name, one in plan.interventions.items():
        own = one.measure
        if own is None:
            plain = one.insert.model_dump(exclude={"times", "begin", "end"})
            own = SetSettings.model_validate(plain)
        sets[name] = own

    def measure(model: Decoder, state: State) -> dict[str, float]:
        asked = HeldOut(sets=sets, packs=plan.packs)
        held = HeldOutData(asked, config, state.opened.text, state.opened.speech)
        found = held.losses(model)["sets"]
        wrong = [n for n, one in plan.interventions.items() if one.loss not in found[n]]
        if wrong:
            kind = plan.interventions[wrong[0]].loss
            raise SetupError(f"intervention {wrong[0]}: its measure has no {kind} targets")
        return {name: found[name][one.loss] for name, one in plan.interventions.items()}

    return measure


def forked(run: Path, source: Path, out: Path, plan: DependencePlan, arm: str, seed: int) -> Config:
    """Make OUT a run of `plan.steps` updates at step 0, with the weights and moments of a
    checkpoint, unless it was begun already. Returns its config."""
    state = checkpoint.read_state(source)
    base = of_json(state["config"], str(source / checkpoint.STATE))
    config = _config(base, plan, arm, seed, int(state["step"]), int(state["steps"]))
    if checkpoint.newest(out / CHECKPOINTS) is not None:
        return config
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)
    with ranks(config.compute.device) as group:
        facts = opened(config, out, group, again=True).facts
    for name, digest in state["facts"].items():
        if name in facts and facts[name] != digest:
            raise ChangedError(f"{source}: {name} is not what the run was trained with")
    new = {
        **{name: value for name, value in state.items() if name != "weighing"},
        "config": config.canonical(),
        "facts": facts,
        "data": DataState().as_json(),
        "totals": {},
        "flops": 0.0,
        "steps": plan.steps,
    }
    checkpoint.fork(source, out / CHECKPOINTS, 0, new)
    return config


def _config(
    base: Config, plan: DependencePlan, arm: str, seed: int, step: int, steps: int
) -> Config:
    """The short run's: the checkpoint's rate held, its data anew, one intervention or all."""
    chosen = plan.interventions if arm == ALL else [arm] if arm != NONE else []
    experiments = {name: plan.interventions[name].insert for name in chosen}
    lr = base.optimizer.lr * factor(base.schedule, min(step, steps) - 1, steps)
    data = base.data.model_copy(update={"experiments": experiments, "seed": seed})
    return base.model_copy(
        update={
            "name": f"short-{arm}-{seed}",
            "data": data,
            "optimizer": base.optimizer.model_copy(update={"lr": lr}),
            "schedule": Schedule(kind="constant"),
            "stop": Stop(steps=plan.steps),
            "weighing": None,
        }
    )


def _digest(path: Path) -> str:
    """Of a checkpoint: its own list of sums."""
    try:
        found: str = json.dumps(json.loads((path / checkpoint.COMPLETE).read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a complete checkpoint: {error}") from error
    return found


def as_text(found: Dependence) -> str:
    """The matrix as Markdown; what is clear of 0 is bold."""
    rows = [f"| inserted | {' | '.join(f'on {name}' for name in found.names)} |"]
    rows.append("|---" * (len(found.names) + 1) + "|")
    for name in found.names:
        own = [one for one in found.matrix if one.of == name]
        rows.append(f"| {name} | {' | '.join(map(_shown, own))} |")
    rows.append(f"| all, beyond each alone | {' | '.join(map(_shown, found.beyond))} |")
    crossed = [one for one in found.crossed() if one.clear]
    told = "no effect on another's measure is clear of 0" if not crossed else (
        "NOT INDEPENDENT: " + ", ".join(f"{one.of} on {one.on}" for one in crossed)
    )  # fmt: skip
    return "\n".join([*rows, "", told]) + "\n"


def _shown(one: Entry) -> str:
    shown = one.effect
    assert shown.low is not None and shown.high is not None
    text = f"{shown.mean:+.4f} [{shown.low:+.4f}, {shown.high:+.4f}]"
    return f"**{text}**" if one.clear else text


def as_json(found: Dependence) -> dict[str, Any]:
    return {**dataclasses.asdict(found), "independent": found.independent}
