"""A study as a file: what is compared, at equal what, on which items, and what will be claimed.

Everything that could be chosen after a look at the results stands in the file before it runs: arms,
seeds, endpoint, step, claims. Three controls belong to every study, because each finds a fault that
nothing else shows: the same arm again with other data order (does noise alone pass for an effect?),
audio permuted across items (is the answer read somewhere else?), text only (what does hearing
add?). A file without one of them says why.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

from trainer.ablation.held_out import HeldOut
from trainer.ablation.moments import Moment, share_of
from trainer.evaluate import EvaluationSettings

NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"
CONTROLS = ("same", "permuted_audio", "text_only")

Value = Any  # of a setting: what YAML holds; checked by what it is a setting of


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class DataEntry(_Settings):
    """Where shards come from: they are there, or they are curated, from data there or made."""

    shards: str | None = Field(None, description="Shards that are there: a path or an address.")
    needs: str | None = Field(
        None, description="What the user must give with --data NAME=PATH; shards is then null."
    )
    make: str | None = Field(
        None, description="A script of yours that makes raw data: run with a folder to fill."
    )
    options: tuple[str, ...] = Field((), strict=False, description="Further words for `make`.")
    data: str | None = Field(
        None, description="DATA of curate: a path; with `make`, inside the folder that it filled."
    )
    recipe: str | None = Field(None, description="The recipe that curates it.")

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.shards is not None, self.needs is not None, self.recipe is not None]
        if sum(ways) != 1:
            raise ValueError(
                "give one of shards (they are there), needs (the user gives them) and recipe with "
                "data (they are curated)"
            )
        if (self.recipe is None) != (self.data is None):
            raise ValueError("recipe and data belong together")
        if self.make is not None and self.recipe is None:
            raise ValueError("make belongs to data and recipe")
        return self


class Arm(_Settings):
    """One thing to compare: settings of the trainer by dotted address."""

    about: str = ""
    settings: dict[str, Value] = Field(
        {}, description="As --set of train: data.sets.speech.policy: stochastic."
    )
    seeds: tuple[int, ...] | None = Field(
        None, strict=False, description="Only these of the study's seeds; null: all."
    )


class Control(_Settings):
    """Which arm a control is of."""

    arm: str


class Controls(_Settings):
    same: Control | None = None
    permuted_audio: Control | None = None
    text_only: Control | None = None
    without: dict[Literal["same", "permuted_audio", "text_only"], str] = Field(
        {}, description="A control that is left out, and why."
    )

    @pydantic.model_validator(mode="after")
    def _all_or_why(self) -> Self:
        for name in CONTROLS:
            given, why = getattr(self, name), self.without.get(name)  # type: ignore[call-overload]
            if given is None and not (why or "").strip():
                raise ValueError(
                    f"the control {name} is missing: name its arm ({name}: {{arm: ...}}), or say "
                    f"why the study goes without (without: {{{name}: ...}})"
                )
            if given is not None and why is not None:
                raise ValueError(f"the control {name} is both given and left out")
        return self


class Evaluation(_Settings):
    """On what arms are compared: the same held-out items for all of them."""

    sets: dict[str, str] = Field(min_length=1, description="Name -> folder with items.jsonl.")
    settings: EvaluationSettings = EvaluationSettings()
    held_out: HeldOut | None = Field(
        None, description="Also the loss on held-out documents, by set; shown, and no endpoint."
    )
    at: tuple[Moment, ...] = Field(
        ("end",), strict=False, min_length=1, description='Steps, shares ("25%") and "end".'
    )

    @pydantic.field_validator("at")
    @classmethod
    def _moments(cls, value: tuple[Moment, ...]) -> tuple[Moment, ...]:
        for one in value:
            share_of(one)
        return value


class Measure(_Settings):
    """One number of a model: the accuracy on a set in a mode by a score."""

    set: str
    mode: Literal["S-to-S", "S-to-T", "T-to-T", "S", "T"] = "S-to-T"
    score: str = "sum"


class Endpoint(Measure):
    at: Moment = "end"

    @pydantic.field_validator("at")
    @classmethod
    def _moment(cls, value: Moment) -> Moment:
        share_of(value)
        return value


class Area(Measure):
    """The mean height of the curve between two steps."""

    first: int = Field(ge=0)
    last: int = Field(gt=0)


class Floor(Endpoint):
    """What every arm must reach, or the study has not measured what it meant to."""

    least: float = Field(ge=0, le=1)


class Claim(_Settings):
    """`better` is said to be above `worse` at the endpoint."""

    name: str
    better: str
    worse: str
    equal: Literal["positions", "units", "flops"] | None = Field(
        None, description="What these two have the same of, where the study says equal: claims."
    )


class Study(_Settings):
    """A controlled comparison."""

    name: str = Field(pattern=NAME)
    question: str = Field(description="What is asked, for people.")
    limits: str = Field("", description="What the study cannot say; printed with its results.")
    config: str = Field("smoke", description="The trainer's config: a shipped name, or a path.")
    settings: dict[str, Value] = Field({}, description="Changes to it, for every arm.")
    data: dict[Annotated[str, Field(pattern=NAME)], DataEntry] = Field(
        {}, description="Sets of shards, named `data:NAME`."
    )
    seeds: tuple[int, ...] = Field(strict=False, min_length=1, description="Of every arm.")
    equal: Literal["positions", "units", "flops", "data", "claims"] = Field(
        description="What all arms have the same of. units: global positions (text tokens and "
        "patches). data: each arm reads its sets once. claims: each claim says what its two have."
    )
    arms: dict[str, Arm] = Field(min_length=1)
    controls: Controls
    beside: dict[str, Arm] = Field({}, description="Arms of comparisons that are not claims.")
    evaluation: Evaluation
    endpoint: Endpoint
    second: Area | None = None
    floor: Floor | None = None
    claims: tuple[Claim, ...] = Field((), strict=False)
    shown: tuple[Claim, ...] = Field(
        (), strict=False, description="Comparisons to show beside the claims, never claimed."
    )
    alpha: float = Field(0.05, gt=0, lt=0.5)
    level: float = Field(0.95, gt=0.5, lt=1)

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        names = [*self.arms, *self.beside, *CONTROLS]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two arms are called {twice[0]!r}")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds are different whole numbers from 0")
        for claim in (*self.claims, *self.shown):
            for name in (claim.better, claim.worse):
                _known(name, [*self.arms, *self.beside, *self.of_controls()], f"{claim.name!r}")
            if (claim.equal is None) == (self.equal == "claims"):
                raise ValueError(
                    f"{claim.name!r}: say `equal` in every comparison where the study says equal: "
                    "claims, and in none elsewhere"
                )
        if len({claim.name for claim in self.claims}) < len(self.claims):
            raise ValueError("two claims have one name")
        for name, control in self.of_controls().items():
            _known(control.arm, list(self.arms), f"control {name}")
        for name, arm in {**self.arms, **self.beside}.items():
            strange = sorted(set(arm.seeds or ()) - set(self.seeds))
            if strange:
                raise ValueError(f"arm {name} has seed {strange[0]}, which is not the study's")
        measures = [self.endpoint, self.second, self.floor]
        for measure in (one for one in measures if one is not None):
            _known(measure.set, list(self.evaluation.sets), "a measure")
        for moment in (self.endpoint.at, *([self.floor.at] if self.floor else [])):
            if moment not in self.evaluation.at:
                raise ValueError(f"evaluation.at does not hold {moment!r}, where a measure is read")
        if self.second is not None:
            for step in (self.second.first, self.second.last):
                if step not in self.evaluation.at:
                    raise ValueError(f"evaluation.at does not hold the step {step} of `second`")
        return self

    def of_controls(self) -> Mapping[str, Control]:
        """The controls that are given."""
        given = {name: getattr(self.controls, name) for name in CONTROLS}
        return {name: control for name, control in given.items() if control is not None}

    def seeds_of(self, arm: str) -> tuple[int, ...]:
        """The seeds that an arm, or a control of one, is trained with."""
        control = self.of_controls().get(arm)
        name = control.arm if control is not None else arm
        own = {**self.arms, **self.beside}[name].seeds
        return tuple(seed for seed in self.seeds if own is None or seed in own)

    def about(self, arm: str) -> str:
        """An arm in words."""
        control = self.of_controls().get(arm)
        if control is None:
            return {**self.arms, **self.beside}[arm].about
        return {
            "same": f"A/A: {control.arm} again, with another order of data",
            "permuted_audio": f"{control.arm}, with audio permuted across items",
            "text_only": f"{control.arm}, with every chunk as text",
        }[arm]

    def names(self) -> tuple[str, ...]:
        """Every arm: those of the claims, the controls, those beside."""
        return (*self.arms, *self.of_controls(), *self.beside)


def _known(name: str, names: list[str], where: str) -> None:
    if name not in names:
        raise ValueError(f"{where} names {name!r}; there are {', '.join(sorted(names))}")
