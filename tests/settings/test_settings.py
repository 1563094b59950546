"""Strict models from YAML: every error with its place, its value and what was meant."""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from schemas.problems import annotation_at, choices, nearest
from schemas.settings import (
    Node,
    Place,
    SettingsError,
    check,
    json_schema,
    load_settings,
    parse,
    parse_override,
    parse_overrides,
    replace_at,
)

STRICT = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Kind(enum.Enum):
    LINEAR = "linear"
    COSINE = "cosine"


class Engine(pydantic.BaseModel):
    model_config = STRICT

    rate: int = Field(16000, ge=8000, le=48000)
    name: Literal["silero", "energy"] = "silero"
    floor_db: float | None = None
    languages: tuple[str, ...] = ()
    fast: bool = True
    shape: tuple[int, str] = (1, "a")
    counts: Mapping[str, int] = Field(default_factory=dict)
    limit: float | Literal["off"] = 1.0
    schedule: Kind = Kind.LINEAR
    path: str = Field(description="where it is (a path)")

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.floor_db == 99:
            raise ValueError("a floor of 99 dB would drop all")
        return self


class Settings(pydantic.BaseModel):
    model_config = STRICT

    main: Engine
    others: list[Engine] = []
    named: dict[str, Annotated[Engine, Field(description="one of several")]] = {}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def told(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The errors of a file, with its folder left out."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, Settings, overrides)
    return str(caught.value).replace(f"{tmp_path}/", "").split("\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate: 16000.0", "main.rate: expected a whole number, not 16000.0"),
        ("rate: '16000'", "main.rate: expected a whole number, not '16000'"),
        ("rate: true", "main.rate: expected a whole number, not true"),
        ("rate: 4", "main.rate: expected a number of at least 8000, not 4"),
        ("rate: null", "main.rate: expected a whole number, not null"),
        ("floor_db: '5'", "main.floor_db: expected a number, not '5'"),
        ("floor_db: yes", "main.floor_db: expected a number, not 'yes'"),
        ("languages: en", "main.languages: expected a list, not 'en': write [en]"),
        ("languages: [en, 1]", "main.languages.1: expected text, not 1"),
        (
            "fast: no",
            "expected true or false, not 'no' (in YAML 1.2 yes, no, on and off are words)",
        ),
        ("fast: 1", "main.fast: expected true or false, not 1"),
        ("shape: [x, a]", "main.shape.0: expected a whole number, not 'x'"),
        ("counts: {a: x}", "main.counts.a: expected a whole number, not 'x'"),
        ("counts: [a]", "main.counts: expected keys with values, not ['a']"),
        ("name: sillero", "'sillero' is not one of the choices; did you mean silero?"),
        ("name: 7", "7 is not one of the choices (known: silero, energy)"),
        ("schedule: cosin", "'cosin' is not one of the choices; did you mean cosine?"),
        ("limit: of", "expected a number, not 'of'; or 'of' is not one of the choices"),
        ("ratee: 3", "main.ratee: unknown key; did you mean rate?"),
        ("Rate: 3", "main.Rate: unknown key; did you mean rate?"),
        ("zzz: 3", "main.zzz: unknown key (known: rate, name, floor_db"),
        ("floor_db: 99", "main: a floor of 99 dB would drop all"),
    ],
)
def test_an_error_says_where_what_and_what_was_meant(
    tmp_path: Path, text: str, message: str
) -> None:
    lines = told(tmp_path, f"main: {{path: x, {text}}}")
    assert len(lines) == 1
    assert lines[0].startswith("s.yaml:1:")
    assert message in lines[0]


def test_places_are_exact(tmp_path: Path) -> None:
    text = "main:\n  path: x\n  rate:   4\n  ratee: 3\nothers:\n  - {path: y, name: z}\n"
    assert [line.split(": ")[0] for line in told(tmp_path, text)] == [
        "s.yaml:3:11",  # the value
        "s.yaml:4:3",  # the key
        "s.yaml:6:21",
    ]


def test_all_errors_are_told_at_once_in_order(tmp_path: Path) -> None:
    text = """\
named:
  a: {rate: x}
main: {path: 3, languages: en}
others: [{path: y}, 4, {}]
unknown: 1
"""
    assert [line.split(": ")[1] for line in told(tmp_path, text)] == [
        "named.a.path",
        "named.a.rate",
        "main.path",
        "main.languages",
        "others.1",
        "others.2.path",
        "unknown",
    ]


def test_a_missing_key_says_what_it_is_for(tmp_path: Path) -> None:
    assert told(tmp_path, "main: {}") == ["s.yaml:1:7: main.path: is missing: where it is (a path)"]
    assert told(tmp_path, "") == ["s.yaml:1:1: expected keys with values, not null"]


