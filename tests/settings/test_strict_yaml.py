"""YAML as settings read it: the core schema, positions, and everything that is refused."""

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.strict_yaml import MAX_BYTES, Node, Place, SettingsError, parse, read, shown
from schemas.yaml_text import write


def told(text: str | bytes) -> list[str]:
    """What is wrong with a text, one line each."""
    with pytest.raises(SettingsError) as caught:
        parse(text, "x.yaml")
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("+5", 5),
        ("-0", 0),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"null"', "null"),
        ("9223372036854775807", 2**63 - 1),
        ("[a, 1, {b: 2}]", ["a", 1, {"b": 2}]),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("=", "="),
    ],
)
def test_values_are_those_of_the_core_schema(text: str, value: Any) -> None:
    found = parse(f"a: {text}", "x.yaml").plain()["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_as_they_are_written() -> None:
    assert parse("no: 1\n1: 2\n1.0: 3\nnull: 4", "x").plain() == {
        "no": 1,
        "1": 2,
        "1.0": 3,
        "null": 4,
    }


def test_places_are_lines_and_columns_from_one() -> None:
    tree = parse("a: 1\nb:\n  - {c: [x, y]}\n", "x.yaml")
    deep = tree.child("b")
    assert deep is not None
    first = deep.child(0)
    assert first is not None
    letters = first.child("c")
    assert letters is not None
    second = letters.child(1)
    assert second is not None
    assert (second.plain(), str(second.place)) == ("y", "x.yaml:3:13")
    assert tree.keys == {"a": Place("x.yaml", 1, 1), "b": Place("x.yaml", 2, 1)}
    assert letters.child(2) is None
    assert letters.child(-1) is None
    assert letters.child("c") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1", "x.yaml:1:4: anchors are not supported: remove '&x'"),
        ("a: *x", "x.yaml:1:4: aliases are not supported: write the value out here"),
        ("a: !!str 3", "x.yaml:1:4: tags are not supported: remove 'tag:yaml.org,2002:str'"),
        ("a: !!python/object:os.system x", "x.yaml:1:4: tags are not supported"),
        ("<<: {a: 1}", "x.yaml:1:1: merge keys are not supported: write the keys out"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: the key 'a' stands here twice (first in line 1)"),
        ("a: .nan", "x.yaml:1:4: .nan is no setting: numbers are finite"),
        ("a: -.INF", "x.yaml:1:4: -.INF is no setting: numbers are finite"),
        ("a: 1e400", "x.yaml:1:4: '1e400' is too large for a number"),
        ("a: 9223372036854775808", "x.yaml:1:4: '9223372036854775808' does not fit into 64 bits"),
        ("a: " + "9" * 5000, "does not fit into 64 bits"),
        ("a: 0x" + "f" * 5000, "does not fit into 64 bits"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: a second document begins; settings are one document"),
        ("%YAML 1.1\n---\na: 1", "x.yaml:2:1: directives are not supported; this is YAML 1.2"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "directives are not supported"),
        ("a:\n\t- b", "x.yaml:2:1: a tab stands where YAML wants spaces"),
        ("a: b: c", "x.yaml:1:5: a second `: ` in one line, or a line indented too far"),
        ("a: 'b", "x.yaml:1:4: a quote is opened here and never closed"),
        ("a: @b", "x.yaml:1:4: a value cannot begin with @ unless it is quoted"),
        ("a: [1, 2", "x.yaml:1:9: while parsing a flow sequence: expected ',' or ']'"),
        ("? {a: 1}\n: b", "x.yaml:1:3: a key is a word"),
        ('a: "\\ud800"', "x.yaml:1:4: holds half of a surrogate pair"),
        ('a: "\\U7fffffff"', "x.yaml: is not YAML"),
        ("a: 1\r\nb: \x07", "x.yaml:2:4: holds the control character U+0007"),
        ("a: \x00", "x.yaml:1:4: holds the control character U+0000"),
        (b"a: 1\nb: caf\xe9", "x.yaml:2:7: is not UTF-8 (byte 0xe9)"),
        ("a: 1".encode("utf-16"), "x.yaml:1:1: is not UTF-8 (byte 0xff)"),
        (b"#" * (MAX_BYTES + 1), "x.yaml: is larger than 1048576 bytes"),
    ],
)
def test_what_can_surprise_is_refused(text: str | bytes, message: str) -> None:
    assert message in "\n".join(told(text))


def test_all_that_is_wrong_is_told_in_the_order_of_the_file() -> None:
    lines = told("a: &x 1\nb: *x\nb: 3\n<<: {a: 2}\nc: .inf\n")
    assert [line.split(": ")[0] for line in lines] == [
        "x.yaml:1:4",
        "x.yaml:2:4",
        "x.yaml:3:1",
        "x.yaml:4:1",
        "x.yaml:5:4",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{" * 100_000,
        "- " * 50_000,
        "? " * 50_000,
        "a: [" + "1," * 300_000 + "]",
        "\n".join(f"k{number}: v" for number in range(80_000)),
        "&a " * 30_000,
        "a: &a [x]\n" + "".join(f"k{n}: [*a, *a, *a, *a]\n" for n in range(2000)),
    ],
    ids=lambda text: text[:6].strip(),
)
def test_bombs_are_refused_soon(text: str) -> None:
    begin = time.process_time()
    assert told(text)
    assert time.process_time() - begin < 10


def test_depth_is_counted_exactly() -> None:
    assert parse("[" * 31 + "1" + "]" * 31, "x").plain() is not None
    assert "deeper than 32 levels" in told("[" * 32 + "1" + "]" * 32)[0]


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    assert parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "x").plain() == {"a": 1, "b": 2}


def test_an_empty_text_is_nothing() -> None:
    assert parse("", "x").plain() is None
    assert parse("# only a comment\n", "x").plain() is None


def test_files_that_cannot_be_read_are_told_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingsError, match="cannot be read") as caught:
            read(path)
        assert str(caught.value).startswith(str(path))


def test_the_error_survives_a_process_border() -> None:
    with pytest.raises(SettingsError) as caught:
        parse("a: &x 1\nb: *x", "x.yaml")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems == caught.value.problems


def test_values_are_shown_without_control_characters() -> None:
    assert shown("a\x1b[31m\u202eb") == r"'a\x1b[31m\u202eb'"
    assert shown("x" * 100, 10) == "'xxxxxxxxx…'"
    assert shown({"a": [True, None, 1.5]}) == "{a: [true, null, 1.5]}"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["no", "12:30", "null", "~", "1e3", "- a", "a: b", "#", "010", "&x", " "]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_written_is_read_again(value: Any) -> None:
    found = parse(write(value), "x").plain()
    assert found == value
    assert repr(found) == repr(value)  # also tells 1 from 1.0 and from true, and -0.0 from 0.0


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), "\ud800"])
def test_what_cannot_be_read_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match=r"compliant|surrogate"):
        write([value])


def tree_or_error(text: str | bytes) -> None:
    try:
        tree = parse(text, "x.yaml")
    except SettingsError as error:
        assert error.problems
        assert all(p.place.file == "x.yaml" and p.message.isprintable() for p in error.problems)
    else:
        assert isinstance(tree, Node)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_a_tree_or_a_settings_error(text: str | bytes) -> None:
    tree_or_error(text)


@given(st.text("ab:-[]{},&*!|>'\"%@`#?\n \t~1.<=\\", max_size=30))
def test_any_pile_of_marks_is_a_tree_or_a_settings_error(text: str) -> None:
    tree_or_error(text)
