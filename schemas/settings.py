"""Settings from YAML into strict models, with errors that a person can act on.

One reader for recipes and trainer configs: `load_settings(path, Model, overrides)`. The models are
pydantic models in strict mode, so that "16000", 16000.0 and true are no integers. Errors give
file, line, column, dotted path, the offending value, what was expected and what was probably
meant, all at once. Nothing is ever executed, included or looked up.

Values go to pydantic as JSON, not as Python objects: strict mode then takes a list where a field
is a tuple or a set, and still coerces nothing else.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from schemas.problems import KeyPath, choices, dotted, nearest, problems_of
from schemas.strict_yaml import Node, Place, Problem, SettingsError, legible, parse, read, shown

__all__ = [
    "Node",
    "Override",
    "Place",
    "Problem",
    "SettingsError",
    "check",
    "choices",
    "dotted",
    "json_schema",
    "load_settings",
    "nearest",
    "parse",
    "parse_override",
    "parse_overrides",
    "read",
    "replace_at",
    "shown",
]

M = TypeVar("M", bound=pydantic.BaseModel)


@dataclasses.dataclass(frozen=True, slots=True)
class Override:
    """`--set filter.min_snr_db=10`: an address, and a value that stands at the option itself."""

    address: KeyPath
    node: Node


def load_settings(path: str | Path, model: type[M], overrides: Sequence[str] = ()) -> M:
    """The model that a file holds, with `--set` texts applied first. Raises `SettingsError`."""
    tree = read(path)
    for override in parse_overrides(overrides):
        tree = replace_at(tree, override.address, override.node)
    value, problems = check(tree, model)
    if value is None:
        raise SettingsError(problems)
    return value


def check(node: Node, model: type[M], path: KeyPath = ()) -> tuple[M | None, list[Problem]]:
    """A model from a tree, or all that is wrong with it; `path` is where the tree hangs."""
    try:
        return model.model_validate_json(json.dumps(node.plain())), []
    except pydantic.ValidationError as error:
        return None, problems_of(error, node, model, path)


def json_schema(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a model, for editors and other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(mode="validation"),
    }


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """All overrides, or all that is wrong with them in one `SettingsError`."""
    overrides: list[Override] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            overrides.append(parse_override(text))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return overrides


def parse_override(text: str) -> Override:
    """`a.b.0=value`; the value is YAML, so that `[en, no]` is a list and `null` is off."""
    place = Place(f"--set {legible(text, 100)}")
    address, equals, value = text.partition("=")
    names = [name.strip() for name in address.split(".")]
    if not equals or not all(names):
        message = "is not of the form key.key=value, as in filter.min_snr_db=10"
        raise SettingsError([Problem(place, "", message)])
    try:
        node = parse(value, place.file)
    except SettingsError as error:
        raise SettingsError([Problem(place, "", p.message) for p in error.problems]) from error
    keys = (int(name) if name.isdecimal() and len(name) < 10 else name for name in names)
    return Override(tuple(keys), Node.of(node.plain(), place))


def replace_at(tree: Node, path: KeyPath, new: Node) -> Node:
    """The tree with `new` at `path`; mappings on the way are made where nothing stands.

    Raises `SettingsError` where the path leads into a single value or beyond a list.
    """
    return _replaced(tree, path, new, path)


def _replaced(tree: Node, path: KeyPath, new: Node, whole: KeyPath) -> Node:
    if not path:
        return new
    key, value = path[0], tree.value
    if isinstance(value, list):
        if not isinstance(key, int) or not key < len(value):
            message = f"{shown(str(key))} is no place in a list of {len(value)} (the first is 0)"
            raise SettingsError([Problem(new.place, dotted(whole), message)])
        items = list(value)
        items[key] = _replaced(value[key], path[1:], new, whole)
        return dataclasses.replace(tree, value=items)
    if value is not None and not isinstance(value, dict):
        message = f"{shown(str(key))} cannot be set inside {shown(value)}, which is a single value"
        raise SettingsError([Problem(new.place, dotted(whole), message)])
    name, below = str(key), dict(value or {})
    below[name] = _replaced(below.get(name, Node(new.place, None)), path[1:], new, whole)
    return Node(tree.place, below, {**tree.keys, name: new.place})