def test_values_arrive_with_their_types(tmp_path: Path) -> None:
    text = (
        "main: {path: no, floor_db: 5, languages: [no, en], shape: [2, b], limit: off, "
        "schedule: cosine}"
    )
    main = load_settings(written(tmp_path, text), Settings).main
    assert (main.path, main.floor_db, main.languages) == ("no", 5.0, ("no", "en"))
    assert (main.shape, main.limit, main.schedule) == ((2, "b"), "off", Kind.COSINE)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("main.floor_db=10", "floor_db", 10.0),
        ("main.floor_db=null", "floor_db", None),
        ("main.floor_db=", "floor_db", None),
        ("main.floor_db=0", "floor_db", 0.0),
        ("main.languages=[no, de]", "languages", ("no", "de")),
        ("main.languages.0=de", "languages", ("de", "nl")),
        ("main.path=a=b", "path", "a=b"),
        ("main.counts.x=3", "counts", {"x": 3}),
    ],
)
def test_overrides_set_one_value(tmp_path: Path, override: str, field: str, value: object) -> None:
    path = written(tmp_path, "main: {path: x, floor_db: 1, languages: [en, nl]}")
    assert getattr(load_settings(path, Settings, [override]).main, field) == value


def test_the_last_override_holds(tmp_path: Path) -> None:
    path = written(tmp_path, "main: {path: x}")
    assert load_settings(path, Settings, ["main.path=a", "main.path=b"]).main.path == "b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("main.rate=x", "--set main.rate=x: main.rate: expected a whole number, not 'x'"),
        ("main.ratee=3", "--set main.ratee=3: main.ratee: unknown key; did you mean rate?"),
        ("main.rate", "--set main.rate: is not of the form key.key=value"),
        ("=3", "--set =3: is not of the form"),
        ("main..rate=3", "is not of the form"),
        ("main.rate=[", "--set main.rate=[: while parsing"),
        ("main.rate=*x", "--set main.rate=*x: aliases are not supported"),
        ("main.path.deeper=3", "'deeper' cannot be set inside 'x', which is a single value"),
        ("main.languages.5=de", "'5' is no place in a list of 1 (the first is 0)"),
        ("main.languages.first=de", "'first' is no place in a list of 1"),
        ("main.path=\x1b[31m[", r"--set main.path=\x1b[31m["),
    ],
)
def test_a_wrong_override_is_located_as_the_option(
    tmp_path: Path, override: str, message: str
) -> None:
    lines = told(tmp_path, "main: {path: x, languages: [en]}", override)
    assert message in lines[0]
    assert all(line.isprintable() for line in lines)


def test_all_overrides_that_cannot_be_read_are_told() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_overrides(["a=1", "b", "c=*x"])
    assert [p.place.file for p in caught.value.problems] == ["--set b", "--set c=*x"]


def test_a_tree_is_not_changed_by_what_replaces_its_parts() -> None:
    tree = parse("a: {b: [1, 2]}", "x")
    changed = replace_at(tree, ("a", "b", 1), Node(Place("new"), 3))
    assert changed.plain() == {"a": {"b": [1, 3]}}
    assert tree.plain() == {"a": {"b": [1, 2]}}
    assert replace_at(tree, ("c", "d"), Node(Place("new"), 4)).plain() == {
        "a": {"b": [1, 2]},
        "c": {"d": 4},
    }


@given(
    st.recursive(
        st.integers(),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner, max_size=3),
    ),
    st.lists(st.sampled_from(["a", "b", 0, 1]), min_size=1, max_size=4),
)
def test_replacing_gives_what_was_asked_for_or_says_why_not(
    value: object, path: list[str | int]
) -> None:
    tree = Node.of(value, Place("x"))
    try:
        node: Node | None = replace_at(tree, tuple(path), Node(Place("new"), "here"))
    except SettingsError as error:
        assert error.problems[0].place == Place("new")
        return
    for key in path:
        assert node is not None
        node = node.child(key)
    assert node is not None
    assert node.plain() == "here"


def test_an_override_address_is_names_and_numbers() -> None:
    assert parse_override(" a . 0 .b= [1, x]").address == ("a", 0, "b")
    assert parse_override("a=[1, x]").node.plain() == [1, "x"]


def test_the_json_schema_accepts_what_the_model_accepts() -> None:
    schema = json_schema(Settings)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"main": {"path": "x", "rate": 8000}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"main": {"path": "x", "ratee": 8000}}, schema)


def test_a_problem_is_placed_below_the_path_that_it_was_checked_for() -> None:
    value, problems = check(parse("rate: x", "f"), Engine, ("streams", "web", "segment"))
    assert value is None
    assert {p.path for p in problems} == {"streams.web.segment.rate", "streams.web.segment.path"}


def test_annotations_are_found_through_models_lists_and_mappings() -> None:
    assert annotation_at(Settings, ("others", 3, "rate")) is int
    assert annotation_at(Settings, ("named", "x", "shape", 1)) is str
    assert annotation_at(Settings, ("named", "x", "nothing")) is None
    assert choices(annotation_at(Settings, ("main", "name"))) == ["silero", "energy"]
    assert choices(annotation_at(Settings, ("main", "schedule"))) == ["linear", "cosine"]
    assert choices(annotation_at(Settings, ("main", "limit"))) == ["off"]


def test_what_is_near_is_named_and_what_is_short_is_listed() -> None:
    assert nearest("filer", ["filter", "gate"]) == "; did you mean filter? (known: filter, gate)"
    assert nearest("zzz", ["filter"]) == " (known: filter)"
    assert nearest("a", []) == ""
    many = [f"key{n}" for n in range(60)]
    assert nearest("key5", many) == "; did you mean key5?"
    assert nearest("zzz", many).endswith("key39, …)")
