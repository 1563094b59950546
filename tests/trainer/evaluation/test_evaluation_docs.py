"""docs/evaluation.md against the code: its items are read, its commands parsed, its names exist."""

import json
import re
import shlex
from pathlib import Path

from tests.trainer.evaluation.toy_models import lines
from trainer.__main__ import parser
from trainer.evaluate import EvaluationSettings
from trainer.evaluation.gap import RATIOS
from trainer.evaluation.items import KINDS
from trainer.evaluation.layout import read_set

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "evaluation.md").read_text("utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_kind_has_an_example_that_is_read(tmp_path: Path) -> None:
    rows = [json.loads(line) for fence in fences("json") for line in fence.splitlines()]
    assert {row["kind"] for row in rows} == set(KINDS)
    for row in rows:
        found = read_set(lines(tmp_path / row["id"], row))
        table = next(line for line in TEXT.split("\n") if line.startswith(f"| `{row['kind']}` |"))
        assert set(found.modes) <= set(re.split(r", ", table.rsplit("|", 2)[1].strip()))


def test_commands_are_understood() -> None:
    commands = [
        shlex.split(line)
        for fence in fences("sh")
        for line in fence.replace("\\\n", " ").splitlines()
    ]
    ours = [words[1:] for words in commands if words[0] == "speechloom-train"]
    assert [words[0] for words in ours] == [
        "held-out",
        "held-out",
        "questions",
        "evaluate",
        "evalset",
        "export",
    ]
    for words in ours:
        assert parser(words[0]).parse_args(words).command == words[0]


def test_settings_and_figures_are_those_of_the_code() -> None:
    section = TEXT.partition("## Settings")[2].partition("## ")[0]
    for name in EvaluationSettings.model_fields:
        assert f"`{name}`" in section, name
    for name in RATIOS:
        assert f"`{name}`" in TEXT or name.endswith("_first"), name
