"""From a study's file to its cells: every arm's config, checked, with what must be equal compared.

A cell is one arm with one seed. Within a seed all arms get the same initial weights and the same
data seed; the A/A control alone gets another data seed, for it asks what order does by itself.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.problems import KeyPath
from schemas.settings import (
    Node,
    Place,
    Problem,
    SettingsError,
    check,
    parse_override,
    parse_overrides,
    read,
    replace_at,
)
from trainer.ablation.study import Claim, DataEntry, Study
from trainer.config import CONFIGS, Config

REFERENCE = "data:"  # of a string that names an entry of the study's data
OTHER_ORDER = 1_000_003  # added to the data seed of the A/A control


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A study with the config of each arm; references to data are still names."""

    study: Study
    path: Path
    trees: Mapping[str, Node]  # by arm

    def cells(self) -> Iterator[tuple[str, int]]:
        """Arm and seed, seed by seed, so that a study that is stopped has whole seeds."""
        for seed in self.study.seeds:
            for arm in self.study.names():
                if seed in self.study.seeds_of(arm):
                    yield arm, seed

    def config(self, arm: str, seed: int, resolve: Callable[[str], str]) -> Config:
        """The config of a cell. `resolve` turns what follows `data:` into a place."""
        tree = resolved(self.trees[arm], resolve)
        place = Place(str(self.path))
        order = seed + (OTHER_ORDER if arm == "same" else 0)
        for address, value in (
            (("seed",), seed),
            (("data", "seed"), order),
            (("name",), f"{self.study.name}-{arm}-{seed}"),
        ):
            tree = replace_at(tree, address, Node.of(value, place))
        config, problems = check(tree, Config)
        if config is None:
            raise SettingsError(problems)
        return config

    def canonical(self) -> dict[str, Any]:
        """All that decides the results but for bytes of data: what a later start is compared
        with."""
        configs = {
            arm: self.config(arm, self.study.seeds[0], _unresolved).canonical()
            for arm in self.study.names()
        }
        return {"study": self.study.model_dump(mode="json"), "configs": configs}


def plan(
    path: Path, overrides: Sequence[str] = (), given: Mapping[str, str] | None = None
) -> Planned:
    """Read a study. `given`: shards by name of a data entry that `needs` them.

    Raises `SettingsError` with every problem, of the study's file and of the configs it makes.
    """
    tree = read(path)
    for override in parse_overrides(overrides):
        tree = replace_at(tree, _own(override.address), override.node)
    study, problems = check(tree, Study)
    if study is None:
        raise SettingsError(problems)
    entries = given_data(study.data, given or {}, path)
    study = study.model_copy(update={"data": entries})
    base = base_tree(study.config, path)
    base, problems = changed_tree(base, study.settings, path, "settings")
    trees: dict[str, Node] = {}
    for group, arms in (("arms", study.arms), ("beside", study.beside)):
        for name, arm in arms.items():
            trees[name], found = changed_tree(base, arm.settings, path, f"{group}.{name}.settings")
            problems += found
    for name, control in study.of_controls().items():
        trees[name] = _controlled(trees[control.arm], name)
    planned = Planned(study=study, path=path, trees=trees)
    for name in study.names():
        problems += _problems(planned, name)
    problems = problems or [*_references(planned), *_unequal(planned)]
    if problems:
        raise SettingsError(list(dict.fromkeys(problems)))
    return planned


def _own(address: KeyPath) -> KeyPath:
    """An address of the study, in which what stands below `settings` is one dotted key."""
    if "settings" not in address[:3] or address[0] == "evaluation":
        return address
    at = address.index("settings") + 1
    below = address[at:]
    return (*address[:at], ".".join(map(str, below))) if below else address


def resolved(tree: Node, resolve: Callable[[str], str]) -> Node:
    """The tree with every string `data:NAME...` replaced."""
    value = tree.value
    if isinstance(value, dict):
        below = {name: resolved(child, resolve) for name, child in value.items()}
        return dataclasses.replace(tree, value=below)
    if isinstance(value, list):
        return dataclasses.replace(tree, value=[resolved(child, resolve) for child in value])
    if isinstance(value, str) and value.startswith(REFERENCE):
        return dataclasses.replace(tree, value=resolve(value.removeprefix(REFERENCE)))
    return tree


def _unresolved(name: str) -> str:
    return f"{REFERENCE}{name}"


def given_data(
    data: Mapping[str, DataEntry], given: Mapping[str, str], path: Path
) -> dict[str, DataEntry]:
    """The entries with the shards that the user gave in the place of what they `need`."""
    problems = []
    entries = dict(data)
    for name, place in given.items():
        if name not in entries or entries[name].needs is None:
            asked = sorted(n for n, entry in entries.items() if entry.needs is not None)
            message = f"--data {name}=…: the study asks for {asked or 'no shards of yours'}"
            problems.append(Problem(Place(str(path)), "data", message))
        else:
            entries[name] = entries[name].model_copy(update={"needs": None, "shards": place})
    missing = {name: entry.needs for name, entry in entries.items() if entry.needs is not None}
    problems += [
        Problem(Place(str(path)), f"data.{name}", f"give it with --data {name}=PATH. Needed: {why}")
        for name, why in missing.items()
    ]
    if problems:
        raise SettingsError(problems)
    return entries


