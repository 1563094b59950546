"""docs/budget.md and docs/many-questions.md against the code: commands parsed, files read."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.settings import SettingsError
from trainer.__main__ import main, parser
from trainer.budget.grid import plan_grid
from trainer.config import Config, load_config, of_json
from trainer.curriculum import COLUMNS
from trainer.experiments.dependence import read_plan
from trainer.flops import PARTS

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text("utf-8") for name in ("budget", "many-questions")}


def fences(page: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize(
    "page,expected",
    [
        ("budget", [("budget", "cost"), ("budget", "run"), ("budget", "fit")]),
        (
            "many-questions",
            [("experiments", "log"), ("experiments", "dependence"), ("mixture", None)],
        ),
    ],
)
def test_commands_are_understood(page: str, expected: list[tuple[str, str | None]]) -> None:
    words = [shlex.split(line) for fence in fences(page, "sh") for line in fence.splitlines()]
    assert all(one[:3] == ["python", "-m", "trainer"] for one in words)
    found = [parser(one[3]).parse_args(one[3:]) for one in words]
    assert [(one.command, getattr(one, "what", None)) for one in found] == expected


def test_the_command_that_needs_nothing_gives_what_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = shlex.split(fences("budget", "sh")[0].splitlines()[0])
    assert main(words[3:]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"^  (\w+(?: \w+)?) +\S+ +(\S+)%$", printed, re.MULTILINE)
    share = {name.replace(" ", "_"): float(value) for name, value in rows}
    assert set(share) == set(PARTS)
    assert int(share["attention"]) == 14
    assert round(share["text_head"] + share["code_heads"]) == 20
    assert "attention is 14 % and heads 20 %" in " ".join(PAGES["budget"].split())


def test_the_grid_of_the_page_can_be_planned(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(fences("budget", "yaml")[0])
    planned = plan_grid(path, (), {"speech": "out"})
    assert len(list(planned.cells())) == 3 * 5 * 2
    with pytest.raises(SettingsError, match="a split valid"):
        plan_grid(path)


def base() -> dict[str, Any]:
    config = load_config("smoke", (), ["out"])
    found = config.canonical()
    found["data"]["sets"] = {}
    return found


def changed(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for name, value in changes.items():
        inner = tree.get(name)
        both = isinstance(value, dict) and isinstance(inner, dict)
        tree[name] = changed(dict(inner), value) if both else value  # type: ignore[arg-type]
    return tree


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    inserted, plan, weighing, curriculum = fences("many-questions", "yaml")
    config = of_json(changed(base(), yaml.safe_load(inserted)), "doc")
    assert {name: one.times for name, one in config.data.experiments.items()} == {
        "facts": 4,
        "songs": 1,
    }
    path = tmp_path / "plan.yaml"
    path.write_text(plan)
    assert set(read_plan(path).interventions) == {"facts", "songs"}
    two = {"data": {"sets": {name: {"shards": "out"} for name in ("speech", "text")}}}
    found = of_json(changed(changed(base(), two), yaml.safe_load(weighing)), "doc").weighing
    assert found is not None and found.every == 500
    easy: Config = of_json(changed(base(), yaml.safe_load(curriculum)), "doc")
    own = easy.data.sets["speech"].curriculum
    assert own is not None and own.by in COLUMNS
    for name in COLUMNS:
        assert f"`{name}`" in PAGES["many-questions"]
