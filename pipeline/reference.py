"""docs/recipe.md and the JSON Schema of recipes, both made from the steps themselves.

`python -m pipeline.reference > docs/recipe.md` (or `make reference`). A test compares the file with
what this module says, so that the reference can never describe settings that do not exist.
"""

import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pydantic

from pipeline.balance import Balance
from pipeline.drafts import IMPLIED, Known
from pipeline.fit import REQUIRED
from pipeline.recipe import RecipeHead, ShardSettings
from schemas.settings import json_schema
from schemas.yaml_text import flow
from transforms.step import PHASES, Measure, Step, registry

_OPENING = """\
# Recipe reference

Written by `make reference` from the steps themselves; do not edit it by hand.

A recipe is a YAML 1.2 file with four keys: `name`, `seed`, `streams` and `shards`. A stream is a
list of steps in order; a step is `- name`, or `- name: {{key: value}}` with settings. What a recipe
leaves out has the default given here. `null` is off, `0` is zero.

YAML is read strictly: unknown and repeated keys, anchors, aliases, tags and values of the wrong
type are errors, with file, line, and the nearest key that exists. `no` is a word (Norwegian), not
false; `12:30` is text.

Phases come in this order: {phases}. A stream needs {required}. {implied} go without saying: a
stream that does not name them has them with their defaults. Only filters may stand in a stream
more than once. A filter may read only scores that the stream measures.

One setting for one run: `--set filter.min_snr_db=10` (in every stream that holds the step),
`--set web.filter.min_snr_db=10` (in one stream), `--set web.filter.2.min_snr_db=10` (where the
step stands there more than once), `--set seed=3`, `--set shards.hours=1`. The value is YAML.

`recipes/offline.yaml` is an example with every phase. `speechloom schema` prints the JSON Schema.
"""

_ABOUT = {
    "gather": "What is there? Sources become recordings, known by the digest of their bytes.",
    "hear": "What is heard? Recordings are decoded once and cut into stored segments of speech.",
    "annotate": "What is said, and by whom? Segments become clips of one speaker with text.",
    "extract": "What is written? Files and rows of web text become pages.",
    "measure": "One table of scores each, clip by clip; a new one re-runs nothing else.",
    "select": "Rows are judged, without audio: each stays, or leaves by one named reason.",
    "synthesize": "What is to be said, and by which voice? Pages become spoken clips.",
    "compose": "The clips that stay become documents in shards.",
}

_KINDS = {
    "boolean": "true or false",
    "integer": "whole number",
    "null": "`null`",
    "number": "number",
    "string": "text",
}


def reference(known: Known | None = None) -> str:
    """The whole document."""
    known = registry() if known is None else known
    return "\n".join(_lines(known)).rstrip() + "\n"


def recipe_schema(known: Known | None = None) -> dict[str, Any]:
    """The JSON Schema of recipe files, steps included."""
    known = registry() if known is None else known
    schema = json_schema(RecipeHead)
    definitions = schema.setdefault("$defs", {})
    forms: list[Any] = [{"enum": sorted(known)}]
    for name, kind in sorted(known.items()):
        step = kind.model_json_schema(mode="validation", ref_template=f"#/$defs/{name}.{{model}}")
        nested = step.pop("$defs", {})
        definitions |= {f"{name}.{inner}": value for inner, value in nested.items()}
        definitions[f"step.{name}"] = step
        forms.append(
            {
                "type": "object",
                "properties": {
                    name: {"anyOf": [{"$ref": f"#/$defs/step.{name}"}, {"type": "null"}]}
                },
                "required": [name],
                "additionalProperties": False,
            }
        )
    schema["properties"]["streams"]["additionalProperties"] = {
        "type": "array",
        "items": {"anyOf": forms},
    }
    schema["title"] = "speechloom recipe"
    return schema


