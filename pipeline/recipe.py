"""A recipe: which steps make which streams, in which order, with which settings.

The file is YAML 1.2 (`schemas.settings`); a step is `- name` or `- name: {settings}`, and its name
is that of its file in `transforms/`. Everything that can be known without data is checked here, all
at once: names, settings, the order of phases, steps that are missing, and scores that a filter
reads but no measure of the recipe provides. `decode` (first of hear) and `split` (last of select)
go without saying: where a stream does not name them they stand there with their defaults. A stream
of pages (one with `extract`) has no `decode`, and may have two halves (`pipeline.halves`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from pipeline import halves
from pipeline.balance import Balance
from pipeline.drafts import Draft, Known, apply, paths, streams_of, streams_place, with_implied
from pipeline.fit import ROW_COLUMNS, asked_offline, misfits, uneven_splits
from schemas.problems import KeyPath
from schemas.settings import (
    Node,
    Place,
    Problem,
    SettingsError,
    check,
    dotted,
    nearest,
    parse_overrides,
    read,
    shown,
)
from schemas.yaml_text import write
from transforms.engines import tokenizer
from transforms.step import Phase, Step, registry

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class ShardSettings(pydantic.BaseModel):
    """How documents are stored."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    hours: float = pydantic.Field(
        2.0,
        gt=0,
        le=24,
        description="Audio in a shard, about (hours; ours: 2 hours of FLAC are about 150 MB)",
    )
    audio: Literal["flac", "none"] = pydantic.Field(
        "flac", description="Samples beside the text, or stored tokens alone (flac: lossless)"
    )
    tokens: tuple[str, ...] = pydantic.Field(
        (),
        description="Speech tokenizers whose units are stored: dmel, dmel/STRIDExSTACK, "
        "kmeans/FILE, codec/FOLDER (names; none)",
    )

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.tokens:
            try:
                tokenizer.parse(name)
            except ValueError as error:
                raise ValueError(f"tokens: {error}") from error
        if self.audio == "none" and not self.tokens:
            raise ValueError("audio is none and tokens is empty: the shards would hold no speech")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("tokens: a tokenizer is named twice")
        return self


class Resources(pydantic.BaseModel):
    """What the workers of one phase need on a distributed runner (Beam's resource hints).

    They belong to a phase and never to a step: steps with different hints cannot be fused, and
    audio would cross a shuffle. They change where work is done, never what comes out, so they are
    in no key; the local runner has one machine and ignores them.
    """

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")

    accelerator: str | None = pydantic.Field(
        None,
        pattern=r"^type:[a-z0-9-]+;count:[0-9]+(;install-nvidia-driver(:[a-z0-9.-]+)?)?$",
        description="Accelerator, as Beam spells it (type:nvidia-l4;count:1;install-nvidia-driver)",
    )
    min_ram: str | None = pydantic.Field(
        None, pattern=r"^[0-9]+(\.[0-9]+)?(MB|GB|MiB|GiB)$", description="Least memory (16GB)"
    )
    cpu_count: int | None = pydantic.Field(None, ge=1, description="Least cores (cores)")

    def hints(self) -> dict[str, str]:
        """As `PTransform.with_resource_hints` takes them: texts, or it refuses them."""
        return {name: str(value) for name, value in self.model_dump().items() if value is not None}


PhaseName = Literal[
    "fetch",
    "unpack",
    "gather",
    "hear",
    "annotate",
    "extract",
    "measure",
    "select",
    "synthesize",
    "arrange",
    "compose",
]