def base_tree(config: str, path: Path) -> Node:
    """The config that a file at `path` names: beside it, shipped, or a path."""
    shipped = CONFIGS / f"{config}.yaml"
    near = path.parent / config
    return read(near if near.is_file() else shipped if shipped.is_file() else Path(config))


def changed_tree(
    tree: Node, settings: Mapping[str, Any], path: Path, where: str
) -> tuple[Node, list[Problem]]:
    """The tree with settings by dotted address, and what is wrong with them."""
    problems: list[Problem] = []
    place = Place(str(path))
    for address, value in settings.items():
        try:
            keys = parse_override(f"{address}=0").address
            tree = replace_at(tree, keys, Node.of(value, place))
        except SettingsError as error:
            problems += [Problem(place, f"{where}.{address}", p.message) for p in error.problems]
    return tree, problems


def _controlled(tree: Node, control: str) -> Node:
    """An arm's tree as a control has it."""
    place = Place(f"control {control}")
    if control == "permuted_audio":
        return replace_at(tree, ("data", "permute_audio"), Node.of(True, place))
    if control == "text_only":
        for name in _sets(tree):
            tree = replace_at(tree, ("data", "sets", name, "policy"), Node.of("text_only", place))
    return tree


def _sets(tree: Node) -> list[str]:
    data = tree.child("data")
    sets = data.child("sets") if data is not None else None
    return list(sets.value) if sets is not None and isinstance(sets.value, dict) else []


def _problems(planned: Planned, arm: str) -> list[Problem]:
    try:
        planned.config(arm, planned.study.seeds[0], _unresolved)
    except SettingsError as error:
        return [dataclasses.replace(p, path=f"{p.path} (arm {arm})") for p in error.problems]
    return []


def _references(planned: Planned) -> Iterator[Problem]:
    """Names of data that nothing makes."""
    wanted: set[str] = set()

    def note(name: str) -> str:
        wanted.add(name.split("/")[0])
        return name

    for tree in planned.trees.values():
        resolved(tree, note)
    held = planned.study.evaluation.held_out
    places = [one.shards for one in (held.sets or {}).values()] if held is not None else []
    for folder in (*planned.study.evaluation.sets.values(), *places):
        if folder.startswith(REFERENCE):
            note(folder.removeprefix(REFERENCE))
    there = sorted(planned.study.data)
    for name in sorted(wanted - set(there)):
        yield Problem(
            Place(str(planned.path)), "data", f"nothing here is called {name!r}; there are {there}"
        )


def _unequal(planned: Planned) -> Iterator[Problem]:
    """Arms that do not have the same of what the study says is equal."""
    study, place = planned.study, Place(str(planned.path))
    configs = {arm: planned.config(arm, study.seeds[0], _unresolved) for arm in study.names()}
    first = next(iter(study.arms))
    for claim in (*study.claims, *study.shown):
        if claim.equal is not None:
            yield from _unequal_claim(claim, configs, place)
    if study.equal == "claims":
        return
    for arm, config in configs.items():
        if study.equal == "data":
            endless = [name for name, one in config.data.sets.items() if one.epochs != 1]
            if endless or config.data.when_done != "others":
                yield Problem(
                    place,
                    f"arms.{arm}",
                    "equal: data reads every set once: set epochs: 1 of each set (not so: "
                    f"{endless}) and data.when_done: others",
                )
            continue
        mine, other = (budget(one, study.equal) for one in (config, configs[first]))
        if mine != other:
            yield Problem(
                place,
                f"arms.{arm}",
                f"equal: {study.equal}, but it stops at {mine} and {first} at {other}",
            )
    if study.equal == "flops" and configs[first].stop.flops is None:
        yield Problem(place, "settings", "equal: flops needs stop: {flops: ...} for every arm")


def _unequal_claim(claim: Claim, configs: Mapping[str, Config], place: Place) -> Iterator[Problem]:
    assert claim.equal is not None
    one, other = (budget(configs[arm], claim.equal) for arm in (claim.better, claim.worse))
    where = f"claims ({claim.name})"
    if one != other:
        told = f"{claim.better} stops at {one} and {claim.worse} at {other}"
        yield Problem(place, where, f"equal: {claim.equal}, but {told}")
    elif one is None:
        yield Problem(place, where, "equal: flops needs stop: {flops: ...} for both arms")


def budget(config: Config, equal: str) -> Any:
    """What a run may spend, in a form that can be compared between arms."""
    if equal == "flops":
        return config.stop.flops
    per_step = config.data.packs * config.data.length
    stop, patches = config.stop, config.data.patches
    if patches is not None and (patches.count == "patches") != (equal == "units"):
        # what length counts is not what is compared
        return (f"{per_step} {patches.count} a step", stop.steps, stop.flops)
    return stop.steps * per_step if stop.steps is not None else (stop.positions, stop.flops)