def _pointer(step: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/step.{step}"}


def _lines(known: Known) -> Iterator[str]:
    yield _OPENING.format(
        phases=", ".join(PHASES),
        required=_listed(REQUIRED),
        implied=_listed(IMPLIED),
    )
    yield "## The recipe itself\n"
    yield from _table(RecipeHead, leave_out=("shards", "balance"))
    yield "### `shards`\n"
    yield from _table(ShardSettings)
    yield "### `balance`\n"
    yield f"{inspect.cleandoc(Balance.__doc__ or '')} More in docs/coverage.md.\n"
    yield from _table(Balance)
    for phase in PHASES:
        yield f"## {phase}\n"
        yield f"{_ABOUT[phase]}\n"
        for name, kind in sorted(known.items()):
            if kind.phase == phase:
                yield from _step(name, kind)


def _listed(names: Iterable[str]) -> str:
    *most, last = [f"`{name}`" for name in names]
    return f"{', '.join(most)} and {last}" if most else last


def _step(name: str, kind: type[Step]) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{inspect.cleandoc(kind.__doc__ or '')}\n"
    module = inspect.getmodule(kind)
    about = inspect.cleandoc((module.__doc__ if module else None) or "")
    if about:
        yield f"{about}\n"
    if kind.model_fields:
        yield from _table(kind)
    else:
        yield "It has no settings.\n"
    if issubclass(kind, Measure):
        yield (
            "Columns, for `filter`: "
            + ", ".join(
                f"`{name}.{column}` ({value.__name__})" for column, value in kind.columns.items()
            )
            + ".\n"
        )
    if kind.reasons:
        yield "| reason | what left |"
        yield "|---|---|"
        # A condition's twin for unknown values says nothing that the condition did not say.
        twins = {f"{code}_unknown" for code in kind.reasons} & kind.reasons.keys()
        for code, text in kind.reasons.items():
            if code not in twins:
                yield f"| `{code}` | {_cell(text)} |"
        if twins:
            yield "| any of these and `_unknown` | The score that it needs is not known. |"
        yield ""


def _table(model: type[pydantic.BaseModel], leave_out: tuple[str, ...] = ()) -> Iterator[str]:
    schema = model.model_json_schema(mode="validation")
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        form = schema["properties"][name]
        default = "needed" if field.is_required() else f"`{_default(field)}`"
        value = _form(form, schema.get("$defs", {}))
        yield f"| `{name}` | {_cell(value)} | {_cell(default)} | {_cell(field.description or '')} |"
    yield ""


def _default(field: Any) -> str:
    value = pydantic.TypeAdapter(Any).dump_python(
        field.get_default(call_default_factory=True), mode="json"
    )
    return flow(value)


def _form(form: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON Schema as a few words."""
    if "$ref" in form:
        name = form["$ref"].rsplit("/", 1)[-1]
        if name not in definitions:
            return "the same again"  # a model inside itself
        if step := next((s for s, kind in registry().items() if kind.__name__ == name), None):
            return f"settings of `{step}`"
        return _form(definitions[name], {k: v for k, v in definitions.items() if k != name})
    branches = form.get("anyOf") or form.get("oneOf")
    if branches:
        said = list(dict.fromkeys(_form(branch, definitions) for branch in branches))
        mappings = [text for text in said if text.startswith("{")]
        if len(mappings) > 2:  # a family of named settings: the names say enough
            said = [text for text in said if text not in mappings]
        return " or ".join(said)
    if "const" in form:
        return f"`{flow(form['const'])}`"
    if "enum" in form:
        return ", ".join(f"`{flow(value)}`" for value in form["enum"])
    kind = form.get("type")
    if kind == "array" and form.get("prefixItems"):
        return f"[{', '.join(_form(one, definitions) for one in form['prefixItems'])}]"
    if kind == "array":
        items = _form(form["items"], definitions) if form.get("items") else "anything"
        return f"list of {items}"
    if kind == "object":
        return _object(form, definitions)
    words = {"integer": "whole number", "number": "number", "string": "text", "null": "`null`"}
    return words.get(str(kind), "true or false" if kind == "boolean" else "anything") + _bounds(
        form
    )


def _object(form: dict[str, Any], definitions: dict[str, Any]) -> str:
    inner = form.get("properties")
    if inner:
        described = (f"{key}: {_form(value, definitions)}" for key, value in inner.items())
        return "{" + "; ".join(described) + "}"
    values = form.get("additionalProperties")
    return f"names with {_form(values, definitions)}" if isinstance(values, dict) else "keys"


def _bounds(form: dict[str, Any]) -> str:
    marks = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{mark} {form[key]:g}" for key, mark in marks.items() if key in form]
    if "pattern" in form:
        said.append(f"like `{form['pattern']}`")
    return f" {', '.join(said)}" if said else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["--schema"]:
        print(json.dumps(recipe_schema(), indent=2, sort_keys=True))
    else:
        print(reference(), end="")
