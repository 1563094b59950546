"""docs/recipe.md and the JSON Schema say what the steps say."""

from pathlib import Path

import jsonschema
import pytest
from small_steps import KNOWN

from pipeline.reference import recipe_schema, reference
from schemas.settings import read
from transforms.step import registry

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_reference_is_current() -> None:
    stored = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert stored == reference(), "run `make reference` and commit docs/recipe.md"


def test_every_setting_and_every_reason_of_every_step_is_in_it() -> None:
    text = reference()
    for name, kind in registry().items():
        section = text.split(f"### `{name}`\n")[1].split("\n### ")[0].split("\n## ")[0]
        for key in kind.model_fields:
            assert f"| `{key}` |" in section
        for code in kind.reasons:
            assert f"| `{code}` |" in section or code.endswith("_unknown")


def test_a_step_of_ones_own_is_described_too() -> None:
    text = reference(KNOWN)
    assert "| `engine` | `silero`, `energy` | `silero` |  |" in text
    assert "| `min_seconds` | number or `null` | `null` |  |" in text
    assert "`snr.snr_db` (float), `snr.noise_db` (float)" in text


SCHEMA = recipe_schema()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_the_schema_accepts_the_recipes(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(read(path).plain(), SCHEMA)


@pytest.mark.parametrize(
    "step",
    ["segmnt", {"segment": {"engin": "silero"}}, {"segment": {"threshold": "x"}}, {"a": 1, "b": 2}],
)
def test_the_schema_refuses_steps_that_do_not_exist(step: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "r", "streams": {"web": [step]}}, SCHEMA)