class RecipeHead(pydantic.BaseModel):
    """The shape of a recipe around its steps."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str = pydantic.Field(
        pattern=NAME, description="Name of the recipe (small letters, digits, - and _)"
    )
    seed: int = pydantic.Field(
        0, ge=0, description="Seed of every draw, as in splits and interleavings"
    )
    streams: dict[str, list[Any]] = pydantic.Field(
        min_length=1, max_length=32, description="Steps of each stream, in order"
    )
    shards: ShardSettings = ShardSettings()
    resources: dict[PhaseName, Resources] = pydantic.Field(
        default_factory=dict, description="What the workers of a phase need, on a cluster"
    )
    balance: Balance | None = pydantic.Field(
        None, description="Weights of documents for the trainer, and coverage (in no key; none)"
    )
    offline: bool = pydantic.Field(
        False,
        description="Models named by hub ids that are not on this machine are an error; else they "
        "are fetched once, before work starts (yes or no; in no key)",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A checked recipe: every step a model with all its settings."""

    name: str
    seed: int
    streams: Mapping[str, tuple[Step, ...]]
    shards: ShardSettings
    resources: Mapping[str, Resources] = dataclasses.field(default_factory=dict)
    offline: bool = False
    balance: Balance | None = None

    def hints(self, phase: str) -> dict[str, str]:
        """Beam's resource hints for the workers of a phase; {} for none."""
        found = self.resources.get(phase)
        return {} if found is None else found.hints()

    def steps(self, stream: str, phase: Phase) -> tuple[Step, ...]:
        """The steps of one phase of a stream, in their order.

        Of pages that are spoken, measure and select come twice: these are the later ones.
        """
        return halves.at_the_end(self.streams[stream], phase)

    def before_speech(self, stream: str, phase: Phase) -> tuple[Step, ...]:
        """The steps of measure or select that look at pages before they are spoken."""
        return halves.before_speech(self.streams[stream], phase)

    def kind(self, stream: str) -> halves.Kind:
        """What a stream is of: audio, or pages."""
        return halves.kind_of([step.phase for step in self.streams[stream]])

    def canonical(self) -> dict[str, Any]:
        """The recipe as JSON has it, with every default written out; `from_canonical` reads it."""
        return {
            "name": self.name,
            "seed": self.seed,
            "streams": {
                name: [{step.name(): step.model_dump(mode="json")} for step in steps]
                for name, steps in self.streams.items()
            },
            "shards": self.shards.model_dump(mode="json"),
            "resources": {
                phase: one.model_dump(mode="json") for phase, one in sorted(self.resources.items())
            },
            "offline": self.offline,
            **({"balance": self.balance.model_dump(mode="json")} if self.balance else {}),
        }

    def text(self) -> str:
        """The recipe as YAML with every default written out; it loads to an equal recipe."""
        return write(self.canonical())


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), known: Known | None = None
) -> Recipe:
    """The recipe of a file with `--set` texts applied. Raises `SettingsError` with every problem.

    `known`: the steps by name; by default all that `transforms/` holds.
    """
    return resolve(read(path), overrides, known, Path(path).absolute().parent)


def from_canonical(value: Mapping[str, Any], known: Known | None = None) -> Recipe:
    """The recipe that `Recipe.canonical` wrote, as a manifest holds it."""
    return resolve(Node.of(value, Place("manifest")), (), known)


def resolve(
    tree: Node,
    overrides: Sequence[str] = (),
    known: Known | None = None,
    folder: Path | None = None,
) -> Recipe:
    """A recipe from the tree of its file. Raises `SettingsError` with every problem.

    `folder`: where the recipe lies; with it, the data files that steps name are looked at.
    """
    known = registry() if known is None else known
    problems: list[Problem] = []
    streams = {
        name: with_implied(found, known) for name, found in streams_of(tree, problems).items()
    }
    tree, streams = apply(parse_overrides(overrides), tree, streams, problems)
    head, wrong = check(tree, RecipeHead)
    problems += wrong
    places = streams_place(tree)
    steps = {}
    for name, found in streams.items():
        path: KeyPath = ("streams", name)
        steps[name], wrong = _steps(path, found, known, folder)
        problems += wrong
        problems += misfits(places[name], path, found, steps[name], known)
    if not problems:
        problems += uneven_splits(places, steps)
        if head is not None and head.offline:
            problems += asked_offline(places, steps)
    balance = None if head is None else head.balance
    if balance is not None:
        place = tree.child("balance")
        try:
            balance = balance if folder is None else balance.bound(folder)
            found = {name: [step for step in all_ if step] for name, all_ in steps.items()}
            wrong_with = balance.misfit(found, sorted(ROW_COLUMNS))
        except ValueError as error:
            wrong_with = str(error)
        if wrong_with and not problems:
            problems.append(Problem(place.place if place else tree.place, "balance", wrong_with))
    if head is None or problems:
        raise SettingsError(problems)
    return Recipe(
        name=head.name,
        seed=head.seed,
        streams={name: tuple(filter(None, found)) for name, found in steps.items()},
        shards=head.shards,
        resources=head.resources,
        offline=head.offline,
        balance=balance,
    )


def _steps(
    path: KeyPath, found: list[Draft], known: Known, folder: Path | None
) -> tuple[list[Step | None], list[Problem]]:
    """The models of a stream's drafts (`None` where one cannot be made), and what is wrong."""
    steps: list[Step | None] = []
    problems: list[Problem] = []
    for draft, inside in zip(found, paths(path, found), strict=True):
        kind = known.get(draft.name)
        step: Step | None = None
        if kind is None:
            message = f"there is no step {shown(draft.name)}{nearest(draft.name, known)}"
            problems.append(Problem(draft.place, dotted(inside), message))
        else:
            step, wrong = check(draft.settings, kind, inside)
            problems += wrong
            if step is not None and folder is not None:
                try:
                    step = step.bound(folder)
                except ValueError as error:
                    problems.append(Problem(draft.place, dotted(inside), str(error)))
            if step is not None:
                step = step.beside([one for one in steps if one is not None])
        steps.append(step)
    return steps, problems
