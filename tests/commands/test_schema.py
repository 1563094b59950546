"""schema prints a JSON Schema that takes our recipes and refuses what no run takes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.commands.made import RECIPE, ROOT, speechloom


@pytest.fixture(scope="module")
def schema() -> Any:
    said = speechloom("schema")
    assert said.code == 0, said.err
    return json.loads(said.out)


def errors(schema: Any, text: str) -> int:
    checker = jsonschema.Draft202012Validator(schema)
    return len(list(checker.iter_errors(YAML(typ="safe").load(text))))


def test_our_recipes_fit(schema: Any) -> None:
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        assert errors(schema, path.read_text(encoding="utf-8")) == 0, path
    assert errors(schema, RECIPE) == 0


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("- dedup", "- dedupe"),
        ("{min_words: 2}", "{min_word: 2}"),
        ("{min_words: 2}", "{min_words: two}"),
        ("seed: 3", "seed: -3"),
        ("streams:", "flows:"),
    ],
)
def test_what_no_run_takes_does_not_fit(schema: Any, right: str, wrong: str) -> None:
    assert right in RECIPE
    assert errors(schema, RECIPE.replace(right, wrong)) > 0


def test_it_is_written_to_a_file(schema: Any, tmp_path: Path) -> None:
    said = speechloom("schema", "--out", tmp_path / "new/recipe.json")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "new/recipe.json").read_text(encoding="utf-8")) == schema
    assert "yaml-language-server" in said.out
