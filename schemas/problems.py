"""pydantic's errors as problems for people: placed in the file, with what was probably meant.

pydantic gives a location of field names mixed with names of union branches, and an English phrase.
Here the location is followed through the tree of the file (giving line and column) and through the
model's annotations (giving the keys and choices that exist), and the phrase becomes one sentence
with the offending value.
"""

import difflib
import enum
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import pydantic

from schemas.strict_yaml import Node, Place, Problem, legible, shown

KeyPath = tuple[str | int, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_sub_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text like {pattern}",
}


_INPUT = "Input should be "  # how pydantic begins what it expected


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean x?' where something known is near, and what is known where it is short."""
    choices = list(known)
    by_lower = {choice.lower(): choice for choice in reversed(choices)}
    near = difflib.get_close_matches(word[:100].lower(), list(by_lower), n=1, cutoff=0.6)
    hint = f"; did you mean {by_lower[near[0]]}?" if near else ""
    if choices and (not near or len(choices) <= 12):
        listed = ", ".join(choices[:40]) + (", …" if len(choices) > 40 else "")
        hint += f" (known: {listed})"
    return hint


def dotted(path: Sequence[str | int]) -> str:
    """A path for people: `streams.web.2.filter`."""
    return ".".join(legible(str(part), 40) for part in path)


def problems_of(
    error: pydantic.ValidationError, node: Node, model: type[pydantic.BaseModel], path: KeyPath
) -> list[Problem]:
    """All of pydantic's errors, placed; the branches of one union become one problem."""
    found: dict[tuple[str, Place], list[str]] = {}
    for detail in error.errors(include_url=False):
        inside, here, place = _follow(node, detail["loc"], detail["type"])
        message = _message(detail, model, inside, here)
        messages = found.setdefault((dotted((*path, *inside)), place), [])
        if message not in messages:
            messages.append(message)
    return [Problem(place, name, _joined(messages)) for (name, place), messages in found.items()]


def _joined(messages: list[str]) -> str:
    """One sentence of the answers that the branches of a union gave about one value."""
    heads, tails = zip(*(message.partition(", not ")[::2] for message in messages), strict=True)
    if len(messages) > 1 and all(tails) and len(set(tails)) == 1:
        wanted = " or ".join(head.removeprefix("expected ") for head in heads)
        return f"expected {wanted}, not {tails[0]}"
    return "; or ".join(messages)


def _follow(node: Node, loc: Sequence[str | int], kind: str) -> tuple[KeyPath, Node, Place]:
    """The part of pydantic's location that the tree knows, what stands there, and where.

    The place is the key's for a key that should not be, the mapping's for one that is missing.
    """
    inside: list[str | int] = []
    place = node.place
    for index, key in enumerate(loc):
        last = index == len(loc) - 1
        child = node.child(key)
        if child is None:
            if last and kind == "missing":
                inside.append(key)
            continue
        place = node.keys[str(key)] if last and kind == "extra_forbidden" else child.place
        inside.append(key)
        node = child
    return tuple(inside), node, place


def _message(detail: Any, model: Any, inside: KeyPath, node: Node) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    annotation = annotation_at(model, inside)
    value = node.plain()
    if kind == "missing":
        return "is missing" + _meaning(model, inside)
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(inside[-1]), _fields(annotation_at(model, inside[:-1])))}"
    if kind in ("value_error", "assertion_error"):
        text = str(context.get("error", detail["msg"]))
        return text if isinstance(node.value, dict) else f"{shown(value)}: {text}"
    if kind in ("literal_error", "enum"):
        return f"{shown(value)} is not one of the choices{nearest(str(value), choices(annotation))}"
    wanted = _expected(kind, context, detail["msg"])
    if wanted is None:  # a model's own kind of error, already a sentence
        return f"{shown(value)}: {detail['msg']}"
    advice = ""
    if kind == "bool_type" and str(value).lower() in ("yes", "no", "on", "off", "y", "n"):
        advice = " (in YAML 1.2 yes, no, on and off are words)"
    if kind in ("tuple_type", "list_type", "frozen_set_type") and isinstance(value, str):
        advice = f": write [{legible(value, 60)}]"
    return f"expected {wanted}, not {shown(value)}{advice}"


def _expected(kind: str, context: Any, message: str) -> str | None:
    phrase = _EXPECTED.get(kind)
    if phrase is not None:
        return phrase.format_map(context)
    return message.removeprefix(_INPUT) if message.startswith(_INPUT) else None


def _meaning(model: Any, path: KeyPath) -> str:
    """What a missing field is for, from its description."""
    for owner in _models(annotation_at(model, path[:-1])):
        field = owner.model_fields.get(str(path[-1]))
        if field is not None and field.description:
            return f": {field.description}"
    return ""


def _branches(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, without `Annotated` and `None`."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _branches(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [b for a in typing.get_args(annotation) for b in _branches(a)]
    return [] if annotation in (None, type(None)) else [annotation]


def _models(annotation: Any) -> list[type[pydantic.BaseModel]]:
    return [
        branch
        for branch in _branches(annotation)
        if isinstance(branch, type) and issubclass(branch, pydantic.BaseModel)
    ]


def _fields(annotation: Any) -> list[str]:
    """The keys that a mapping of this annotation may have."""
    return list(
        dict.fromkeys(
            field.alias or name
            for model in _models(annotation)
            for name, field in model.model_fields.items()
        )
    )


def choices(annotation: Any) -> list[str]:
    """The values that `Literal`s and enums among an annotation's alternatives allow."""
    allowed: list[str] = []
    for branch in _branches(annotation):
        if typing.get_origin(branch) is typing.Literal:
            allowed += [str(value) for value in typing.get_args(branch)]
        elif isinstance(branch, type) and issubclass(branch, enum.Enum):
            allowed += [str(member.value) for member in branch]
    return allowed


def annotation_at(annotation: Any, path: KeyPath) -> Any:
    """The annotation at the end of a path through models, mappings and lists; `None` if unknown."""
    if not path:
        return annotation
    key, rest = path[0], path[1:]
    for branch in _branches(annotation):
        origin, arguments = typing.get_origin(branch), typing.get_args(branch)
        if isinstance(branch, type) and issubclass(branch, pydantic.BaseModel):
            for name, field in branch.model_fields.items():
                if key == (field.alias or name):
                    return annotation_at(field.annotation, rest)
        elif arguments and isinstance(origin, type) and issubclass(origin, typing.Mapping):
            return annotation_at(arguments[1], rest)
        elif origin is tuple and Ellipsis not in arguments:
            if isinstance(key, int) and key < len(arguments):
                return annotation_at(arguments[key], rest)
        elif arguments and isinstance(origin, type) and issubclass(origin, typing.Collection):
            return annotation_at(arguments[0], rest)
    return None
